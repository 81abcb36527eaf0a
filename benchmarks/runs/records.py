"""The per-episode record: one flat row for every finished episode, and the only definition of its
columns.

Writers flush after every row, so that a killed run keeps its records. Readers need only pandas: the
analysis imports this module on machines without JAX or a simulator.

Units: `env_steps` are simulator steps of *training* when the episode finished (for an evaluation
episode: when the evaluation took place), `agent_steps` policy actions of training at that time;
`length` is the episode's own length in simulator steps; `return` and `cost` are undiscounted sums
over the episode; `wall_seconds` counts from the start of the run, resumes included.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, get_type_hints

from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import DamagedFile, decode, read_bytes
from benchmarks.runs.writing import Appended, replaced

if TYPE_CHECKING:
    import pandas as pd

TRAIN, EVAL = "train", "eval"
# the same evaluation episodes with sampled actions, for methods that support both
EVAL_SAMPLED = "eval_sampled"
# the frozen policy after training, on layouts unseen by training and its evaluations
FINAL = "final"
SPLITS = (TRAIN, EVAL, EVAL_SAMPLED, FINAL)
CLOCK = ("wall_seconds",)  # columns in which a resumed run may differ from an uninterrupted one
MAX_LINE = 10_000  # bytes of a row
# fault of a last row that is still being written, or whose writer was killed
CUT_OFF = "cut off: no end of line"
LARGEST_INT = 2**53  # of seeds, episodes, steps, lengths: still exact as a float
MAX_FILE = 4 * 2**30  # bytes of all rows


class EpisodeRecord(NamedTuple):
    """One finished episode. `return_` is the column `return`, a Python keyword."""

    run_id: str
    method: str
    task: str
    obs: str
    seed: int
    split: str  # one of SPLITS
    episode: int  # index within its split; evaluation repeats the same indices each time
    env_steps: int
    agent_steps: int
    return_: float
    cost: float
    length: int
    wall_seconds: float

    @classmethod
    def of(
        cls, run: Any, split: str, played: Any, env_steps: int, agent_steps: int, seconds: float
    ) -> Self:
        """Return the record of an episode, at `env_steps` and `agent_steps` of training.

        `run` is a RunSpec, `played` has `episode`, `return_`, `cost` and `length`.
        """
        of_run = (run.run_id, run.method, run.task, run.obs, run.seed, split)
        sums = (played.return_, played.cost, played.length)
        return cls(*of_run, played.episode, env_steps, agent_steps, *sums, seconds)


_TYPES: Mapping[str, type] = get_type_hints(EpisodeRecord)  # field -> str, int or float, in order
_DTYPE_OF = {str: "str", int: "int64", float: "float64"}
DTYPES: Mapping[str, str] = {field.rstrip("_"): _DTYPE_OF[kind] for field, kind in _TYPES.items()}
COLUMNS: tuple[str, ...] = tuple(DTYPES)
# stress tests add what was perturbed, and how much
STRESS_COLUMNS = (*COLUMNS, "perturbation", "strength")
# prediction errors in a stress test, one row per cell and number of agent steps ahead: the cell,
# the number of predicted windows, and the errors (benchmarks.stress.errors)
ERROR_COLUMNS = (
    *("run_id", "method", "task", "perturbation", "strength", "windows", "steps_ahead"),
    *("observation_error", "reward_error", "cost_error", "cost_predicted", "cost_true"),
)
# findings of a diagnosis, one number per row (benchmarks.diagnosis.findings)
FINDING_COLUMNS = ("quantity", "predictor", "steps_ahead", "bin_low", "env_steps", "value")


class RecordWriter(Appended):
    """Appends records to a CSV file; creates it with its header when absent or empty.

    Raises BadInput if the file exists with other columns: a file never mixes two schemas.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        if not fresh:
            check_header(path)
        super().__init__(path)
        self._csv = csv.writer(self._file, lineterminator="\n")
        if fresh:
            self._csv.writerow(COLUMNS)
            self._file.flush()

    def write(self, record: EpisodeRecord) -> None:
        """Append one row, of plain Python values even for NumPy scalars, and flush it."""
        self._csv.writerow(
            [kind(value) for value, kind in zip(record, _TYPES.values(), strict=True)]
        )
        self._file.flush()


def write_records(path: str | os.PathLike[str], rows: Iterable[EpisodeRecord]) -> None:
    """Write these records to a file, replacing an existing one once all are written."""
    with replaced(path) as temporary, RecordWriter(temporary) as writer:
        for row in rows:
            writer.write(row)


def check_header(path: str | os.PathLike[str]) -> None:
    """Raise BadInput unless the file's first line is exactly this schema."""
    with Path(path).open("rb") as file:
        line = decode(file.readline(MAX_LINE), path)
    header = tuple(next(csv.reader([line.rstrip("\r\n")]), ()))
    if header != COLUMNS:
        missing = [c for c in COLUMNS if c not in header]
        extra = [c for c in header if c not in COLUMNS]
        names = f"missing {missing}, unknown {extra}"
        detail = one_line(names if missing or extra else f"order {list(header)}")
        raise BadInput(
            f"{path} is not a file of episode records: {detail}; expected the columns "
            f"{','.join(COLUMNS)}"
        )


def read_records(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the records of a file (or run folder) as a DataFrame with the columns and dtypes of
    `DTYPES`.

    Leaves out and raises like `read_whole_rows`.
    """
    import pandas as pd  # here, so that importing the schema is cheap

    path = Path(path)
    rows = read_whole_rows(path / RECORDS_FILE if path.is_dir() else path)
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS)).astype(dict(DTYPES))


def read_whole_rows(path: str | os.PathLike[str]) -> list[EpisodeRecord]:
    """Read the rows of a file, without pandas, but for a last one without its end.

    Raises like `read_rows`, and DamagedFile for another damaged row.
    """
    rows, damage = read_rows(path)
    for line, why in damage.items():
        if why != CUT_OFF:
            raise DamagedFile(path, line, why)
    return rows


class Rows(NamedTuple):
    """Valid rows of a file, in order, and the faults of other rows by line (1 is the header)."""

    records: list[EpisodeRecord]
    damage: dict[int, str]


def read_rows(path: str | os.PathLike[str], limit: int | None = None) -> Rows:
    """Read the rows in the first `limit` bytes (None: all) of a file, without pandas.

    Raises FileNotFoundError, BadInput for a file with other columns, DamagedFile for one that
    cannot be read at all.
    """
    path = Path(path)
    data = read_bytes(path, MAX_FILE)
    check_header(path)
    lines = (data if limit is None else data[:limit]).split(b"\n")
    rows = Rows([], {})
    for number, line in enumerate(lines[1:], start=2):
        if number == len(lines):
            if line:
                rows.damage[number] = CUT_OFF
            break
        try:
            rows.records.append(parse_row(line.decode("utf-8")))
        except ValueError as error:
            rows.damage[number] = one_line(str(error))
    return rows


def parse_row(line: str) -> EpisodeRecord:
    """Parse one row. Raises ValueError with the reason if it is invalid."""
    try:
        cells = next(csv.reader([line]), []) if '"' in line else line.rstrip("\r").split(",")
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells) if line.strip() else 0} of {len(COLUMNS)} fields")
    record = EpisodeRecord(*map(_value, COLUMNS, _TYPES.values(), cells))
    if record.split not in SPLITS:
        raise ValueError(f"split is {record.split!r}")
    return record


def _value(name: str, kind: type, cell: str) -> Any:
    try:
        value = kind(cell)
        if (kind is int and not 0 <= value <= LARGEST_INT) or (kind is str and "\0" in cell):
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is {cell!r:.60}") from None
    return value


def truncate(path: str | os.PathLike[str], position: int) -> None:
    """Truncate a file to `position` bytes, dropping rows written after the resumed checkpoint.

    Raises ValueError if the file is shorter: rows from before the checkpoint are missing.
    """
    path = Path(path)
    size = path.stat().st_size if path.exists() else 0
    if size < position:
        raise ValueError(
            f"{path} has {size} bytes but its checkpoint was taken at {position}: rows were "
            "removed by hand"
        )
    if size > position:
        os.truncate(path, position)
