"""One process per run folder.

Refused while the owner is alive, taken over once it is dead, on one kernel and across hosts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from benchmarks.runs import ownership
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import OWNER_FILE, STATUS_FILE
from benchmarks.runs.ownership import LEASE_SECONDS, LostOwnership, Owner, own, read_owner
from benchmarks.runs.reading import DamagedFile
from benchmarks.runs.status import BEAT_SECONDS, StatusFile
from tests.fakes.toys import toy_spec

HOLD = "import sys, time\nfrom pathlib import Path\nfrom benchmarks.runs.ownership import own\n"
HOLD += "with own(Path(sys.argv[1])):\n    print('mine', flush=True)\n    time.sleep(60)\n"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The owner file of a process on another kernel, which flock does not reach."""
    owner = Owner("0" * 32, "node7", "another-kernel", 4711)
    (tmp_path / OWNER_FILE).write_text(json.dumps(owner._asdict()))
    return owner


def hold(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "mine\n"
    return process


def test_a_second_process_is_refused_at_once_and_a_killed_one_replaced_at_once(tmp_path):
    first = hold(tmp_path)
    start = time.monotonic()
    with (
        pytest.raises(BadInput, match=rf"is in use: process {first.pid} on .* is training there"),
        own(tmp_path),
    ):
        pass
    first.kill()
    first.wait()
    said = []
    with own(tmp_path, said.append):
        assert read_owner(tmp_path) is not None
    assert time.monotonic() - start < LEASE_SECONDS / 2
    assert (
        len(said) == 1
        and f"process {first.pid} on" in said[0]
        and "is gone; this process takes over" in said[0]
    )
    assert read_owner(tmp_path) is None


def test_an_owner_elsewhere_whose_heartbeat_moves_is_left_alone(tmp_path, elsewhere):
    refusal = pytest.raises(BadInput, match="process 4711 on node7 is training there")
    with (
        StatusFile(tmp_path, toy_spec(), beat_seconds=0.2),
        refusal,
        own(tmp_path, lease_seconds=30.0),
    ):
        pass
    assert read_owner(tmp_path) == elsewhere


def test_an_owner_elsewhere_whose_heartbeat_stands_still_is_replaced(tmp_path, elsewhere):
    (tmp_path / STATUS_FILE).write_text("{}")
    said = []
    with own(tmp_path, said.append, lease_seconds=0.5) as ownership:
        ownership.check()
        assert read_owner(tmp_path) == ownership.owner
    assert "watching for 0.5 s" in said[0] and "process 4711 on node7 owned" in said[1]


def test_a_lease_lasts_several_heartbeats():
    assert LEASE_SECONDS >= 4 * BEAT_SECONDS


def test_a_process_that_lost_its_folder_notices(tmp_path, elsewhere):
    (tmp_path / OWNER_FILE).unlink()
    with own(tmp_path) as ours:
        (tmp_path / OWNER_FILE).write_text(json.dumps(elsewhere._asdict()))
        ours.check()  # one miss is tolerated: another process may rename it briefly
        with pytest.raises(LostOwnership, match="taken over by process 4711 on node7"):
            ours.check()
    assert read_owner(tmp_path) == elsewhere  # ours does not remove it


def test_of_two_that_find_a_dead_owner_one_gets_the_folder(tmp_path, elsewhere, monkeypatch):
    """Without flock, as between two hosts; each process assumes a kernel of its own."""
    monkeypatch.setattr(
        ownership.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError("no locks here"))
    )
    for _ in range(20):
        (tmp_path / OWNER_FILE).write_text(json.dumps(elsewhere._asdict()))
        inside, most, refused, together = [], [], [], threading.Barrier(4)

        def contend(boot, inside=inside, most=most, refused=refused, together=together):
            together.wait()
            try:
                with own(tmp_path, lease_seconds=0.02, boot=boot):
                    inside.append(boot)
                    time.sleep(0.1)
                    most.append(len(inside))
                    inside.remove(boot)
            except BadInput as error:
                refused.append(str(error))

        threads = [threading.Thread(target=contend, args=(f"kernel{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most and max(most) == 1
        assert len(most) + len(refused) == 4
        assert not list(tmp_path.glob(f".{OWNER_FILE}*"))


def test_a_damaged_owner_file_is_named(tmp_path):
    (tmp_path / OWNER_FILE).write_text("{")
    with (
        pytest.raises(
            BadInput, match=r"owner.json is damaged .* delete it when no process trains there"
        ),
        own(tmp_path),
    ):
        pass


def test_an_owner_that_died_on_this_kernel_is_known_at_once_and_a_living_one_is_not_dead(tmp_path):
    first = hold(tmp_path)
    assert not ownership.died(tmp_path)
    first.kill()
    first.wait()
    assert ownership.died(tmp_path) and not ownership.died(tmp_path, boot="another kernel")
    (tmp_path / OWNER_FILE).unlink()
    assert not ownership.died(tmp_path)


def test_an_owner_that_cannot_be_read_for_a_moment_is_not_lost(tmp_path, monkeypatch):
    with own(tmp_path) as ours:
        text = (tmp_path / OWNER_FILE).read_text()
        for damage in ("", text[:10], "[]"):
            (tmp_path / OWNER_FILE).write_text(damage)
            with pytest.raises(DamagedFile):
                ours.check()
        (tmp_path / OWNER_FILE).write_text(text)
        ours.check()
