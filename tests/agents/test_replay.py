"""Replay: sequences are in order, sampled uniformly, within the ring.

Saves are incremental and survive crashes; prefetching changes no batch.
"""

import json
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.api import ArraySpec
from agents.replay import journal, storage
from agents.replay.buffer import Draw, Replay, memory_bytes
from agents.replay.prefetch import Prefetch
from agents.replay.storage import ReplaySizeError
from tests.examples import examples

SPECS = {
    "count": ArraySpec((), "int32"),
    "stream": ArraySpec((), "int32"),
    "reward": ArraySpec((), "float32"),
    "is_first": ArraySpec((), "bool"),
    "image": ArraySpec((2, 2, 3), "uint8"),
}


class CountingEnv:
    """`num_streams` streams with episodes of `length` rows.

    `count` increases by one per row of a stream, across resets.
    """

    def __init__(self, num_streams: int, length: int = 5):
        self.num_streams, self.length, self.row = num_streams, length, 0

    def step(self) -> dict[str, np.ndarray]:
        row, ids = self.row, np.arange(self.num_streams, dtype=np.int32)
        self.row += 1
        return {
            "count": np.full(self.num_streams, row, np.int32),
            "stream": ids,
            "reward": (row + 0.25 * ids).astype(np.float64),
            "is_first": np.full(self.num_streams, row % self.length == 0),
            "image": np.broadcast_to(
                ((row + ids) % 256).astype(np.uint8)[:, None, None, None],
                (self.num_streams, 2, 2, 3),
            ),
        }


def filled(
    rows: int, capacity: int, num_streams: int, directory: Path | None = None
) -> tuple[Replay, CountingEnv]:
    replay, env = Replay(SPECS, capacity, num_streams, directory), CountingEnv(num_streams)
    for _ in range(rows):
        replay.add(env.step())
    return replay, env


def check_batch(batch: dict[str, np.ndarray], oldest: int, newest: int) -> None:
    """Check that every sequence consists of consecutive rows of one stream, within oldest..newest,
    and that all arrays of a row belong together.
    """
    count, stream = batch["count"], batch["stream"]
    np.testing.assert_array_equal(np.diff(count, axis=1), 1)
    np.testing.assert_array_equal(stream, np.broadcast_to(stream[:, :1], stream.shape))
    assert count.min() >= oldest and count.max() <= newest
    np.testing.assert_array_equal(batch["reward"], (count + 0.25 * stream).astype(np.float32))
    np.testing.assert_array_equal(batch["is_first"], count % 5 == 0)
    np.testing.assert_array_equal(
        batch["image"],
        np.broadcast_to(((count + stream) % 256)[..., None, None, None], batch["image"].shape),
    )


# --- sampling -------------------------------------------------------------------------------------
@settings(max_examples=examples(60), deadline=None)
@given(
    data=st.data(),
    num_streams=st.integers(1, 4),
    slots=st.integers(1, 12),
    spare=st.integers(0, 3),
    rows=st.integers(1, 40),
)
def test_a_counting_env_survives_replay_in_order(data, num_streams, slots, spare, rows):
    replay, _ = filled(rows, slots * num_streams + min(spare, num_streams - 1), num_streams)
    held = min(rows, slots)
    assert len(replay) == held * num_streams
    length = data.draw(st.integers(1, held))
    with pytest.raises(ValueError, match=f"length={held + 1}"):
        replay.draw(1, held + 1, np.random.default_rng(0))
    batch = replay.sample(8, length, np.random.default_rng(rows))
    assert batch["count"].shape == (8, length) and batch["image"].shape == (8, length, 2, 2, 3)
    check_batch(batch, rows - held, rows - 1)


# ring partly filled, just full, wrapped, wrapped twice
@pytest.mark.parametrize("rows", [7, 10, 17, 23])
def test_starts_and_streams_are_uniform_and_all_valid_ones_occur(rows):
    replay, _ = filled(rows, 30, 3)
    batch = replay.sample(6000, 4, np.random.default_rng(0))
    starts = batch["count"][:, 0] - (rows - replay.held)
    cells = np.bincount(batch["stream"][:, 0] * 10 + starts, minlength=30).reshape(3, 10)
    valid = replay.held - 3
    assert cells[:, valid:].sum() == 0  # later starts would cross the write head
    expected = 6000 / (3 * valid)
    chi_square = ((cells[:, :valid] - expected) ** 2 / expected).sum()
    # mean plus 5 standard deviations of chi-square
    assert chi_square < (3 * valid - 1) + 5 * np.sqrt(2 * (3 * valid - 1))


def test_stored_dtypes_and_flags_at_the_start_of_a_sequence():
    replay, _ = filled(9, 9, 1)
    batch = replay.sample(64, 3, np.random.default_rng(1))
    assert {key: value.dtype.name for key, value in batch.items()} == {
        key: spec.dtype for key, spec in SPECS.items()
    }
    first = batch["count"][:, 0]
    # Sequences start both at and within episodes, with the stored flag.
    assert set(first % 5 == 0) == {True, False}
    np.testing.assert_array_equal(batch["is_first"][:, 0], first % 5 == 0)


def test_equal_generators_give_equal_batches_and_batches_are_copies():
    replay, env = filled(12, 8, 2)
    first, second = (replay.sample(4, 3, np.random.default_rng([3, 7])) for _ in range(2))
    before = {key: value.copy() for key, value in first.items()}
    for _ in range(8):
        replay.add(env.step())
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])
        np.testing.assert_array_equal(value, before[key])


def test_too_long_and_too_early_sequences_are_refused():
    replay, _ = filled(3, 8, 2)
    with pytest.raises(ValueError, match=r"3 rows per stream, of at most 4; .* length=9"):
        replay.sample(1, 9, np.random.default_rng(0))
    with pytest.raises(ValueError, match="holds 3 rows per stream"):
        replay.sample(1, 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="batch_size=0"):
        replay.sample(0, 2, np.random.default_rng(0))


def test_a_stale_draw_is_refused():
    replay, env = filled(4, 4, 1)
    draw = Draw(np.array([0]), np.array([0]), 2)
    assert replay.gather(draw)["count"].tolist() == [[0, 1]]
    replay.add(env.step())
    with pytest.raises(ValueError, match="no longer holds"):
        replay.gather(draw)


# --- rows -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": None}, "missing .'reward'."),
        ({"rewrd": np.zeros(2)}, "unknown .'rewrd'.; a row consists of .*'reward'"),
        ({"reward": np.zeros((2, 1))}, r"'reward' has shape \(2, 1\), expected \(2,\)"),
        ({"image": np.zeros((2, 3, 2, 2), np.uint8)}, "'image' has shape"),
        (
            {"image": np.zeros((2, 2, 2, 3), np.float32)},
            "'image' has dtype float32, expected uint8",
        ),
        ({"is_first": np.zeros(2, np.float32)}, "'is_first' has dtype float32, expected bool"),
        ({"reward": np.zeros(2, bool)}, "'reward' has dtype bool"),
        ({"reward": np.zeros(2, object)}, "'reward' has dtype object"),
    ],
)
def test_bad_rows_are_refused_and_leave_no_trace(change, message):
    replay, env = filled(3, 8, 2)
    row = {key: value for key, value in (env.step() | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        replay.add(row)
    assert len(replay) == 6


@pytest.mark.parametrize(
    ("specs", "capacity", "streams", "message"),
    [
        ({}, 4, 1, "at least one array"),
        ({"a": ArraySpec((), "float64")}, 4, 1, "dtype 'float64', stored are"),
        ({"../a": ArraySpec((), "float32")}, 4, 1, "names a file"),
        ({"a": ArraySpec((-1,), "float32")}, 4, 1, "negative size"),
        (SPECS, 3, 4, "num_streams=4 must lie in 1..capacity=3"),
        (SPECS, 3, 0, "num_streams=0"),
    ],
)
def test_impossible_replays_are_refused(specs, capacity, streams, message):
    with pytest.raises(ValueError, match=message):
        Replay(specs, capacity, streams)


# --- memory ---------------------------------------------------------------------------------------
def vision_specs() -> dict[str, ArraySpec]:
    image, number, flag = (
        ArraySpec((64, 64, 3), "uint8"),
        ArraySpec((), "float32"),
        ArraySpec((), "bool"),
    )
    flags = dict.fromkeys(("is_first", "is_last", "is_terminal"), flag)
    return {
        "image": image,
        "image2": image,
        "action": ArraySpec((2,), "float32"),
        "reward": number,
        "cost": number,
        **flags,
    }


def test_a_million_vision_transitions_take_24_6_gb():
    # 2 * 64 * 64 * 3 + 2 * 4 + 4 + 4 + 3 = 24 595 bytes each
    assert memory_bytes(vision_specs(), 1_000_000) == 24_595_000_000


def test_memory_bytes_are_those_of_the_arrays():
    replay = Replay(SPECS, 100, 3)  # 33 slots
    assert sum(x.nbytes for x in replay._arrays.values()) == memory_bytes(SPECS, 99)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_too_large_a_replay_names_the_fix_before_allocating(where, monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "available_memory_bytes", lambda: 10**9)
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: usage)
    directory = tmp_path / "replay" if where == "disk" else None
    with pytest.raises(
        ReplaySizeError,
        match=r"24.6 GB, but .* has 1.0 GB free.*--replay.directory.*at most 40658 fit",
    ):
        Replay(vision_specs(), 1_000_000, 1, directory)
    if directory:
        assert not list(directory.glob("*.npy"))
        Replay(SPECS, 10, 1, directory).close()  # the failed replay released its lock


def test_available_memory_is_a_plausible_number():
    assert 2**24 < storage.available_memory_bytes() < 2**50


def test_memory_is_limited_by_the_control_group(monkeypatch):
    monkeypatch.setattr(storage, "_cgroup_available_bytes", lambda: [12345, 2**60])
    assert storage.available_memory_bytes() == 12345


# --- mapped to disk -------------------------------------------------------------------------------
def test_mapped_replay_equals_one_in_memory(tmp_path):
    inside, mapped = filled(19, 24, 2)[0], filled(19, 24, 2, tmp_path / "map")[0]
    expected, got = (replay.sample(16, 5, np.random.default_rng(5)) for replay in (inside, mapped))
    for key in SPECS:
        assert type(got[key]) is np.ndarray
        np.testing.assert_array_equal(got[key], expected[key])
    on_disk = sum(path.stat().st_size for path in (tmp_path / "map").glob("*.npy"))
    assert on_disk >= memory_bytes(SPECS, 24)
    np.testing.assert_array_equal(
        np.load(tmp_path / "map" / "count.npy", mmap_mode="r")[0], inside._arrays["count"][0]
    )


def test_a_directory_serves_one_replay_at_a_time(tmp_path):
    first, _ = filled(3, 8, 2, tmp_path)
    with pytest.raises(ValueError, match="in use by another replay"):
        Replay(SPECS, 8, 2, tmp_path)
    first.close()
    second = Replay(SPECS, 8, 2, tmp_path)
    assert len(second) == 0
    second.close()


def test_files_that_no_replay_wrote_are_not_replaced(tmp_path):
    mine = tmp_path / "count.npy"
    mine.write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"holds count\.npy, which no replay wrote"):
            Replay(SPECS, 8, 2, tmp_path)
    assert mine.read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["count.npy"]
    mine.rename(tmp_path / "mine.npy")
    Replay(SPECS, 8, 2, tmp_path).close()
    Replay(SPECS, 8, 2, tmp_path).close()  # its own files are replaced
    assert (tmp_path / "mine.npy").read_bytes() == b"mine"


# --- save and load --------------------------------------------------------------------------------
def assert_same_content(left: Replay, right: Replay) -> None:
    assert (left.added, left.held) == (right.added, right.held)
    rows = [replay.read_rows(replay.added - replay.held, replay.added) for replay in (left, right)]
    for key in SPECS:
        np.testing.assert_array_equal(rows[0][key], rows[1][key])


@settings(max_examples=examples(25), deadline=None)
@given(
    steps=st.lists(st.integers(0, 17), min_size=1, max_size=6),
    num_streams=st.integers(1, 3),
    slots=st.integers(1, 9),
)
def test_save_and_load_round_trip_at_every_save(tmp_path_factory, steps, num_streams, slots):
    folder = tmp_path_factory.mktemp("save")
    replay, env = filled(0, slots * num_streams, num_streams)
    for step in steps:
        for _ in range(step):
            replay.add(env.step())
        mark = journal.save(replay, folder)
        other = Replay(SPECS, slots * num_streams, num_streams)
        journal.load(other, folder, mark)
        assert other.added == mark == replay.added
        assert_same_content(replay, other)


def test_a_save_writes_only_what_is_new_and_drops_what_nobody_needs(tmp_path, monkeypatch):
    replay, env = filled(20, 40, 2)
    written = []
    monkeypatch.setattr(
        Replay,
        "read_rows",
        lambda self, a, b, read=Replay.read_rows: written.append((a, b)) or read(self, a, b),
    )
    journal.save(replay, tmp_path)
    for _ in range(3):
        replay.add(env.step())
    journal.save(replay, tmp_path)
    journal.save(replay, tmp_path)
    assert written == [(0, 20), (20, 23)]
    for _ in range(50):
        for _ in range(4):
            replay.add(env.step())
        journal.save(replay, tmp_path)
    # 20 rows for the last mark, 4 more for each of the two earlier ones, in segments of 4
    assert len(list(tmp_path.glob("segment_*.npz"))) == 7


def test_large_saves_are_split(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 7 * 2 * storage.row_bytes(SPECS))
    replay, _ = filled(17, 40, 2)
    mark = journal.save(replay, tmp_path)
    assert len(list(tmp_path.glob("segment_*.npz"))) == 3
    other = Replay(SPECS, 40, 2)
    journal.load(other, tmp_path, mark)
    assert_same_content(replay, other)


def test_the_save_before_the_last_can_be_loaded_and_continued(tmp_path):
    replay, env = filled(11, 16, 2)
    older = journal.save(replay, tmp_path)
    reference = filled(11, 16, 2)[0]
    for _ in range(9):  # overwrites all rows of the older save
        replay.add(env.step())
    newer = journal.save(replay, tmp_path)

    resumed = Replay(SPECS, 16, 2)
    journal.load(resumed, tmp_path, older)
    assert_same_content(resumed, reference)
    env = CountingEnv(2)
    env.row = 1000  # different rows from here on
    for _ in range(4):
        resumed.add(env.step())
    last = journal.save(resumed, tmp_path)
    other = Replay(SPECS, 16, 2)
    journal.load(other, tmp_path, last)
    assert_same_content(other, resumed)
    assert other.read_rows(last - 4, last)["count"][0].tolist() == [1000, 1001, 1002, 1003]
    with pytest.raises(ValueError, match=rf"no save with mark {newer}, it holds \[11, 15\]"):
        journal.load(other, tmp_path, newer)


@pytest.mark.parametrize("victim", ["segment", "manifest"])
def test_a_crash_while_saving_keeps_the_last_save(tmp_path, monkeypatch, victim):
    replay, env = filled(11, 16, 2)
    last = journal.save(replay, tmp_path)
    reference = filled(11, 16, 2)[0]
    for _ in range(7):
        replay.add(env.step())

    def crash(source, target, replace=journal.os.replace):
        if Path(target).name.startswith(victim):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            journal.save(replay, tmp_path)
    other = Replay(SPECS, 16, 2)
    journal.load(other, tmp_path, last)
    assert_same_content(other, reference)
    last = journal.save(replay, tmp_path)  # and the next save succeeds, without leftovers
    journal.load(other, tmp_path, last)
    assert_same_content(other, replay)
    listed = {
        segment["file"]
        for segment in json.loads((tmp_path / "manifest.json").read_text())["segments"]
    }
    assert {path.name for path in tmp_path.iterdir()} == listed | {"manifest.json"}


def test_a_foreign_save_is_never_overwritten(tmp_path):
    journal.save(filled(5, 16, 2)[0], tmp_path)
    other, _ = filled(3, 16, 2)
    with pytest.raises(ValueError, match="holds another saved replay"):
        journal.save(other, tmp_path)


def test_unfit_damaged_and_absent_saves_are_refused(tmp_path):
    replay, _ = filled(5, 16, 2)
    with pytest.raises(ValueError, match="holds no saved replay"):
        journal.load(replay, tmp_path, 5)
    mark = journal.save(replay, tmp_path)
    with pytest.raises(ValueError, match=r"another layout .slots per stream: saved 8, here 4"):
        journal.load(Replay(SPECS, 8, 2), tmp_path, mark)
    with pytest.raises(ValueError, match="num_streams: saved 2, here 1"):
        journal.load(Replay(SPECS, 8, 1), tmp_path, mark)
    segment = next(tmp_path.glob("segment_*.npz"))
    segment.write_bytes(segment.read_bytes()[:-40])
    other, _ = filled(2, 16, 2)
    with pytest.raises(ValueError, match="damaged or missing"):
        journal.load(other, tmp_path, mark)
    assert len(other) == 0
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="not the manifest"):
        journal.load(other, tmp_path, mark)


def test_a_mapped_replay_saves_and_loads_like_any_other(tmp_path):
    replay, _ = filled(13, 16, 2, tmp_path / "map")
    mark = journal.save(replay, tmp_path / "save")
    replay.close()
    other = Replay(SPECS, 16, 2, tmp_path / "map")  # the map is scratch space: it starts empty
    journal.load(other, tmp_path / "save", mark)
    assert_same_content(other, filled(13, 16, 2)[0])
    other.close()


# --- prefetch -------------------------------------------------------------------------------------
def assert_same_batch(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key])


@settings(max_examples=examples(25), deadline=None)
@given(
    plan=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=8
    ),
    depth=st.integers(1, 3),
    pause=st.booleans(),
)
def test_prefetched_batches_are_those_of_sampling_at_the_time_of_request(plan, depth, pause):
    """For any order of add, request and next.

    The request fixes a batch's content, even if the ring is overwritten later.
    """
    replay, env = filled(8, 16, 2)
    expected, update = [], 0

    def slow(batch):
        time.sleep(0.002 * pause)
        return batch

    with Prefetch(replay, 3, 4, seed=9, depth=depth, device_put=slow) as prefetch:

        def consume(count):
            for _ in range(min(count, len(expected))):
                number, batch = prefetch.next()
                expected_number, expected_batch = expected.pop(0)
                assert number == expected_number
                assert_same_batch(batch, expected_batch)

        for adds, requests, consumed in plan:
            for _ in range(adds):
                replay.add(env.step())
            for _ in range(requests):
                expected.append((update, replay.sample(3, 4, np.random.default_rng([9, update]))))
                prefetch.request(update)
                update += 1
            consume(consumed)
        consume(len(expected))
        assert len(prefetch) == 0


def test_request_takes_several_updates_at_once():
    replay, _ = filled(8, 16, 2)
    with Prefetch(replay, 3, 4, seed=0) as prefetch:
        prefetch.request(range(5, 9))
        assert len(prefetch) == 4
        assert [prefetch.next()[0] for _ in range(4)] == [5, 6, 7, 8]


def test_at_most_depth_batches_are_finished_ahead():
    replay, _ = filled(8, 16, 2)
    finished = []
    with Prefetch(
        replay, 3, 4, seed=0, depth=2, device_put=lambda batch: finished.append(1) or batch
    ) as prefetch:
        prefetch.request(range(6))
        deadline = time.monotonic() + 10
        while len(finished) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.1)
        assert len(finished) == 2
        prefetch.next()
        prefetch.next()
        prefetch.next()
        assert len(finished) >= 3


def test_adding_waits_for_a_copy_in_progress(monkeypatch):
    replay, env = filled(4, 4, 1)
    entered, release = threading.Event(), threading.Event()
    gather = replay.gather

    def held_up(draw):
        entered.set()
        assert release.wait(10)
        return gather(draw)

    monkeypatch.setattr(replay, "gather", held_up)
    with Prefetch(replay, 2, 4, seed=0) as prefetch:  # length 4: always reads the oldest row
        prefetch.request(0)
        assert entered.wait(10)
        adder = threading.Thread(target=lambda: replay.add(env.step()))
        adder.start()
        adder.join(0.2)
        assert adder.is_alive() and replay.added == 4
        release.set()
        adder.join(10)
        assert replay.added == 5
        assert prefetch.next()[1]["count"].tolist() == [[0, 1, 2, 3]] * 2


def test_adding_does_not_wait_for_draws_of_younger_rows(monkeypatch):
    replay, env = filled(6, 8, 1)
    release = threading.Event()
    monkeypatch.setattr(
        replay, "gather", lambda draw, gather=replay.gather: release.wait(10) and gather(draw)
    )
    with Prefetch(replay, 2, 4, seed=0) as prefetch:
        prefetch.request(0)
        replay.add(env.step())
        replay.add(env.step())  # fills the ring, overwrites nothing
        assert replay.added == 8
        release.set()
        prefetch.next()


@pytest.mark.parametrize("call", ["next", "request", "add"])
def test_an_exception_in_the_thread_surfaces_at_the_next_call(call):
    replay, env = filled(4, 4, 1)
    both_requested = threading.Event()

    def fail(batch):
        assert both_requested.wait(10)
        raise OSError("device gone")

    prefetch = Prefetch(replay, 2, 4, seed=0, device_put=fail)
    prefetch.request([7, 8])
    both_requested.set()
    wait([request.batch for request in prefetch._requests], 10)
    with pytest.raises(RuntimeError, match="update 7 failed") as caught:
        {
            "next": prefetch.next,
            "request": lambda: prefetch.request(9),
            "add": lambda: replay.add(env.step()),
        }[call]()
    assert isinstance(caught.value.__cause__, OSError)
    prefetch.close()


def test_misuse_of_prefetch_is_an_error_not_a_hang():
    replay, env = filled(4, 4, 1)
    prefetch = Prefetch(replay, 2, 3, seed=0)
    with pytest.raises(RuntimeError, match="no batch was requested"):
        prefetch.next()
    prefetch.request(0)
    prefetch.close()
    prefetch.close()
    replay.add(env.step())  # close() removed its guard
    for call in (prefetch.next, lambda: prefetch.request(1)):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    with pytest.raises(ValueError, match="depth=0"):
        Prefetch(replay, 2, 3, seed=0, depth=0)


def test_loading_waits_for_copies_and_invalidates_nothing(tmp_path):
    replay, _ = filled(8, 8, 1)
    mark = journal.save(replay, tmp_path)
    with Prefetch(replay, 4, 8, seed=0, depth=1) as prefetch:
        prefetch.request(range(4))
        journal.load(replay, tmp_path, mark)
        for _ in range(4):
            assert prefetch.next()[1]["count"].tolist() == [list(range(8))] * 4
