"""The episode schema, its writer and its reader."""

from __future__ import annotations

import contextlib
import errno

import numpy as np
import pytest

from benchmarks.runs.metrics import MetricsWriter
from benchmarks.runs.reading import DamagedFile
from benchmarks.runs.records import (
    COLUMNS,
    DTYPES,
    EpisodeRecord,
    RecordWriter,
    read_records,
    truncate,
    write_records,
)

RECORD = EpisodeRecord(
    "abc",
    "osrp",
    "SafetyPointGoal1-v0",
    "coordinates",
    3,
    "train",
    7,
    2000,
    400,
    12.5,
    1.0,
    1000,
    60.25,
)


def test_columns_are_those_of_the_specification():
    expected = (
        "run_id method task obs seed split episode env_steps agent_steps return cost length "
        "wall_seconds"
    ).split()
    assert list(COLUMNS) == expected
    assert (
        DTYPES["return"] == "float64" and DTYPES["env_steps"] == "int64" and DTYPES["obs"] == "str"
    )


def test_a_row_survives_writing_and_reading(tmp_path):
    path = tmp_path / "episodes.csv"
    with RecordWriter(path) as writer:
        writer.write(RECORD)
        # numpy scalars, a name that looks like a missing value, a comma: none of them may change
        writer.write(
            RECORD._replace(
                method="nan", task="a,b", return_=np.float32(0.1), env_steps=np.int64(5)
            )
        )
    frame = read_records(path)
    assert dict(frame.iloc[0]) == dict(zip(COLUMNS, RECORD, strict=True))
    assert list(frame["method"]) == ["osrp", "nan"] and frame["task"][1] == "a,b"
    assert frame["return"][1] == float(np.float32(0.1)) and frame["env_steps"].dtype == np.int64


def test_rows_after_a_position_can_be_cut_while_the_file_is_open(tmp_path):
    with (
        RecordWriter(tmp_path / "episodes.csv") as writer,
        contextlib.closing(MetricsWriter(tmp_path)) as metrics,
    ):
        writer.write(RECORD)
        metrics.write({"env_steps": 1})
        positions = writer.position(), metrics.position()
        for number in (2, 3):
            writer.write(RECORD._replace(episode=number))
            metrics.write({"env_steps": number})
        writer.cut(positions[0])
        metrics.cut(positions[1])
        writer.write(RECORD._replace(episode=8))
        metrics.write({"env_steps": 8})
    assert list(read_records(tmp_path)["episode"]) == [7, 8]
    assert metrics.path.read_text() == '{"env_steps": 1}\n{"env_steps": 8}\n'


def test_rows_are_on_disk_before_the_file_is_closed(tmp_path):
    path = tmp_path / "episodes.csv"
    with RecordWriter(path) as writer:
        writer.write(RECORD)
        assert len(path.read_text().splitlines()) == 2
        assert writer.position() == path.stat().st_size


def test_writing_appends_under_one_header(tmp_path):
    path = tmp_path / "episodes.csv"
    for episode in range(2):
        with RecordWriter(path) as writer:
            writer.write(RECORD._replace(episode=episode))
    assert list(read_records(path)["episode"]) == [0, 1]
    assert path.read_text().count("run_id") == 1


def test_a_file_with_other_columns_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "episodes.csv"
    path.write_text("seed,return\n1,2\n")
    for use in (RecordWriter, read_records):
        with pytest.raises(ValueError, match=r"missing.*'run_id'"):
            use(path)
    assert path.read_text() == "seed,return\n1,2\n"


def test_reading_folders_and_missing_files(tmp_path):
    with RecordWriter(tmp_path / "a" / "episodes.csv") as writer:
        writer.write(RECORD)
    for path in (tmp_path / "a", tmp_path / "a" / "episodes.csv"):
        assert list(read_records(path)["run_id"]) == ["abc"]
    with pytest.raises(FileNotFoundError, match="b"):
        read_records(tmp_path / "b")


def test_records_that_cannot_be_written_leave_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "evaluation.csv"
    write_records(path, [RECORD])
    before = path.read_text()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write, without a file

    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(OSError, match=r"No space left on device: .*evaluation\.csv"):
        write_records(path, [RECORD, RECORD])
    assert [file.read_text() for file in tmp_path.iterdir()] == [before]


def test_a_row_cut_off_is_left_out_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "episodes.csv"
    write_records(path, [RECORD])
    whole = path.read_text()
    for torn in ("", "abc,osrp,Saf", "abc,osrp,SafetyPointGoal1-v0,coordinates,3,train,8,2000,4"):
        path.write_text(whole + torn)
        frame = read_records(path)
        assert list(frame["episode"]) == [7] and dict(frame.dtypes) == dtypes()
    path.write_text(whole.splitlines(keepends=True)[0])
    assert dict(read_records(path).dtypes) == dtypes()
    path.write_text(whole.replace("2000", "\0\0\0\0") + whole.splitlines()[1] + "\n")
    with pytest.raises(DamagedFile, match=r"episodes.csv is damaged \(line 2: env_steps is"):
        read_records(path)


def dtypes() -> dict[str, np.dtype]:
    return {name: np.dtype("O" if kind == "str" else kind) for name, kind in DTYPES.items()}


def test_truncating_drops_later_rows_and_notices_lost_ones(tmp_path):
    path = tmp_path / "episodes.csv"
    with RecordWriter(path) as writer:
        writer.write(RECORD)
        position = writer.position()
        writer.write(RECORD._replace(episode=8))
    truncate(path, position)
    assert list(read_records(path)["episode"]) == [7]
    with pytest.raises(ValueError, match="removed by hand"):
        truncate(path, position + 1)
