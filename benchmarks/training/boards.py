"""Optional metric boards besides the run's own files: TensorBoard, Weights & Biases and MLflow."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmarks.runs.errors import BadInput
from benchmarks.runs.identity import flatten
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.training.counters import Options


class Board(Protocol):
    """Logs finite numbers against simulator steps."""

    def write(self, values: Mapping[str, float], env_steps: int) -> None: ...

    def close(self) -> None: ...


def _imported(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise BadInput(f"--{package} needs the package {package}: pip install {package}") from error


def _names(spec: RunSpec, folder: Path) -> tuple[str, str]:
    """An id of the run, the same when it resumes, and a name to show."""
    name = f"{spec.method}-{spec.task}-{spec.obs}-seed{spec.seed}"
    return f"{spec.run_id}-{folder.resolve().name}", name


class TensorBoard:
    """Event files in `folder`, from simulator step `start` on.

    TensorBoard drops later points written by earlier attempts when reading.
    """

    def __init__(self, folder: Path, start: int = 0) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=start + 1 if start else 0)

    def write(self, values: Mapping[str, float], env_steps: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, env_steps)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A W&B run in `project`, continued when the run resumes.

    W&B's environment variables (WANDB_MODE, ...) choose where the data goes.
    """

    def __init__(self, project: str, folder: Path, spec: RunSpec) -> None:
        own, name = _names(spec, folder)
        self._run: Any = _imported("wandb").init(
            project=project,
            dir=str(folder),
            id=own,
            resume="allow",
            name=name,
            config=to_dict(spec),
        )
        # not W&B's own step, because a resumed run goes back to its checkpoint
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, values: Mapping[str, float], env_steps: int) -> None:
        self._run.log({**values, "env_steps": env_steps})

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """An MLflow run in `experiment`, continued when the run resumes.

    MLflow's environment variables (MLFLOW_TRACKING_URI, ...) choose where the data goes.
    """

    TAG = "safedreamer.run"  # tag that identifies the MLflow run of a resumed run

    def __init__(self, experiment: str, folder: Path, spec: RunSpec) -> None:
        self._mlflow = _imported("mlflow")
        own, name = _names(spec, folder)
        self._mlflow.set_experiment(experiment)
        query = f"tags.`{self.TAG}` = '{own}'"
        found = self._mlflow.search_runs(
            experiment_names=[experiment], filter_string=query, output_format="list"
        )
        if found:
            self._mlflow.start_run(run_id=found[0].info.run_id)
            return
        self._mlflow.start_run(run_name=name, tags={self.TAG: own})
        self._mlflow.log_params(flatten(to_dict(spec)))

    def write(self, values: Mapping[str, float], env_steps: int) -> None:
        self._mlflow.log_metrics(dict(values), step=env_steps)

    def close(self) -> None:
        self._mlflow.end_run()


class Boards:
    """All boards of a run; non-finite numbers are written only to the run's own files."""

    def __init__(self, boards: list[Board]) -> None:
        self._boards = boards

    def write(self, values: Mapping[str, float], env_steps: int) -> None:
        """Write the finite values to every board."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        for board in self._boards:
            board.write(finite, env_steps)

    def close(self) -> None:
        for board in self._boards:
            board.close()


def boards(spec: RunSpec, out: Path, options: Options, start: int = 0) -> Boards:
    """The requested boards of a run that continues from step `start`.

    Raises BadInput if one is not installed.
    """
    chosen: list[Board] = [TensorBoard(out / "tensorboard", start)] if options.tensorboard else []
    if options.wandb is not None:
        chosen.append(WeightsAndBiases(options.wandb, out, spec))
    if options.mlflow is not None:
        chosen.append(MLflow(options.mlflow, out, spec))
    return Boards(chosen)
