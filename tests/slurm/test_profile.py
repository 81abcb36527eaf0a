"""Profiles of Slurm clusters: valid files, and errors that name the line."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

import slurm.slurm
from benchmarks.runs.errors import BadInput
from slurm.cluster import set_up
from slurm.drive import Retries
from slurm.profile import Profile, load, minutes
from slurm.slurm import slurm_executor
from tests.slurm.test_executor import FakeCluster

FULL = """\
partition: gpu
account: lab
time: 1-02:30:00
gres: gpu:1
cpus: 8
memory_gb: 32
setup: [module load cuda, 'export A=1']
python:
  default: apptainer exec --nv suite.sif python
  omnisafe: /opt/torch/bin/python
env_python: /opt/python 3.11/bin/python
sbatch: {mail-type: FAIL, exclusive: true, nice: 5}
"""


def write(folder, text):
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_a_profile_says_what_jobs_ask_for(tmp_path):
    profile = load(write(tmp_path, FULL), families=["safedreamer", "omnisafe"])
    assert (profile.partition, profile.account, profile.gres, profile.cpus) == (
        "gpu",
        "lab",
        "gpu:1",
        8,
    )
    assert profile.minutes == (24 + 2) * 60 + 30 and profile.memory_gb == 32.0
    assert profile.setup == ("module load cuda", "export A=1")
    assert profile.python_of("omnisafe") == "/opt/torch/bin/python"
    assert profile.python_of("safedreamer") == "apptainer exec --nv suite.sif python"
    assert profile.env_python == "/opt/python 3.11/bin/python"
    assert dict(profile.sbatch) == {"mail-type": "FAIL", "exclusive": True, "nice": "5"}
    assert hash(profile) == hash(load(write(tmp_path, FULL), families=["safedreamer", "omnisafe"]))


def test_nothing_is_chosen_for_a_cluster_by_default():
    profile = load(None)
    assert (
        profile == Profile()
        and profile.partition is None
        and profile.python_of("any") == shlex.quote(sys.executable)
    )


def test_the_command_line_comes_after_the_file(tmp_path):
    profile = load(
        write(tmp_path, FULL), ["partition=cpu", "time=90", "setup=[module purge]"], ["omnisafe"]
    )
    assert (profile.partition, profile.minutes, profile.setup, profile.account) == (
        "cpu",
        90,
        ("module purge",),
        "lab",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30", 30),
        ("2:30", 3),
        ("01:00:00", 60),
        ("0:0:30", 1),
        ("1-0", 1440),
        ("2-12", 3600),
        ("1-00:01:01", 1442),
    ],
)
def test_time_limits_as_slurm_reads_them(text, expected):
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5", "0", "1-"])
def test_other_time_limits_are_refused(text):
    with pytest.raises(BadInput, match="time="):
        minutes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("partition: gpu\npartiton: x", ":2: unknown key 'partiton'; did you mean partition"),
        ("cpus: 0", ":1: cpus=0 must be a whole number of at least 1"),
        ("account: lab\ncpus: 1.5", ":2: cpus: '1.5' is not a whole number"),
        ("memory_gb: lots", ":1: memory_gb: 'lots' is not a number"),
        ("cpus: 1.0e+300", ":1: cpus=1e+300 must be a number from 0 to 1000000000"),
        ("poll_seconds: 0", ":1: poll_seconds=0.0 must be positive"),
        ("partition: 12", ':1: partition: 12 must be text: write it in quotes, "12"'),
        ("env_python: 3.11", ":1: env_python: 3.11 must be text"),
        ("setup: module load cuda", ":1: setup must be a list"),
        (
            "python:\n  omnisave: x",
            ":2: unknown family of methods 'omnisave'; did you mean omnisafe",
        ),
        ("\nsbatch:\n  array: 0-3", ":3: array is set by the sweep"),
        ("sbatch:\n  exclusive: false", ":2: exclusive must be a value, or true"),
        (
            "sbatch:\n  mail-type: FAIL\n  mail_type: END",
            ":3: mail-type is given twice, also as mail_",
        ),
        ("time: later", ":1: time='later' must be minutes"),
        ("- partition", ":1: expected settings"),
        ("partition: [", ":1: "),
    ],
)
def test_mistakes_are_named_by_line(tmp_path, text, expected):
    path = write(tmp_path, text)
    with pytest.raises(BadInput) as error:
        load(path, families=["omnisafe"])
    assert f"{path}{expected}" in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["partition=a", "partition=b"], "--slurm partition=b: partition is given twice"),
        (["cpus=8", "time=9", "cpus=8"], "--slurm cpus=8: cpus is given twice"),
        (["account=a"], "account is given twice, also as account of sbatch: leave one out"),
        (["memory_gb=4"], "memory_gb is given twice, also as mem of sbatch"),
    ],
)
def test_a_setting_given_twice_is_refused(tmp_path, overrides, message):
    path = write(tmp_path, "partition: gpu\nsbatch: {account: b, mem: 4G}")
    assert load(path, ["partition=a", "cpus=8"]).partition == "a"  # after the file, once
    with pytest.raises(BadInput, match=message):
        load(path, overrides)


def test_text_that_reads_as_a_number_is_quoted(tmp_path):
    with pytest.raises(BadInput) as error:
        load(None, ["account=007"])
    (word,) = shlex.split(str(error.value).partition("(in a shell ")[2].removesuffix(")"))
    assert load(None, [f"account={word}"]).account == "007"
    assert load(write(tmp_path, 'account: "007"')).account == "007"


@pytest.mark.parametrize(
    ("given", "here", "expected"),
    [
        ((), "", None),
        ((), "/here/python", "/here/python"),
        (("env_python=/there/python",), "/here/python", "/there/python"),
        (("env_python=/there/python",), "", "/there/python"),
    ],
)
def test_jobs_take_the_profiles_interpreter_of_environments_and_else_the_sweeps(
    tmp_path, monkeypatch, given, here, expected
):
    monkeypatch.setattr(slurm.slurm, "chosen_python", lambda: here)
    executor = slurm_executor(tmp_path, None, given, Retries(), None, FakeCluster())
    assert executor._profile.env_python == expected
    lines = set_up(executor._profile, tmp_path)
    exported = [line for line in lines if "SAFEDREAMER_ENV_PYTHON" in line]
    assert exported == ([f"export SAFEDREAMER_ENV_PYTHON={expected}"] if expected else [])


def test_jobs_get_the_interpreter_after_the_set_up_lines_and_quoted(tmp_path):
    profile = load(write(tmp_path, FULL), families=["omnisafe"])
    script = "\n".join(set_up(profile, tmp_path)).replace("module load cuda", "true")
    shell = ["bash", "-c", f'{script}\nprintf %s "$A$SAFEDREAMER_ENV_PYTHON"']
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert done.stdout == "1/opt/python 3.11/bin/python"


def test_a_time_of_day_is_no_number_in_base_60(tmp_path):
    assert load(write(tmp_path, "time: 12:30:00")).minutes == 750  # YAML 1.1 parses it as 45000


def test_other_mistakes(tmp_path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(BadInput, match="expected KEY=VALUE"):
        load(None, ["partition"])
    with pytest.raises(BadInput, match="--slurm cpu=2:1: unknown key 'cpu'; did you mean cpus"):
        load(None, ["cpu=2"])
    with pytest.raises(BadInput, match="must be longer than signal_seconds=120"):
        load(None, ["time=2"])
