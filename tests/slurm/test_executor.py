"""The Slurm executor with a fake cluster.

What is submitted when, and how every way a job can end is handled.
"""

from __future__ import annotations

import json

import pytest

from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import attempts
from benchmarks.runs.errors import BadInput
from benchmarks.sweep.members import member
from slurm.cluster import Entry, SlurmCluster, Unreachable
from slurm.drive import Drive, Retries
from slurm.executor import Job
from slurm.profile import Profile
from slurm.slurm import PATIENCE_SECONDS, SlurmExecutor, rounded_up
from tests.sweep_folders import stand, submit, suite


class FakeCluster(SlurmCluster):
    """Stores jobs by name and index; tests change their states."""

    max_array = 1001

    def __init__(self):
        self.requests, self.orders, self.cancelled = [], [], []
        self.entries: dict[str, dict[int, Entry]] = {}
        self.down = False

    def check(self, request):
        pass

    def submit(self, name, folder, request, orders):
        # Written before sbatch, so that the runs can be found even if this process is killed now.
        assert (folder / "batch.json").is_file()
        self.requests.append(request)
        self.orders.append(list(orders))
        number = len(self.requests)
        self.entries[name] = {
            i: Entry(f"{number}_{i}", "PENDING", "Priority", "") for i in range(len(orders))
        }
        return str(number)

    def queue(self, names):
        if self.down:
            raise Unreachable("squeue: no controller")
        return {name: dict(self.entries.get(name, {})) for name in names}

    def cancel(self, ids):
        self.cancelled += ids

    def become(self, index, state, reason="", node="n1"):
        for name, entries in self.entries.items():
            if index in entries:
                self.entries[name][index] = Entry(entries[index].id, state, reason, node)

    def forget(self, index):
        for entries in self.entries.values():
            entries.pop(index, None)


@pytest.fixture
def folders(tmp_path):
    return submit(tmp_path, suite())


@pytest.fixture
def cluster():
    return FakeCluster()


def make(cluster, folders, said=None, **options):
    out = folders[0].parents[1]
    clock = options.pop("clock", lambda: 0.0)
    said = [] if said is None else said
    return SlurmExecutor(
        cluster, out, options.pop("profile", Profile()), say=said.append, clock=clock, **options
    )


def jobs_of(folders, **fields):
    return [Job(folder, folder.parents[1] / "code", 10**9, **fields) for folder in folders]


def test_one_array_for_runs_that_are_alike(cluster, folders):
    executor = make(cluster, folders, at_once=3)
    executor.submit(jobs_of(folders))
    (request,) = cluster.requests
    assert request.at_once == 3 and executor.outstanding == 6
    assert [order.folder for order in cluster.orders[0]] == [str(folder) for folder in folders]
    assert executor.poll() == [] and [member(folder).state for folder in folders] == ["waiting"] * 6


def test_arrays_no_longer_than_the_cluster_takes(cluster, folders):
    cluster.max_array = 5
    make(cluster, folders).submit(jobs_of(folders))
    assert [len(orders) for orders in cluster.orders] == [4, 2]


def test_memory_python_and_code_tell_arrays_apart(cluster, folders):
    out = folders[0].parents[1]
    kinds = [
        (10**9, "a", "one"),
        (1_100_000_000, "a", "one"),
        (1_200_000_000, "b", "one"),
        (1_200_000_000, "b", "two"),
    ]
    jobs = [
        Job(folder, out / code, memory, family)
        for folder, (memory, family, code) in zip(folders, kinds, strict=False)
    ]
    make(cluster, folders, profile=Profile(python=(("b", "python-b"),))).submit(jobs)
    assert [(r.memory_gb, r.python[-8:], r.code.name) for r in cluster.requests][1:] == [
        (1.5, cluster.requests[0].python[-8:], "one"),
        (1.5, "python-b", "one"),
        (1.5, "python-b", "two"),
    ]
    assert cluster.requests[0].memory_gb == 1.0


@pytest.mark.parametrize(
    ("need", "asked"), [(0.2, 1.0), (1.0, 1.0), (1.01, 1.5), (1.6, 2.0), (25.0, 32.0), (17.0, 24.0)]
)
def test_memory_is_rounded_up(need, asked):
    assert rounded_up(need) == asked


def test_what_is_queued_is_not_submitted_again_after_the_submitter_died(cluster, folders):
    make(cluster, folders).submit(jobs_of(folders[:3]))
    second = make(cluster, folders)
    second.submit(jobs_of(folders))
    assert [len(orders) for orders in cluster.orders] == [3, 3] and second.outstanding == 6
    for index in range(3):
        cluster.become(index, "COMPLETED")
    third = make(cluster, folders)
    third.submit(jobs_of(folders))
    assert len(cluster.orders) == 3 and len(cluster.orders[2]) == 6


def test_a_submitter_that_died_before_sbatch_leaves_nothing_behind(cluster, folders):
    out = folders[0].parents[1]
    batch = out / "slurm" / "safedreamer-dead"
    batch.mkdir(parents=True)
    (batch / "batch.json").write_text(json.dumps({"runs": [[f"runs/{folders[0].name}", 1]]}))
    make(cluster, folders).submit(jobs_of(folders[:1]))
    assert len(cluster.orders) == 1 and (batch / "over").exists()


def test_what_runs_or_is_done_elsewhere_is_left_alone(cluster, folders):
    stand(folders[0], "train")
    stand(folders[1], "finished", env_steps=600)
    attempts.add(folders[2], "cancelled")
    executor = make(cluster, folders)
    executor.submit(jobs_of(folders[:3]))
    assert cluster.orders == []
    assert [(e.exit, e.reason) for e in executor.poll()] == [
        (None, f"{how} elsewhere") for how in ("running", "done", "cancelled")
    ]
    assert executor.outstanding == 0


def test_the_folder_says_what_became_of_a_job(cluster, folders):
    executor = make(cluster, folders)
    executor.submit(jobs_of(folders[:4]))
    stand(folders[0], "finished", env_steps=600)
    attempts.add(folders[1], "started", where="slurm 1_1 on n1")
    attempts.add(folders[1], "ended", exit=EXIT_STOPPED, reason="stopped by SIGTERM")
    attempts.add(folders[2], "started", where="slurm 1_2 on n1")
    attempts.add(folders[2], "ended", exit=1, failed=True, reason="exit status 1")
    attempts.add(folders[3], "started", where="slurm 1_3 on n1")
    for index, state in enumerate(("COMPLETED", "COMPLETED", "FAILED", "OUT_OF_MEMORY")):
        cluster.become(index, state)
    ended = executor.poll()
    assert [(e.exit, e.recorded) for e in ended] == [
        (0, True),
        (EXIT_STOPPED, True),
        (1, True),
        (1, True),
    ]
    assert ended[3].reason == "Slurm: OUT_OF_MEMORY on n1"
    assert (
        attempts.read(folders[3])[-1].failed
        and member(folders[3]).reason() == "Slurm: OUT_OF_MEMORY on n1"
    )


def test_a_job_that_died_with_its_heartbeat_still_fresh_counts_as_failed(cluster, folders):
    executor = make(cluster, folders)
    executor.submit(jobs_of(folders[:1]))
    attempts.add(folders[0], "started", where="slurm 1_0 on n1")
    stand(folders[0], "train")
    cluster.forget(0)
    (ended,) = executor.poll()
    assert ended.reason == "Slurm: gone from the queue" and member(folders[0]).state == "failed"


def test_states_that_slurm_may_take_back_are_given_time(cluster, folders):
    now = [0.0]
    executor = make(cluster, folders, clock=lambda: now[0])
    executor.submit(jobs_of(folders[:2]))
    for index in (0, 1):
        attempts.add(folders[index], "started", where=f"slurm 1_{index} on n1")
    cluster.become(0, "NODE_FAIL")
    cluster.become(1, "PREEMPTED")
    assert executor.poll() == []
    cluster.become(0, "PENDING", "BeginTime")
    now[0] += PATIENCE_SECONDS + 1
    assert [(e.job.folder, e.reason) for e in executor.poll()] == [
        (folders[1], "Slurm: PREEMPTED on n1")
    ]
    cluster.become(0, "NODE_FAIL")  # a second time: the grace period restarts
    assert executor.poll() == [] and executor.outstanding == 1


def test_set_up_lines_that_fail_again_and_again_end_with_their_text(cluster, folders):
    said = []
    executor = make(cluster, folders, said, profile=Profile(poll_seconds=0.01))

    def fail(_):
        for name, entries in cluster.entries.items():
            folder = folders[0].parents[1] / "slurm" / name
            for index, entry in entries.items():
                (folder / f"{entry.id}_0_log.out").write_text("set-up failed: module load cuda\n")
                entries[index] = entry._replace(state="FAILED")

    sweep = Drive(
        executor, Retries(limit=2, delay_seconds=0.0), lambda: False, said.append, sleep=fail
    )
    sweep.run(jobs_of(folders[:1]))
    assert len(cluster.orders) == 3 and sweep.failed == folders[:1]
    assert "set-up failed: module load cuda" in said[-1] and "after 3 starts" in said[-1]


def test_a_controller_that_does_not_answer_is_waited_for(cluster, folders):
    said = []
    executor = make(cluster, folders, said)
    cluster.down = True
    with pytest.raises(Unreachable):
        executor.submit(jobs_of(folders[:1]))  # raised on the first submission
    cluster.down = False
    executor.submit(jobs_of(folders[:1]))
    cluster.down = True
    executor.submit(jobs_of(folders[1:2]))
    assert executor.poll() == [] and executor.outstanding == 2
    cluster.down = False
    assert executor.poll() == [] and len(cluster.orders) == 2
    assert sum("does not answer" in text for text in said) == 2


def test_who_detaches_waits_until_all_jobs_are_submitted(cluster, folders):
    executor = make(cluster, folders)
    executor.submit(jobs_of(folders[:1]))
    cluster.down, slept = True, []

    def answer_the_second_time(seconds: float) -> None:
        slept.append(seconds)
        cluster.down = len(slept) < 2

    executor.submit_all(jobs_of(folders[1:3]), answer_the_second_time)
    assert len(cluster.orders) == 2 and executor.outstanding == 3
    assert slept == [executor.poll_seconds] * 2


def test_cancelled_runs_leave_the_queue_and_those_that_run_see_it_themselves(cluster, folders):
    executor = make(cluster, folders)
    executor.submit(jobs_of(folders[:3]))
    cluster.become(0, "RUNNING")
    executor.cancel(folders[:2])
    assert cluster.cancelled == ["1_1"] and executor.outstanding == 1


def test_jobs_outlive_the_watcher(cluster, folders):
    executor = make(cluster, folders)
    executor.submit(jobs_of(folders[:3]))
    assert executor.close() == [] and executor.outstanding == 0 and cluster.cancelled == []


def test_runs_come_after_their_canary_in_slurm_itself(cluster, folders):
    executor = make(cluster, folders)
    executor.submit([*jobs_of(folders[1:3], after=folders[0]), *jobs_of(folders[:1])])
    assert [
        (request.after, len(orders))
        for request, orders in zip(cluster.requests, cluster.orders, strict=True)
    ] == [
        ("", 1),
        ("1_0", 2),
    ]
    cluster.become(1, "CANCELLED")
    (ended,) = executor.poll()
    assert ended.exit is None and "what it came after failed" in ended.reason


def test_all_canaries_are_looked_up_at_once(cluster, folders, monkeypatch):
    asked, queue = [], cluster.queue

    def remembered(names):
        asked.extend([set(names)] if names else [])
        return queue(names)

    monkeypatch.setattr(cluster, "queue", remembered)
    canaries = [*jobs_of(folders[:1]), *jobs_of(folders[1:2], family="b")]
    rest = [*jobs_of(folders[2:4], after=folders[0]), *jobs_of(folders[4:], after=folders[1])]
    make(cluster, folders, profile=Profile(python=(("b", "python-b"),))).submit([*canaries, *rest])
    assert [request.after for request in cluster.requests] == ["", "", "1_0", "2_0"]
    assert [len(names) for names in asked] == [2]


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "forgotten"])
@pytest.mark.parametrize("done", [True, False])
def test_a_canary_whose_job_has_ended_is_judged_by_its_folder(cluster, folders, state, done):
    said = []
    executor = make(cluster, folders, said)
    executor.submit(jobs_of(folders[:1]))
    cluster.become(0, state)
    if state == "forgotten":
        cluster.forget(0)
    if done:
        stand(folders[0], "finished", env_steps=600)
    executor.submit(jobs_of(folders[1:3], after=folders[0]))
    if done:
        assert [request.after for request in cluster.requests] == ["", ""]
    else:
        assert len(cluster.requests) == 1
        assert said[1:] == [
            f"canary {folders[0].name} is not done: what comes after it is not started"
        ]
        ended = [e for e in executor.poll() if e.job.folder != folders[0]]
        assert [(e.job.folder, e.exit) for e in ended] == [(f, None) for f in folders[1:3]]


def test_nothing_starts_after_a_canary_that_was_not_submitted(cluster, folders):
    attempts.add(folders[0], "cancelled")
    executor = make(cluster, folders)
    executor.submit([*jobs_of(folders[:1]), *jobs_of(folders[1:3], after=folders[0])])
    assert cluster.requests == []
    assert [e.reason for e in executor.poll()] == [
        "cancelled elsewhere",
        *["not started, its canary is not done"] * 2,
    ]


def test_why_a_job_can_never_start_is_said_once(cluster, folders):
    said = []
    executor = make(cluster, folders, said)
    executor.submit(jobs_of(folders[:2]))
    cluster.become(0, "PENDING", "InvalidQOS")
    cluster.become(1, "PENDING", "QOSMaxJobsPerUserLimit")
    executor.poll()
    executor.poll()
    assert [text for text in said if "does not start" in text] == [
        f"Slurm does not start {folders[0].name} (job 1_0): InvalidQOS"
    ]


def test_refused_jobs_leave_no_batch(cluster, folders, monkeypatch):
    def refuse(*_):
        raise BadInput("Slurm refused the jobs")

    monkeypatch.setattr(cluster, "submit", refuse)
    with pytest.raises(BadInput):
        make(cluster, folders).submit(jobs_of(folders))
    monkeypatch.undo()
    make(cluster, folders).submit(jobs_of(folders))
    assert len(cluster.orders) == 1


@pytest.mark.parametrize("max_array", [0, 1, 2])
def test_clusters_without_arrays_get_single_jobs(cluster, folders, max_array):
    cluster.max_array = max_array
    make(cluster, folders).submit(jobs_of(folders[:3]))
    assert [len(orders) for orders in cluster.orders] == [1, 1, 1]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b'{"runs": [["a"]]}'])
def test_a_damaged_batch_is_named_and_nothing_is_submitted(cluster, folders, damage):
    batch = folders[0].parents[1] / "slurm" / "safedreamer-x" / "batch.json"
    batch.parent.mkdir(parents=True)
    batch.write_bytes(damage)
    with pytest.raises(BadInput, match=r"batch.json is damaged"):
        make(cluster, folders).submit(jobs_of(folders[:1]))
    assert cluster.orders == []


def test_a_run_whose_files_are_damaged_is_not_submitted(cluster, folders):
    (folders[0] / "status.json").write_bytes(b"")
    executor = make(cluster, folders)
    executor.submit(jobs_of(folders[:2]))
    assert len(cluster.orders) == 1 and len(cluster.orders[0]) == 1
    assert "status.json is damaged" in executor.poll()[0].reason
