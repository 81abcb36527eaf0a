"""`safedreamer evaluate`: evaluate the newest checkpoint of a run, local or shared, a policy of the
zoo, or a checkpoint published by the authors.

A policy is meaningless on another task or observation than it was trained on; that is refused
unless forced.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli import official_names
from benchmarks.cli.common import parse
from benchmarks.cli.playing import PROG, Policy, run
from benchmarks.envs.factory import choose_python
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.folder import variant_of
from benchmarks.runs.places import check_file, check_folder
from benchmarks.runs.reading import read_text, sha256_of
from benchmarks.runs.spec import RunSpec
from benchmarks.suites.acting import acting, parsed
from benchmarks.suites.names import MAX_BYTES, MAX_TASK_BYTES, file_name, label
from benchmarks.tasks import get_task, tasks
from benchmarks.training.episodes import UNSEEN_EPISODE
from benchmarks.zoo.trained import Trained, here, named, trained

if TYPE_CHECKING:
    from benchmarks.video.film import Filming


@dataclasses.dataclass(frozen=True)
class EvaluateArgs:
    """Run evaluation episodes and print returns and costs."""

    run: Annotated[str | None, tyro.conf.Positional] = None
    """Run folder of `safedreamer train`, zoo:METHOD/TASK/SEED, or hub:TARGET of `safedreamer push`;
    not with --official.
    """
    official: Path | None = None
    """Authors' checkpoint; needs --task unless its name, as published, gives method, task,
    observation and seed.
    """
    method: str | None = None
    """Method of an --official checkpoint; bsrp_lag if not given."""
    stoch: int | None = None
    """Latent variables of an --official checkpoint; only needed if they differ in number from the
    classes per variable.
    """
    task: str | None = None
    """Task; that of the run if not given."""
    obs: str | None = None
    """Observation; that of the run, or the published one of the task, if not given."""
    force: bool = False
    """Evaluate even if task or observation differ from those of training."""
    set: tuple[str, ...] = ()
    """Agent settings to act with instead of those of training: with act_with=planner
    planner.feasible_cost=return an actor's agent plans.
    """
    episodes: int = 10
    """Number of episodes, with fixed layouts 0, 1, ... of the seed: those of the evaluations during
    training.
    """
    unseen: bool = False
    """Play layouts 1000, 1001, ... of the seed instead, which neither training nor its evaluations
    used.
    """
    seed: int | None = None
    """Seed of layouts and actions; the run's own, or 0, if not given."""
    out: Path | None = None
    """File for the records; if not given, evaluation-TASK-OBS-STEPS.csv, with --unseen, --seed,
    --episodes and --set in its name, in the run folder if there is one.
    """
    workers: Literal["process", "inline"] = "inline"
    """All environments in this process, or one process per environment, which takes 0.8 GB each
    with images.
    """
    env_python: str | None = None
    """Python interpreter for the environments, with Safety-Gymnasium; if not given,
    SAFEDREAMER_ENV_PYTHON, else this one.
    """
    video: bool = False
    """Write a video of each of the first episodes into a folder named like the records; nothing
    else changes.
    """
    stills: int = 0
    """Still frames to write per filmed episode; some show a cost if one is incurred."""
    video_episodes: int = 1
    """Number of episodes to film; all, if there are fewer."""
    video_fps: float = 20.0
    """Frames per second of videos, which have one frame per agent step."""
    dream_context: int = 20
    """Observed agent steps before a prediction of the world model, in videos."""
    dream_steps: int = 30
    """Agent steps per prediction of the world model, in videos."""

    def filming(self) -> Filming | None:
        """What to film, or None. Raises BadInput for settings of films without a film."""
        filmed, needs = bool(self.video or self.stills), "--video or --stills"
        for name, used, option in (
            ("video_fps", self.video, "--video"),
            ("video_episodes", filmed, needs),
            ("dream_context", filmed, needs),
            ("dream_steps", filmed, needs),
        ):
            if not used and getattr(self, name) != getattr(EvaluateArgs, name):
                raise BadInput(f"--{name.replace('_', '-')} goes with {option}: add it")
        if not filmed:
            return None
        from benchmarks.video.film import Filming

        episodes = min(self.video_episodes, self.episodes)
        dreams = (self.dream_context, self.dream_steps)
        return Filming(self.video, self.stills, episodes, self.video_fps, *dreams)


def main(args: Sequence[str]) -> int:
    """Evaluate, write the records and print a table; returns 0."""
    chosen = parse(EvaluateArgs, args, PROG)
    if (chosen.run is None) == (chosen.official is None):
        raise BadInput(
            "give either a run folder or --official FILE; zoo:METHOD/TASK/SEED and hub:TARGET name "
            "runs, too"
        )
    if chosen.out is not None:
        check_file(chosen.out)
    choose_python(chosen.env_python)
    from benchmarks.methods import method as find

    filming = chosen.filming()
    policy = _of_file(chosen) if chosen.official is not None else _of_run(chosen)
    policy = _acting(policy, chosen.set)
    out = chosen.out or _default_out(policy, chosen)
    check_file(out)
    if filming is not None:
        if not out.suffix:
            raise BadInput(
                f"--out {out}: a name with a suffix, such as {out}.csv; without it, it names the "
                "folder of videos"
            )
        check_folder(out.with_suffix(""))
    found, first_episode = policy.trained, UNSEEN_EPISODE if chosen.unseen else 0
    if not policy.official and find(found.spec.method).engine == "torch":
        if filming is not None:
            raise BadInput(
                f"videos are not offered for {found.spec.method}, which runs in a process of "
                "its own; leave --video and --stills"
            )
        from benchmarks.omnisafe.process import run_in_child

        return run_in_child(
            "evaluate",
            found.spec,
            found.folder,
            episodes=chosen.episodes,
            first_episode=first_episode,
            out=str(out),
            published=found.published(),
            label=label(found.spec.method, policy.variant),
        )
    run(policy, out, chosen.episodes, chosen.workers, filming, first_episode)
    return 0


def _of_run(chosen: EvaluateArgs) -> Policy:
    assert chosen.run is not None
    if chosen.method is not None or chosen.stoch is not None:
        raise BadInput("--method and --stoch go with --official; a run knows its own")
    found = trained(chosen.run)
    spec = found.spec
    task, obs = chosen.task or spec.task, chosen.obs or spec.obs
    if (task, obs) != (spec.task, spec.obs) and not chosen.force:
        raise BadInput(
            f"{chosen.run} was trained on {spec.task} ({spec.obs}), not on {task} ({obs}); "
            "--force evaluates all the same"
        )
    with as_bad_input():
        spec = dataclasses.replace(spec, task=task, obs=get_task(task).check_obs(obs))
    found = found._replace(spec=_seeded(spec, chosen))
    return Policy(found, name=chosen.run if named(chosen.run) else "")


def _of_file(chosen: EvaluateArgs) -> Policy:
    from agents.safedreamer.release.checkpoint import load_official
    from benchmarks.cli.defaults import official_spec

    path = chosen.official
    assert path is not None
    if (says := official_names.named(path)) is not None and chosen.task in (None, says.task):
        chosen = dataclasses.replace(
            chosen,
            method=chosen.method or says.method,
            task=says.task,
            obs=chosen.obs or says.obs,
            seed=says.seed if chosen.seed is None else chosen.seed,
        )
    if chosen.task is None:
        raise BadInput(
            "--official needs --task: neither the file nor its name says what it was trained on"
        )
    if not path.is_file():
        raise BadInput(f"--official {path}: no such file")
    around = tasks_named(path)
    if around and chosen.task not in around and not chosen.force:
        raise BadInput(
            f"{path} was trained on {' or '.join(around)} as its path or configuration says, not "
            f"on {chosen.task}; --force evaluates all the same"
        )
    spec = official_spec(chosen.method or "bsrp_lag", chosen.task, chosen.obs, path)
    with as_bad_input():
        step = load_official(path).step
    steps = step * spec.loop.action_repeat
    return Policy(Trained(_seeded(spec, chosen), path, steps, step), True, chosen.stoch)


def tasks_named(path: Path) -> list[str]:
    """Tasks that a checkpoint was trained on, judging by the files and folders around it.

    That is the `task` in a config.json or config.yaml next to it, else those whose name, such as
    PointGoal1, is in its path: the authors' folders are named after their tasks.
    """
    text = str(path.resolve()).lower()
    for name in ("config.json", "config.yaml"):
        try:
            beside = read_text(path.with_name(name))
        except (BadInput, OSError):  # it only serves to check the task that was given
            continue
        if found := re.search(r'^\W*task\W*: *"?([\w-]+)', beside, re.MULTILINE):
            text = found[1].lower()
            break
    short = {task: re.sub(r"^Safety|-v\d$", "", task).lower() for task in tasks()}
    return [
        task
        for task, name in short.items()
        if re.search(rf"(?<![a-z]){name}(?!\d)|safety{name}(?!\d)", text)
    ]


def _acting(policy: Policy, texts: Sequence[str]) -> Policy:
    """The policy with the settings of --set, named after its variant and these, as in `stress`."""
    found = policy.trained
    spec, changed = acting(found.spec, parsed(texts))
    variant = "" if policy.official else variant_of(found.folder)
    variant = ", ".join(filter(None, [variant, changed]))
    return policy._replace(trained=found._replace(spec=spec), variant=variant)


def _seeded(spec: RunSpec, chosen: EvaluateArgs) -> RunSpec:
    return spec if chosen.seed is None else dataclasses.replace(spec, seed=chosen.seed)


def _default_out(policy: Policy, chosen: EvaluateArgs) -> Path:
    """A file for each policy and choice of layouts, number of episodes and settings."""
    spec, _, env_steps, *_ = policy.trained
    name = f"evaluation-{file_name(spec.task, MAX_TASK_BYTES)}-{spec.obs}-{env_steps}"
    name += "-unseen" if chosen.unseen else ""
    if policy.official:
        name += f"-{file_name(spec.method)}-{sha256_of(policy.trained.source)[:6]}"
    if policy.official or chosen.seed is not None:
        name += f"-seed{spec.seed}"
    if chosen.episodes != EvaluateArgs.episodes:
        name += f"-episodes{chosen.episodes}"
    if chosen.set:
        name += f"-{file_name(policy.variant)}"
        if len(policy.variant.encode()) > MAX_BYTES:  # cut: two of them may begin alike
            name += f"-{hashlib.sha256(policy.variant.encode()).hexdigest()[:6]}"
    name += ".csv"
    if policy.name:
        return Path(f"{here(policy.name)}-{name}")
    return Path(name) if policy.official else policy.trained.folder / name
