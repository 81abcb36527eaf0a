"""`safedreamer train`: one run from the command line, in two stages.

The first stage parses method, observation and preset; they determine the defaults of everything
else, which the second stage parses and --help shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from baselines.omnisafe.algorithms import own_name
from benchmarks.cli.common import parse, parse_known
from benchmarks.cli.foreground import train_here
from benchmarks.envs.factory import choose_python
from benchmarks.process.help import Guide
from benchmarks.process.options import HELP
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.files import CHECKPOINTS, SPEC_FILE
from benchmarks.runs.reading import sha256_of
from benchmarks.runs.spec import (
    ENV_TIMEOUT_SECONDS,
    MAX_ENV_FAULTS,
    LoopConfig,
    ReplayConfig,
    RunSpec,
)
from benchmarks.runs.spec_file import read_spec
from benchmarks.suites.names import MAX_TASK_BYTES, file_name

PROG = "safedreamer train"
# options of `omnisafe train` as ours: `--algo PPOLag --env-id ID`
OMNISAFE = {
    "--algo": "--method",
    "--env-id": "--task",
    "--total-steps": "--steps",
    "--vector-env-nums": "--loop.num-envs",
}
ABOUT = "Train a method on a task, into a run folder; the same command again continues it."
GUIDE = Guide(
    brief=(
        "--method", "--task", "--obs", "--preset", "--seed", "--steps", "--out", "--max-minutes",
    ),
    rest=(
        "--init-from", "--tensorboard", "--wandb", "--mlflow", "--verbose", "--report-seconds",
        "--env-timeout-seconds", "--max-env-faults", "--env-python",
    ),
    examples=(
        "--task SafetyCarGoal1-v0 --obs lidar --preset cpu",
        "--method ppo_lag --preset matched --seed 3 --out runs/ppo",
        "--method my_methods:METHOD --task my_envs:make",
        "--planner.horizon 10 --cost-limit 5    # any setting by name",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TrainArgs:
    """Options of `safedreamer train` besides settings of loop, replay and agent."""

    method: str = "osrp_lag"
    """Method, or module:METHOD for your own; `safedreamer methods` lists them."""
    task: str = "SafetyPointGoal1-v0"
    """Task id, or your own as module:factory or module:Env-v0; `safedreamer tasks` lists them."""
    obs: str | None = None
    """Observation: vision, coordinates, lidar or default; if not given, the task's published one,
    or lidar for a method without vision.
    """
    preset: str = "release"
    """Sizes and schedules: release (the authors'), matched (baselines at our action repeat and cost
    limit), cpu (two cores), debug (seconds).
    """
    seed: int = 0
    """Seed of parameters, actions and layouts."""
    steps: int | None = None
    """Simulator steps to train for, such as 2e6; the preset's if not given."""
    out: Path | None = None
    """Run folder; runs/TASK-OBS-METHOD-seedSEED if not given. A folder with the same settings is
    continued.
    """
    init_from: Path | None = None
    """Run folder whose newest checkpoint training starts from (fine-tuning, also on another task
    where shapes agree), or an authors' checkpoint (checkpoint.ckpt).
    """
    max_minutes: float | None = None
    """Wall-clock budget of the run in minutes, resumes included; it ends with a last evaluation and
    a checkpoint. None: no limit.
    """
    tensorboard: bool = False
    """Also write metrics, returns and costs for TensorBoard."""
    wandb: str | None = None
    """Weights & Biases project to log to; nothing is logged there by default."""
    mlflow: str | None = None
    """MLflow experiment to log to, at MLFLOW_TRACKING_URI."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False
    """Also show losses, which metrics.jsonl always contains."""
    report_seconds: float = 60.0
    """Seconds between progress lines if stdout is not a terminal."""
    env_timeout_seconds: float = ENV_TIMEOUT_SECONDS
    """Seconds after which an unresponsive environment is replaced."""
    max_env_faults: int = MAX_ENV_FAULTS
    """Environment replacements (crashed, hanging, raising) after which this start fails."""
    env_python: str | None = None
    """Python interpreter for the environments, with Safety-Gymnasium; if not given,
    SAFEDREAMER_ENV_PYTHON, else this one.
    """


def read(args: Sequence[str]) -> tuple[TrainArgs, RunSpec]:
    """Parse the command line into a run. Raises BadInput before anything is started or written."""
    args = translated(args)
    first = parse_known(TrainArgs, [word for word in args if word not in HELP], PROG)
    choose_python(first.env_python)
    from benchmarks.cli.defaults import check_official, default_obs, task_settings
    from benchmarks.methods import check_spec
    from benchmarks.tasks import get_task

    with as_bad_input():
        task = get_task(first.task)
        obs = task.check_obs(first.obs or default_obs(first.method, task))
        preset = task_settings(first.method, task.id, obs, first.preset)
        run = dataclasses.replace(
            first,
            obs=obs,
            steps=first.steps if first.steps is not None else preset.steps,
            max_minutes=first.max_minutes if first.max_minutes is not None else preset.max_minutes,
        )
        _check_names(type(preset.agent), first.method)
        everything = _everything(type(preset.agent))
        default = everything(run=run, loop=preset.loop, replay=preset.replay, agent=preset.agent)
        chosen: Any = parse(everything, args, PROG, ABOUT, default, guide=GUIDE)
        steps = chosen.run.steps
        if steps is None:  # `--steps None` on the command line
            raise BadInput("--steps must be a number of simulator steps")
        spec = RunSpec(
            method=first.method,
            task=task.id,
            obs=obs,
            seed=first.seed,
            steps=steps,
            preset=first.preset,
            loop=chosen.loop,
            replay=chosen.replay,
            agent=chosen.agent,
            init_from=str(first.init_from) if first.init_from else "",
            max_minutes=chosen.run.max_minutes,
        )
        if first.init_from:
            of_start = _recorded_sha256(spec, first.out or default_out(spec))
            sha256 = of_start or _sha256(first.init_from)
            spec = dataclasses.replace(spec, init_sha256=sha256)
            if not of_start and not first.init_from.is_dir():
                check_official(spec, first.init_from)
        check_spec(spec)
    return chosen.run, spec


def _check_names(agent_type: type, method: str) -> None:
    """Raise BadInput if settings of a user's own method have the names of options."""
    taken = {field.name for field in dataclasses.fields(TrainArgs)} | {"loop", "replay"}
    if both := [field.name for field in dataclasses.fields(agent_type) if field.name in taken]:
        raise BadInput(
            f"{method}: {', '.join(both)} of its config would be --{both[0].replace('_', '-')}, "
            "which is an option of train: rename it"
        )


def translated(args: Sequence[str]) -> list[str]:
    """Replace OmniSafe's options, and its names of algorithms, by ours."""
    words: list[str] = []
    option = ""  # OmniSafe's option whose value is next
    for word in args:
        name, equals, value = word.partition("=")
        if (spelled := name.replace("_", "-")) in OMNISAFE:
            words.append(f"{OMNISAFE[spelled]}{equals}{_value(spelled, value)}")
            option = "" if equals else spelled
        else:
            words.append(_value(option, word))
            option = ""
    return words


def _value(option: str, value: str) -> str:
    return (own_name(value) or value) if option == "--algo" else value


def _everything(agent_type: type) -> Any:
    """The dataclass of the second stage: agent settings carry no prefix of their own."""
    return dataclasses.make_dataclass(
        "Train",
        [
            ("run", Annotated[TrainArgs, tyro.conf.arg(name="")]),
            ("loop", LoopConfig),
            ("replay", ReplayConfig),
            ("agent", Annotated[agent_type, tyro.conf.arg(name="")]),
        ],
        frozen=True,
    )


def _recorded_sha256(spec: RunSpec, out: Path) -> str:
    """Of the parameters that the run in `out` started from, if it continues from a checkpoint.

    Otherwise "". The source may have been trained on, moved or deleted since.
    """
    if not _saved_steps(out):
        return ""
    recorded = read_spec(out)["spec"]
    return recorded.get("init_sha256", "") if recorded.get("init_from") == spec.init_from else ""


def _saved_steps(out: Path) -> int:
    """Simulator steps of the newest checkpoint of the run in `out`; 0 if there is none."""
    found = [int(path.name) for path in (out / CHECKPOINTS).glob("*") if path.name.isdecimal()]
    return max(found, default=0) if (out / SPEC_FILE).exists() else 0


def _check_steps(spec: RunSpec, out: Path) -> None:
    """Raise BadInput if the run in `out` has passed the new, lower number of steps."""
    if spec.steps < (reached := _saved_steps(out)) and (
        spec.steps < (before := read_spec(out)["spec"]["steps"])
    ):
        raise BadInput(
            f"{out} is at {reached} of {before} simulator steps, beyond --steps {spec.steps}: give "
            f"--steps {before} to continue it, or choose another --out"
        )


def _sha256(path: Path) -> str:
    if path.is_dir():
        from benchmarks.methods.saved import newest
        from benchmarks.runs.checkpoint import fingerprint

        return fingerprint(newest(path).checkpoint)
    if not path.is_file():
        raise BadInput(f"--init-from {path}: no such file or run folder")
    return sha256_of(path)


def default_out(spec: RunSpec) -> Path:
    """The run folder if --out is not given."""
    task = file_name(spec.task, MAX_TASK_BYTES)
    return Path("runs") / f"{task}-{spec.obs}-{file_name(spec.method)}-seed{spec.seed}"


def main(args: Sequence[str]) -> int:
    """Train; returns the exit status of `start`."""
    return start(args)[0]


def start(args: Sequence[str]) -> tuple[int, Path]:
    """Train; returns an exit status and the run folder.

    The status is 0, also if the time budget ends the run, or EXIT_STOPPED after a signal, with a
    checkpoint; for a method of OmniSafe's, that of its process.
    """
    run, spec = read(args)
    out = run.out or default_out(spec)
    from benchmarks.runs.folder import check

    check(spec, out)  # before the imports that take seconds
    _check_steps(spec, out)
    status = train_here(
        spec,
        out,
        run.report_seconds,
        run.verbose,
        tensorboard=run.tensorboard,
        wandb=run.wandb,
        mlflow=run.mlflow,
        env_timeout_seconds=run.env_timeout_seconds,
        max_env_faults=run.max_env_faults,
    )
    return status, out
