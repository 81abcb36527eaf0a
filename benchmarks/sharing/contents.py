"""Contents of a shared run: its spec, place in a sweep, records, metrics, newest checkpoint,
videos, and a card.

The replay buffer, logs and files of its process are not shared: a shared run can be evaluated,
filmed and plotted, but not trained further.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.runs import checkpoint
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import CHECKPOINTS, METRICS_FILE, RECORDS_FILE, SPEC_FILE, SWEEP_FILE
from benchmarks.runs.folder import variant_of
from benchmarks.runs.identity import flatten
from benchmarks.runs.reading import read_text, sha256_of
from benchmarks.runs.records import EVAL, read_rows
from benchmarks.runs.spec_file import read_spec
from benchmarks.suites.names import label

CARD, SUMS = "README.md", "SHA256SUMS"
LAST = 10  # evaluation episodes averaged on the card
VIDEOS = (".mp4", ".png")


def gather(run: Path, into: Path) -> None:
    """Copy the shared files of a run folder into the empty folder `into`.

    Raises BadInput if it is not a run, or has no intact checkpoint.
    """
    spec = read_spec(run)
    found, _ = checkpoint.find(run / CHECKPOINTS)
    if found is None:
        raise BadInput(f"{run} has no intact checkpoint to share")
    names = [SPEC_FILE, SWEEP_FILE, RECORDS_FILE, METRICS_FILE]
    files = [run / name for name in names if (run / name).is_file()]
    files += sorted(run.glob("evaluation-*.csv"))
    files += sorted(path for path in run.glob("evaluation-*/*") if path.suffix in VIDEOS)
    files += sorted(path for path in found.iterdir() if path.is_file())
    for file in files:
        copy = into / file.relative_to(run)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    (into / CARD).write_text(card(run, spec, int(found.name)), encoding="utf-8")
    (into / SUMS).write_text(sums(into), encoding="utf-8")


def check(folder: Path) -> None:
    """Raise BadInput unless the folder is a shared run whose files match their checksums."""
    if not (folder / SUMS).is_file():
        raise BadInput(f"no shared run: there is no {SUMS}")
    shared, here = (set(text.splitlines()) for text in (read_text(folder / SUMS), sums(folder)))
    if shared != here:
        names = sorted({line.partition("  ")[2] for line in shared ^ here})
        raise BadInput(
            f"files differ from those that were shared ({SUMS}): {', '.join(names[:3])}; fetch it "
            "again, or have it pushed anew"
        )
    read_spec(folder)


def sums(folder: Path) -> str:
    """One line per file in the format of sha256sum; the card, which may be edited, is left out."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in (SUMS, CARD):
            lines.append(f"{sha256_of(path)}  {name}\n")
    return "".join(lines)


def card(run: Path, data: dict[str, Any], env_steps: int) -> str:
    """The card in Markdown: settings of the policy, its scores, and how to use it."""
    spec, start = data["spec"], data["starts"][-1] if data["starts"] else {}
    records = run / RECORDS_FILE
    found = read_rows(records).records if records.is_file() else []
    rows = [row for row in found if row.split == EVAL][-LAST:]
    source = flatten(spec["agent"]).get("model.cost_source", "")
    name = label(spec["method"], variant_of(run)).replace("|", "\\|")
    facts = {
        "method": name,
        "task": spec["task"],
        "observation": spec["obs"],
        "seed": spec["seed"],
        "preset": spec["preset"],
        "simulator steps": f"{env_steps:,}",
        "costs": {"": "learned", "head": "learned", "none": "none"}.get(source, f"from {source}"),
        "cost limit": spec["agent"].get("cost_limit", "see spec.json"),
        "run": f"`{data['run_id']}`",
        "commit": (start.get("git") or {}).get("commit") or "unknown",
    }
    lines = [f"# {name} on {spec['task']}", "", "| | |", "|---|---|"]
    lines += [f"| {fact} | {value} |" for fact, value in facts.items()]
    if rows:
        means = [sum(getattr(r, k) for r in rows) / len(rows) for k in ("return_", "cost")]
        lines += ["", f"Mean of the last {len(rows)} evaluation episodes of training, one seed:"]
        lines += [f"return {means[0]:.2f}, cost {means[1]:.2f}."]
    lines += ["", "With TARGET the place where this is:", "", "```"]
    lines += ["safedreamer evaluate hub:TARGET --unseen", "safedreamer pull TARGET DIR", "```"]
    return "\n".join([*lines, ""])
