"""Executor on Slurm: job arrays submitted with submitit, monitored with squeue and identified by
the batches in the results folder (`slurm.batches`).

The outcome of a run is read from its folder; Slurm only tells which jobs wait or run.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.envs.factory import chosen_python
from benchmarks.methods import families
from benchmarks.process.exits import FAILED
from benchmarks.runs import attempts
from benchmarks.runs.errors import BadInput
from benchmarks.runs.reading import DamagedFile
from benchmarks.sweep.logs import tail
from benchmarks.sweep.members import member, where
from slurm import batches
from slurm.cluster import Entry, Request, SlurmCluster, Unreachable
from slurm.drive import Retries
from slurm.executor import Ended, Job, needless
from slurm.profile import DEFAULT, Profile, load
from slurm.supervise import Order

ENDED_STATES = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"),
)
# final on some clusters, transient for some seconds on others
PERHAPS_ENDED_STATES = ("NODE_FAIL", "PREEMPTED", "REVOKED")
PATIENCE_SECONDS = 60.0  # after which such a state counts as final
# parts of squeue's reasons for pending that do not resolve by waiting
HOPELESS = (
    *("Invalid", "NotAllowed", "NeverSatisfied", "BadConstraints", "PartitionTimeLimit"),
    *("PartitionNodeLimit", "PartitionDown", "PartitionInactive", "Held", "held", "MaxRequeue"),
)
# share of `signal_seconds` reserved for submitit and the requeue
SAVE_MARGIN_SECONDS = 5.0


class Watched(NamedTuple):
    """A job in the queue."""

    job: Job
    batch: str
    task: int  # index in its array
    events: int  # events in its folder at submission


class SlurmExecutor:
    """Submits runs of the results folder `out` as jobs and monitors them.

    At most `at_once` jobs of an array run at a time (None: any number).
    """

    depends = True

    def __init__(
        self,
        cluster: SlurmCluster,
        out: Path,
        profile: Profile,
        retries: Retries = Retries(),
        at_once: int | None = None,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._out, self._say, self._clock = cluster, out, say, clock
        self._profile, self._retries, self._at_once = profile, retries, at_once
        self._watched: dict[Path, Watched] = {}
        self._refused: list[Ended] = []
        self._held: list[Job] = []  # to be submitted once Slurm answers
        self._since: dict[Path, float] = {}  # first seen in a state that may be final
        self._submitted = False
        self._told: set[str] = set()  # messages printed already

    @property
    def poll_seconds(self) -> float:
        return self._profile.poll_seconds

    @property
    def outstanding(self) -> int:
        return len(self._watched) + len(self._refused) + len(self._held)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Submit jobs whose runs are neither queued, running nor finished elsewhere.

        Runs that are queued already are monitored.

        Raises Unreachable if Slurm does not answer at the first submission; later submissions are
        held until it does.
        """
        if not jobs:
            return
        try:
            self._submit_new(jobs)
        except Unreachable as error:
            if not self._submitted:
                raise
            self._say_once(f"Slurm does not answer ({error}); what is to be submitted waits")
            self._held.extend(job for job in jobs if job.folder not in self._watched)

    def submit_all(self, jobs: Sequence[Job], sleep: Callable[[float], None] = time.sleep) -> None:
        """`submit`, and return only when none is held."""
        self.submit(jobs)
        while self._held:
            sleep(self.poll_seconds)
            self._submit_held()

    def _submit_held(self) -> None:
        held, self._held = self._held, []
        self.submit(held)

    def _submit_new(self, jobs: Sequence[Job]) -> None:
        with batches.locked(self._out):
            queued = self._queued()
            self._submitted = True
            new = []
            for job in jobs:
                if (at := queued.get(self._name(job))) is not None:
                    self._watched[job.folder] = Watched(job, *at)
                elif ended := needless(job):
                    self._refused.append(ended)
                else:
                    new.append(job)
            self._submit_grouped([job for job in new if job.after is None], {})
            rest = [job for job in new if job.after is not None]
            ids = self._canaries({job.after for job in rest if job.after is not None})
            why = "not started, its canary is not done"
            self._refused += [Ended(job, None, why) for job in rest if job.after not in ids]
            self._submit_grouped([job for job in rest if job.after in ids], ids)

    def _canaries(self, folders: Iterable[Path]) -> dict[Path, str]:
        """Ids of the jobs that run these canaries, "" for a canary that is done.

        Leaves out those that have ended otherwise or are not in the queue: Slurm may no longer know
        the outcome of their jobs, so nothing can depend on them.
        """
        found = {}
        at = {folder: self._watched[folder] for folder in folders if folder in self._watched}
        listed = self._cluster.queue({watched.batch for watched in at.values()})
        for folder in folders:
            watched = at.get(folder)
            entry = listed[watched.batch].get(watched.task) if watched is not None else None
            if entry is not None and entry.state not in ENDED_STATES:
                found[folder] = entry.id
            elif where(folder) == "done":
                found[folder] = ""
            else:
                self._say_once(
                    f"canary {folder.name} is not done: what comes after it is not started"
                )
        return found

    def _submit_grouped(self, jobs: Sequence[Job], canaries: Mapping[Path, str]) -> None:
        """Submit the jobs in as few arrays as possible, each after its canary (`_canaries`).

        Jobs with the same code, Python, memory and canary can share an array.
        """
        groups: dict[Request, list[Job]] = defaultdict(list)
        for job in jobs:
            memory = self._profile.memory_gb or rounded_up(job.memory_bytes / 1e9)
            after = canaries[job.after] if job.after is not None else ""
            python = self._profile.python_of(job.family)
            request = Request(self._profile, job.code, python, memory, self._at_once, after)
            groups[request].append(job)
        # clusters with MaxArraySize 0 or 1 take single jobs only
        size = max(1, self._cluster.max_array - 1)
        for request, group in groups.items():
            for start in range(0, len(group), size):
                self._submit(request, group[start : start + size])

    def _queued(self) -> dict[str, tuple[str, int, int]]:
        """Batch, index and number of events of each run of the results folder that Slurm still
        holds, by the name of its folder.

        Marks batches that are over, so that they are not queried again; needs the lock.
        """
        known = batches.read(self._out)
        listed = self._cluster.queue(known)
        found: dict[str, tuple[str, int, int]] = {}
        for name, runs in known.items():
            live = [i for i, entry in listed[name].items() if entry.state not in ENDED_STATES]
            if not live:
                batches.close(self._out, name)
            found |= {runs[index][0]: (name, index, runs[index][1]) for index in live}
        return found

    def _name(self, job: Job) -> str:
        return job.folder.resolve().relative_to(self._out.resolve()).as_posix()

    def poll(self) -> list[Ended]:
        self._submit_held()
        ended, self._refused = self._refused, []
        try:
            listed = self._cluster.queue({at.batch for at in self._watched.values()})
        except Unreachable as error:
            self._say_once(f"Slurm does not answer ({error}); jobs go on, and so does the watch")
            return ended
        for at in list(self._watched.values()):
            entry = listed[at.batch].get(at.task)
            if self._over(at.job.folder, entry):
                del self._watched[at.job.folder]
                ended.append(self._ended(at, entry))
            elif (
                entry and entry.state == "PENDING" and any(why in entry.reason for why in HOPELESS)
            ):
                self._say_once(
                    f"Slurm does not start {at.job.folder.name} (job {entry.id}): {entry.reason}"
                )
        return ended

    def cancel(self, folders: Iterable[Path]) -> None:
        """Remove waiting runs from the queue.

        Running ones find the cancellation in their folder, save and exit, without a time limit.
        """
        chosen = [self._watched.pop(folder) for folder in folders if folder in self._watched]
        try:
            listed = self._cluster.queue({at.batch for at in chosen})
            entries = [listed[at.batch].get(at.task) for at in chosen]
            self._cluster.cancel([e.id for e in entries if e and e.state == "PENDING"])
        except Unreachable as error:
            self._say_once(
                f"Slurm does not answer ({error}); cancelled runs end when their jobs start"
            )

    def close(self) -> list[Ended]:
        """Stop monitoring; the jobs continue without this process."""
        self._watched.clear()
        return []

    def _submit(self, request: Request, jobs: list[Job]) -> None:
        runs = [(self._name(job), len(attempts.read(job.folder))) for job in jobs]
        name = batches.create(self._out, runs)
        seconds = max(1.0, self._profile.signal_seconds - SAVE_MARGIN_SECONDS)
        orders = [
            Order(str(job.folder.resolve()), str(job.code.resolve()), self._retries, seconds)
            for job in jobs
        ]
        try:
            number = self._cluster.submit(name, batches.folder(self._out, name), request, orders)
        except BadInput:
            batches.close(self._out, name)
            raise
        self._say(f"submitted {len(jobs)} runs as job {number} ({name})")
        for index, (job, (_, events)) in enumerate(zip(jobs, runs, strict=True)):
            self._watched[job.folder] = Watched(job, name, index, events)

    def _over(self, folder: Path, entry: Entry | None) -> bool:
        """Whether the job has reached a final state in Slurm."""
        if entry is None or entry.state in ENDED_STATES:
            return True
        if entry.state not in PERHAPS_ENDED_STATES:
            self._since.pop(folder, None)
            return False
        return self._clock() - self._since.setdefault(folder, self._clock()) > PATIENCE_SECONDS

    def _ended(self, at: Watched, entry: Entry | None) -> Ended:
        """The outcome of the run, as read from its folder.

        A job that recorded no end there was killed; that is recorded as a failure.
        """
        folder = at.job.folder
        try:
            now = member(folder)
        except DamagedFile as error:
            return Ended(at.job, FAILED, str(error), recorded=True)
        last = attempts.last(now.events[at.events :], "started", "ended")
        if now.state in ("done", "cancelled"):
            return Ended(at.job, 0 if now.state == "done" else None, now.state, recorded=True)
        if last is not None and last.event == "ended":
            status = last.exit if last.exit is not None else FAILED
            return Ended(at.job, status, last.reason, recorded=True)
        state = entry.state if entry else "gone from the queue"
        if state == "CANCELLED" and last is None:
            reason = "cancelled in Slurm before it started, or what it came after failed"
            return Ended(at.job, None, reason)
        said = " | ".join(tail(self._log(at, entry), 3)) if last is None else ""
        reason = f"Slurm: {state}"
        reason += f" on {entry.node}" if entry and entry.node else ""
        reason += f": {said}" if said else ""
        attempts.add(folder, "ended", exit=FAILED, failed=True, reason=reason)
        return Ended(at.job, FAILED, reason, recorded=True)

    def _log(self, at: Watched, entry: Entry | None) -> Path:
        """Log of submitit and of the job's set-up lines."""
        number = entry.id if entry is not None else "*"
        folder = batches.folder(self._out, at.batch)
        found = sorted(folder.glob(f"{number}_*_log.out"))
        return found[-1] if found else folder / "log.out"

    def _say_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)


def slurm_executor(
    out: Path,
    file: Path | None,
    overrides: Sequence[str],
    retries: Retries,
    at_once: int | None,
    cluster: SlurmCluster | None = None,
) -> SlurmExecutor:
    """The executor of a profile file with overrides.

    Raises BadInput for an invalid profile, a machine without Slurm, or jobs Slurm would reject.
    """
    if "%" in str(out.absolute()):
        raise BadInput(
            f"{out.absolute()} holds a %, which Slurm takes for a part of log names: choose "
            "another --out"
        )
    profile = load(file, overrides, families())
    if profile.env_python is None and (python := chosen_python()):
        profile = dataclasses.replace(profile, env_python=python)
    cluster = cluster or SlurmCluster()
    # a job like those of the sweep, with the least memory
    memory_gb = profile.memory_gb or 1.0
    cluster.check(Request(profile, out, profile.python_of(DEFAULT), memory_gb, at_once))
    return SlurmExecutor(
        cluster, out, profile, retries, at_once, say=lambda text: print(text, flush=True)
    )


def rounded_up(gigabytes: float) -> float:
    """Round up to 1, 1.5, 2, 3, 4, 6, 8, ...: runs with similar needs then share an array."""
    power = 2.0 ** math.floor(math.log2(max(1.0, gigabytes)))
    return next(step for step in (power, 1.5 * power, 2 * power) if gigabytes <= step)
