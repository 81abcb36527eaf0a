"""`safedreamer publish`: turn finished runs into results that can be committed.

The newest checkpoint of each finished run is evaluated once on unseen layouts (`final.csv` in its
folder), and policies of the first seeds are added to the zoo. Everything else is derived from
records alone: `python -m analysis publish` draws figures and writes tables, report and README, the
same ones on a fresh clone, which has no checkpoints.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks.cli import analysis
from benchmarks.cli.common import parse
from benchmarks.cli.playing import Policy, run
from benchmarks.process.compilation import forget_compiled
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.files import FINAL_FILE, STATUS_FILE, WANTED_FILE
from benchmarks.runs.places import check_folder
from benchmarks.runs.plain_text import printable
from benchmarks.runs.records import FINAL, read_rows
from benchmarks.runs.writing import replace_text
from benchmarks.training.episodes import UNSEEN_EPISODE
from benchmarks.zoo.trained import Trained

if TYPE_CHECKING:
    from benchmarks.suites.suite import Suite
    from benchmarks.sweep.members import Member

PROG = "safedreamer publish"
WANTED = ("run_id", "method", "variant", "cost_source", "task", "obs", "seed", "steps", "minutes")


@dataclasses.dataclass(frozen=True)
class PublishArgs:
    """Finished runs become results that can be committed."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("results/campaign")
    """Results folder of a sweep."""
    suites: tuple[str, ...] = ()
    """Suites that define the expected runs, of which missing ones show as gaps; if not given, the
    suites of the runs.
    """
    episodes: int = 50
    """Unseen layouts in the final evaluation of a run."""
    zoo_seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds whose policies are added to results/zoo."""
    no_zoo: bool = False
    """Do not change results/zoo."""
    records_only: bool = False
    """Only write files from existing records: no evaluation, no change of results/zoo."""


def main(args: Sequence[str]) -> int:
    """Evaluate, publish policies, write files.

    Returns 0, 1 if a run could not be read, evaluated or published, or the status of the analysis.
    """
    chosen = parse(PublishArgs, args, PROG)
    from benchmarks.suites.reading import load
    from benchmarks.sweep.members import State, look_for

    if not chosen.folder.is_dir():
        raise BadInput(f"no folder {chosen.folder}; give the results folder of a sweep")
    check_folder(chosen.folder, "RESULTS")
    suites = [load(name) for name in chosen.suites]
    found, damaged = look_for(chosen.folder)  # none in a folder of recordings
    failed = [str(error) for error in damaged.values()]
    done = [member for member in found if member.state == State.DONE]
    if not chosen.records_only:
        failed += [line for member in done for line in _keep(member, chosen)]
    for member in done:
        forget_place(member.folder)
    # of a damaged run the suites are unknown, so that rows could be lost
    if suites or not damaged:
        write_wanted(suites or _suites_of(found), chosen.folder / WANTED_FILE)
    status = analysis.run("publish", [str(chosen.folder)])
    for line in failed:
        print(printable(f"{PROG}: {line}"), file=sys.stderr)
    return status or int(bool(failed))


def _keep(member: Member, chosen: PublishArgs) -> list[str]:
    """Evaluate and publish one run unless that is done; returns errors."""
    try:
        evaluated = final_evaluation(member, chosen.episodes)
        if evaluated and not chosen.no_zoo and member.spec["seed"] in chosen.zoo_seeds:
            publish_policy(member)
    except (BadInput, RunFailed) as error:
        return [f"{member.folder.name}: {error}"]
    return []


def final_evaluation(member: Member, episodes: int) -> bool:
    """Evaluate the run's newest checkpoint on unseen layouts into `final.csv` in its folder, unless
    that is done with as many episodes.

    Returns whether the run has a checkpoint; without one nothing is done.
    """
    from benchmarks.methods import method
    from benchmarks.methods.saved import newest
    from benchmarks.runs.files import CHECKPOINTS

    evaluated = _evaluated(member.folder / FINAL_FILE)
    if not any((member.folder / CHECKPOINTS).glob("[0-9]*")):
        if not (member.folder / FINAL_FILE).exists():
            print(printable(f"no checkpoint and no final evaluation: {member.folder.name}"))
        elif evaluated and evaluated[1] != episodes:
            kept = f"its final evaluation of {evaluated[1]} episodes stays, not {episodes}"
            print(printable(f"no checkpoint: {member.folder.name}; {kept}"))
        return False
    found = Trained(*newest(member.folder))
    if evaluated == (found.env_steps, episodes):
        return True
    print(printable(f"final evaluation of {member.folder.name}"), flush=True)
    out = member.folder / f".{FINAL_FILE}.tmp"
    if method(found.spec.method).engine == "torch":
        from benchmarks.omnisafe.process import run_in_child

        options = {"episodes": episodes, "first_episode": UNSEEN_EPISODE, "final": True}
        if status := run_in_child("evaluate", found.spec, member.folder, out=str(out), **options):
            raise BadInput(f"its process ended with {status}")
    else:
        # inline: sixteen processes would take longer to import simulators than to play
        run(Policy(found), out, episodes, "inline", first_episode=UNSEEN_EPISODE, split=FINAL)
        forget_compiled()
    os.replace(out, member.folder / FINAL_FILE)
    return True


def _evaluated(final: Path) -> tuple[int, int] | None:
    """Simulator steps of the policy in a final evaluation, and its episodes, including those that
    were lost with their environments; None without a complete one.
    """
    rows, damage = read_rows(final) if final.exists() else ((), {})
    if not rows or damage:
        return None
    return rows[0].env_steps, max(row.episode for row in rows) - UNSEEN_EPISODE + 1


def publish_policy(member: Member) -> None:
    """Add the run's newest checkpoint to the zoo, unless it is already there or not eligible."""
    from benchmarks.methods.saved import newest
    from benchmarks.zoo import entry
    from benchmarks.zoo.adding import add, no_place

    if why := no_place(member.spec["method"], member.variant):
        print(printable(f"not in the zoo: {member.folder.name} is {why}"))
        return
    name = entry.entry_name(member.spec)
    if name in entry.names():
        card = entry.find(name).card
        there = card["run_id"], card["trained"]["env_steps"], card["scores"]["episodes"]
        scored = len(read_rows(member.folder / FINAL_FILE).records)
        if there == (member.run_id, newest(member.folder).env_steps, scored):
            return
    added = add(member.folder)
    print(printable(f"zoo:{added.name}"), flush=True)


def forget_place(folder: Path) -> None:
    """Remove the run's host and folder from its status.json."""
    status = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    kept = {name: value for name, value in status.items() if name != "folder"} | {"host": ""}
    if kept != status:
        replace_text(folder / STATUS_FILE, json.dumps(kept, indent=1) + "\n")


def _suites_of(members: Sequence[Member]) -> list[Suite]:
    """The suites that contain the runs, without those that are not built in."""
    from benchmarks.suites.reading import load

    found = []
    for name in sorted({name for member in members for name in member.suites}):
        try:
            found.append(load(name))
        except BadInput as error:
            print(printable(f"{PROG}: wanted runs unknown: {error}"), file=sys.stderr)
    return found


def write_wanted(suites: Sequence[Suite], file: Path) -> None:
    """Write the runs of the suites, one per row of WANTED; without any, the file is unchanged.

    A run of several suites has the variant of the first of them.
    """
    from benchmarks.cli.defaults import task_settings
    from benchmarks.suites.suite import expand

    rows = {}
    for suite in suites:
        for entry in expand(suite, task_settings):
            spec = entry.spec
            source = getattr(getattr(spec.agent, "model", None), "cost_source", "")
            about = (spec.method, entry.variant, source, spec.task, spec.obs, spec.seed)
            minutes = "" if spec.max_minutes is None else f"{spec.max_minutes:g}"
            rows.setdefault(spec.run_id, (spec.run_id, *about, spec.steps, minutes))
    if not rows:
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([WANTED, *rows.values()])
    replace_text(file, text.getvalue())
