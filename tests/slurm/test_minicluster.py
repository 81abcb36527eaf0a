"""The private Slurm: starting, jobs, loss and return of a node, two clusters at once, and clean-up
however it ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.runs.errors import BadInput
from slurm.minicluster import cluster as module
from slurm.minicluster import packages, ports, processes
from slurm.minicluster.__main__ import main
from slurm.minicluster.cluster import ClusterTrouble, MiniCluster, temporary
from slurm.minicluster.processes import wait_until
from slurm.minicluster.settings import Settings
from tests.programs import lives

# A job that logs its starts and has processes that are hard to terminate: in their own session,
# without the environment, ignoring SIGTERM.
JOB = """#!/bin/bash
echo "$SLURM_RESTART_COUNT $SLURMD_NODENAME"
setsid sleep 600 &
env -i "$(command -v sleep)" 600 &
trap '' TERM
while true; do sleep 0.2; done
"""


def running(cluster: MiniCluster, job_id: str) -> str:
    """Wait until the job runs; return its node."""

    def nodes() -> list[str]:
        return [
            job.nodes for job in cluster.squeue() if (job.job_id, job.state) == (job_id, "RUNNING")
        ]

    assert wait_until(lambda: bool(nodes()), 60.0, every=0.2)
    return nodes()[0]


def submit(cluster: MiniCluster, folder: Path, *options: str, script: str = JOB) -> str:
    """Submit a job with one core that writes its output to job.txt; return its id."""
    (folder / "job.sh").write_text(script)
    output = ("--open-mode=append", "-o", str(folder / "job.txt"))
    return cluster.command(
        "sbatch", "--parsable", "-n1", *output, *options, str(folder / "job.sh")
    ).strip()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Like tmp_path, which is too long for socket names."""
    with tempfile.TemporaryDirectory(prefix="mini-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_settings_that_cannot_be_are_named():
    for wrong, words in (
        ({"nodes": 0}, "nodes=0"),
        ({"port": 80}, "port=80"),
        ({"gpus": 17}, "gpus=17"),
    ):
        with pytest.raises(BadInput, match=words):
            Settings(**wrong)


def test_clusters_that_start_at_once_get_ports_of_their_own():
    here = "127.0.0.1"
    with ports.claim(here, 4) as one, ports.claim(here, 4) as other:
        assert abs(one - other) >= ports.RANGE
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((here, one + 3))
        taken.listen()
        with ports.claim(here, 4) as third:
            assert third != one
        with pytest.raises(BadInput, match=f"port {one + 3} is in use"), ports.claim(here, 4, one):
            pass


def test_without_slurm_the_error_names_the_packages(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(packages, "_ADMINISTRATORS", "")
    assert main(["up", str(tmp_path / "mini")]) == 2
    error = capsys.readouterr().err
    assert (
        "slurmctld, slurmd on this machine; apt-get install slurmctld slurmd slurm-client munge"
        in error
    )
    assert not (tmp_path / "mini").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--temporary"], "run needs a command after --"),
        (["run", "--", "true"], "run needs either a folder or --temporary"),
        (["run", "--temporary", "--", "no-such-command"], "no command no-such-command"),
        (["up", "x", "--node", "4"], "did you mean --nodes"),
        (["op", "x"], "did you mean up"),
    ],
)
def test_mistakes_get_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["up", "down", "status", "run"])
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0 and f"slurm.minicluster {name}" in capsys.readouterr().out


def test_a_host_that_does_not_know_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "missing", lambda: "")
    monkeypatch.setattr(socket, "gethostname", lambda: "nowhere.invalid")
    with pytest.raises(BadInput, match=r"echo 127.0.0.1 nowhere.invalid >> /etc/hosts"):
        MiniCluster(tmp_path).up()


def test_a_folder_whose_sockets_would_have_too_long_names_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "missing", lambda: "")
    with pytest.raises(BadInput, match="more than 72 characters"):
        MiniCluster(tmp_path / ("x" * 72)).up()


def test_a_cluster_is_down_where_there_is_none(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 1
    assert "no controller answers" in capsys.readouterr().out
    assert main(["down", str(tmp_path)]) == 0


@pytest.mark.slurm
def test_a_step_runs_on_three_nodes_and_foreign_jobs_stay_outside(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")  # as in a job of another cluster
    assert "SLURM_JOB_ID" not in cluster.environment
    assert sorted(cluster.command("srun", "-N3", "printenv", "SLURMD_NODENAME").split()) == [
        "n1",
        "n2",
        "n3",
    ]
    assert cluster.command("srun", "hostname").strip() == socket.gethostname()
    assert cluster.command("sinfo", "-h", "-o", "%P").split() == ["main*", "short", "high"]
    with pytest.raises(ClusterTrouble, match="invalid partition specified: nowhere"):
        cluster.command("sbatch", "-p", "nowhere", "--wrap", "true")


@pytest.mark.slurm
def test_up_again_starts_only_what_is_down(cluster):
    before = {(one.role, one.node): one.process.pid for one in cluster.processes()}
    assert len(before) == 2 + 3 + (cluster.settings.auth == "munge")
    MiniCluster(cluster.folder, Settings(slurmd_timeout_s=8)).up()
    assert {(one.role, one.node): one.process.pid for one in cluster.processes()} == before
    cluster.kill_node("n3")
    cluster.up()
    after = {(one.role, one.node): one.process.pid for one in cluster.processes()}
    assert {what for what in after if after[what] != before[what]} == {("slurmd", "n3")}
    with pytest.raises(BadInput, match="is a cluster of other settings"):
        MiniCluster(cluster.folder, Settings(nodes=2)).up()


@pytest.mark.slurm
def test_a_controller_that_was_stopped_finds_its_jobs_again(cluster, short_path):
    job = submit(cluster, short_path, script="#!/bin/bash\nsleep 600\n")
    node = running(cluster, job)
    cluster.stop_controller()
    assert "slurmctld" not in {one.role for one in cluster.processes()}
    assert processes.JOB in {one.role for one in cluster.processes() if one.node == node}
    cluster.up()
    assert running(cluster, job) == node
    cluster.command("scancel", job)
    assert wait_until(lambda: processes.JOB not in {one.role for one in cluster.processes()}, 30.0)


@pytest.mark.slurm
@pytest.mark.slow
def test_a_dead_slurmd_leaves_its_jobs_alive_and_a_dead_node_does_not(cluster, tmp_path):
    job = submit(cluster, tmp_path, "--requeue")
    first = running(cluster, job)
    assert wait_until(
        lambda: sum(one.role == processes.JOB for one in cluster.processes()) >= 4, 10.0
    )
    cluster.kill_node(first, slurmd_only=True)
    left = {one.role for one in cluster.processes() if one.node == first}
    assert left == {"slurmstepd", processes.JOB}
    cluster.kill_node(first)
    assert not [one for one in cluster.processes() if one.node == first]
    assert wait_until(lambda: cluster.nodes()[first] == "down*", 90.0, every=0.5)
    second = running(cluster, job)
    assert second != first
    assert wait_until(lambda: (tmp_path / "job.txt").read_text() == f" {first}\n1 {second}\n", 10.0)
    cluster.start_node(first)
    assert wait_until(cluster.is_up, 30.0)
    cluster.command("scancel", job)
    assert wait_until(
        lambda: not [one for one in cluster.processes() if one.role == processes.JOB], 30.0
    )
    with pytest.raises(BadInput, match="no node n9; there are n1, n2, n3"):
        cluster.kill_node("n9")


@pytest.mark.slurm
def test_two_clusters_do_not_meet_and_down_leaves_nothing(cluster, short_path):
    other = MiniCluster(short_path / "mini", Settings(nodes=1, auth="none"))
    try:
        other.up()
        job = submit(other, short_path)
        assert running(other, job) == "n1"
        assert [each.job_id for each in other.squeue()] == [job]
        assert abs(other.settings.port - cluster.settings.port) >= ports.RANGE
        mine, theirs = ({one.process.pid for one in each.processes()} for each in (cluster, other))
        # three daemons, a step manager, the job's shell and its sleeps
        assert not mine & theirs and len(theirs) >= 8
    finally:
        other.down()
    assert [pid for pid in theirs if lives(pid)] == []
    assert (
        str(other.folder)
        not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    )
    assert {file.parent.name for file in other.folder.rglob("*") if file.is_file()} == {"log"}
    assert all(lives(pid) for pid in mine)
    assert cluster.is_up()


@pytest.mark.slurm
def test_run_gives_the_command_a_cluster_and_passes_its_status_on(short_path, capfd):
    assert (
        main(
            [
                "run",
                str(short_path),
                "--nodes",
                "1",
                "--",
                "bash",
                "-c",
                "sinfo -hNo %N -p main; exit 7",
            ]
        )
        == 7
    )
    assert capfd.readouterr().out.split() == ["n1"]
    assert processes.find(short_path) == []


@pytest.mark.slurm
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cluster_ends_with_who_brought_it_up(short_path, number):
    words = [
        sys.executable,
        "-m",
        "slurm.minicluster",
        "run",
        str(short_path),
        "--nodes",
        "1",
        "--",
        "sleep",
        "600",
    ]
    caller = subprocess.Popen(words, cwd=Path(module.__file__).parents[2])

    def commands() -> list[psutil.Process]:
        found = []
        for child in psutil.Process(caller.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended in the meantime
                if child.name() == "sleep":
                    found.append(child)
        return found

    try:
        assert wait_until(lambda: bool(commands()), 30.0) and MiniCluster(short_path).is_up()
        (command,) = commands()
    finally:
        caller.send_signal(number)
    assert caller.wait() == (128 + number if number == signal.SIGTERM else -number)
    assert wait_until(
        lambda: processes.find(short_path) == [] and not (short_path / module.SAVED).exists(), 20.0
    )
    if number == signal.SIGKILL:
        command.kill()  # it is not part of the cluster
    assert wait_until(lambda: not lives(command.pid), 5.0)


@pytest.mark.slurm
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make device files")
def test_jobs_get_gpus_of_their_own():
    with temporary(Settings(nodes=1, cpus=4, gpus=2)) as cluster:
        seen = cluster.command(
            "srun",
            "-n2",
            "--gpus-per-task=1",
            "--gpu-bind=single:1",
            "printenv",
            "CUDA_VISIBLE_DEVICES",
        )
        assert sorted(seen.split()) == ["0", "1"]
