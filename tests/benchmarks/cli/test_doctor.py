"""The doctor's report: what it finds missing, the command it names, and its exit status."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from benchmarks.cli import doctor as command
from benchmarks.cli import doctor_checks as doctor
from benchmarks.cli.doctor import DoctorConfig
from benchmarks.cli.doctor_checks import Check
from benchmarks.cli.doctor_envs import check_env_python


def test_pins_are_the_lock_file(tmp_path: Path):
    lock = tmp_path / "base.txt"
    lock.write_text("jax==1.2.3\nnumpy==4.5\n")
    assert doctor.pins(lock) == {"jax": "1.2.3", "numpy": "4.5"}
    assert doctor.pins(tmp_path / "absent.txt") == {}
    assert set(doctor.STACK) <= set(doctor.pins())


def test_package_that_is_not_installed_names_the_command():
    check = doctor.check_package("no-such-package", {"no-such-package": "1.0"})
    assert (check.status, check.required) == ("missing", True)
    assert check.fix == ".venv/bin/python -m pip install --no-deps no-such-package==1.0"


def test_package_of_another_version_is_a_warning():
    check = doctor.check_package("pytest", {"pytest": "0.0.1"})
    assert check.status == "warn"
    assert "0.0.1" in check.detail
    assert doctor.check_package("pytest", {}).status == "ok"


def test_this_environment_is_the_lock_file():
    wrong = [
        check
        for check in (doctor.check_package(name, doctor.pins()) for name in doctor.STACK)
        if check.status != "ok"
    ]
    assert wrong == []


@pytest.mark.slow
def test_jax_devices_and_the_required_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert doctor.check_jax(120.0, require_gpu=False).detail.startswith("cpu: ")
    lacking = doctor.check_jax(120.0, require_gpu=True)
    assert (lacking.status, lacking.required, lacking.fix) == ("missing", True, "make cuda")
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    broken = doctor.check_jax(120.0, require_gpu=False)
    assert (broken.status, broken.required) == ("missing", True)
    assert "nonsense" in broken.detail and broken.fix == "unset JAX_PLATFORMS"


def test_a_platform_whose_plugin_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_try", lambda *_: (1, "", "Traceback\nAssertionError\n"))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    check = doctor.check_jax(1.0, require_gpu=False)
    assert check.detail == "JAX_PLATFORMS=cuda: no plugin for it is installed"
    assert (check.required, check.fix) == (True, "unset JAX_PLATFORMS")


@pytest.mark.parametrize(("name", "value"), [("MUJOCO_GL", "foo"), ("DISPLAY", ":77")])
def test_the_backend_that_would_be_used_is_tried(monkeypatch: pytest.MonkeyPatch, name, value):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setenv(name, value)
    check = doctor.check_chosen_rendering(120.0, require_gl=False)
    assert (check.name, check.status, check.required) == ("rendering", "missing", True)
    assert check.detail.startswith(f"no image can be drawn with {name}={value} (")
    assert check.fix == f"unset {name}"


@pytest.mark.gl
def test_what_the_suite_chooses_draws(monkeypatch: pytest.MonkeyPatch):
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    check = doctor.check_chosen_rendering(120.0, require_gl=True)
    assert (check.status, check.detail.split(", ")[1]) == ("ok", "chosen by the suite")


@pytest.mark.gl
def test_rendering_works_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch):
    # may be left behind by an importing process
    monkeypatch.setenv("PYOPENGL_PLATFORM", "nonsense")
    assert "ok" in {check.status for check in doctor.check_rendering(120.0, require_gl=True)}


def test_backend_that_does_not_exist_gives_the_reason():
    assert "nonsense" in doctor.try_rendering("nonsense", 120.0)


def test_trial_that_hangs_is_given_up():
    code, _, error = doctor._try("import time; time.sleep(60)", 0.2, {})
    assert (code, error) == (124, "no answer within 0 s")


@pytest.mark.parametrize("require", [False, True])
def test_no_backend_is_missing_and_required_on_demand(
    monkeypatch: pytest.MonkeyPatch, require: bool
):
    monkeypatch.setattr(doctor, "try_rendering", lambda backend, timeout_s, python: "no library")
    osmesa, egl = doctor.check_rendering(1.0, require_gl=require)
    assert osmesa.fix == "apt-get install -y libosmesa6 && export MUJOCO_GL=osmesa"
    assert egl.fix == "apt-get install -y libegl1 libgl1-mesa-dri && export MUJOCO_GL=egl"
    assert [(c.status, c.required) for c in (osmesa, egl)] == [("missing", require)] * 2


def test_one_backend_is_enough(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        doctor,
        "try_rendering",
        lambda backend, timeout_s, python: "" if backend == "egl" else "no library",
    )
    osmesa, egl = doctor.check_rendering(1.0, require_gl=True)
    assert (osmesa.status, osmesa.required, egl.status) == ("warn", False, "ok")


def test_a_python_that_keeps_no_bytecode_is_told_what_to_unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert doctor.check_bytecode().status == "ok"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    check = doctor.check_bytecode()
    assert (check.status, check.required) == ("warn", False)
    assert check.fix == "unset PYTHONDONTWRITEBYTECODE"


def test_disk_of_a_folder_that_does_not_exist_yet(tmp_path: Path):
    disk = {check.name: check for check in doctor.check_machine(tmp_path / "runs" / "new")}[
        "free disk"
    ]
    assert f"at {tmp_path}" in disk.detail


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ([Check("a", "ok", "1", required=True), Check("b", "missing", "gone", fix="install b")], 0),
        ([Check("a", "warn", "old", required=True, fix="install a")], 0),
        ([Check("a", "missing", "gone", required=True, fix="install a"), Check("b", "ok", "2")], 1),
    ],
)
def test_exit_status_and_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, checks, status
):
    monkeypatch.setattr(command, "report", lambda config: checks)
    assert command.main([]) == status
    printed = capsys.readouterr().out
    for check in checks:
        assert (check.fix == "") or f"{check.fix}    # {check.name}" in printed
    assert ("Required and missing: a" in printed) == (status == 1)


def test_impossible_timeout_is_refused():
    with pytest.raises(ValueError, match="timeout_s=0"):
        DoctorConfig(timeout_s=0)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Slurmctld(primary) at head is UP'", "; Slurmctld(primary) at head is UP"),
        (
            "echo 'Slurmctld(primary) at head is DOWN'; echo '*****'; exit 1",
            "no controller answers (Slurmctld(primary) at head is DOWN)",
        ),
        (
            "echo 'scontrol: fatal: no configuration' >&2; exit 1",
            "no controller answers (scontrol: fatal: no configuration)",
        ),
        ("exec sleep 60", "no controller answers (nothing within 1 s)"),
    ],
)
def test_slurm_with_and_without_a_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
):
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    check = doctor.check_slurm(timeout_s=1.0)
    assert (
        check.status == "ok"
        and check.detail.startswith(f"commands in {tmp_path}")
        and words in check.detail
    )


def test_no_slurm_is_no_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    check = doctor.check_slurm()
    assert check.status == "ok" and "sbatch, squeue, scancel, scontrol not found" in check.detail


def other(folder: Path, last: str) -> str:
    """A script in place of the interpreter of environments."""
    (folder / "python").write_text(f"#!/bin/sh\n{last}\n")
    (folder / "python").chmod(0o755)
    return str(folder / "python")


def test_the_interpreter_of_environments_with_its_packages(tmp_path: Path):
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    python = other(tmp_path, f'PYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} "$@"')
    found, together, worker = check_env_python(python, 60.0)
    assert (found.status, found.detail) == (
        "ok",
        f"{'.'.join(map(str, sys.version_info[:3]))} at {python} (3.11 wanted)",
    )
    assert together.status == "ok"
    assert "mujoco 2.3.3, safety-gymnasium 1.0.0" in together.detail
    assert worker.status == "ok"
    lock = tmp_path / "envs.txt"
    lock.write_text("mujoco==2.3.3\nnumpy==1.0.0\nno-such-package==2.0\n")
    absent, numpy = check_env_python(python, 60.0, lock)[1:3]
    assert (absent.name, absent.status) == ("environments' no-such-package", "missing")
    assert absent.fix == f"{python} -m pip install --no-deps -r requirements/envs.txt"
    assert (numpy.name, numpy.status) == ("environments' numpy", "warn")
    assert numpy.fix == f"{python} -m pip install --no-deps numpy==1.0.0"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo broken >&2; exit 3", "does not work: broken"),
        ("exec sleep 60", "does not answer: .*timed out"),
    ],
)
def test_an_interpreter_of_environments_that_does_not_work(tmp_path: Path, script: str, said: str):
    (check,) = check_env_python(other(tmp_path, script), 1.0)
    assert (check.status, check.required) == ("missing", True)
    assert re.search(said, check.detail)


def test_a_newer_interpreter_learns_where_another_one_simulates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "version_info", (3, 13, 1, "final", 0))
    assert doctor.check_python().status == "missing"
    assert doctor.check_python(simulates_elsewhere=True).status == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 10, 1, "final", 0))
    assert doctor.check_python(simulates_elsewhere=True).status == "missing"


def test_the_report_looks_at_both_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("check_jax", "check_ffmpeg", "check_slurm"):
        monkeypatch.setattr(doctor, name, lambda *_, name=name: Check(name, "ok", ""))
    asked = []
    monkeypatch.setattr(doctor, "check_rendering", lambda *given: asked.append(given) or [])
    monkeypatch.setattr(
        doctor,
        "check_chosen_rendering",
        lambda *given: asked.append(given) or Check("rendering", "ok", ""),
    )
    monkeypatch.setattr(command, "check_env_python", lambda *given: [Check("theirs", "ok", "")])
    python = other(tmp_path, "")
    monkeypatch.setenv("SAFEDREAMER_ENV_PYTHON", python)
    names = {check.name for check in command.report()}
    assert {"python", "jax", "theirs", "pandas"} <= names
    assert not names & set(doctor.SIMULATOR)
    assert asked == [(120.0, False, python)] * 2
    monkeypatch.setenv("SAFEDREAMER_ENV_PYTHON", str(tmp_path / "none"))
    broken = {check.name: check for check in command.report()}["environments' Python"]
    assert (broken.status, broken.required) == ("missing", True)
    assert "is not a program" in broken.detail
    monkeypatch.delenv("SAFEDREAMER_ENV_PYTHON")
    assert set(doctor.STACK) <= {check.name for check in command.report()}


def test_packages_of_a_learner_have_lower_bounds_only(monkeypatch: pytest.MonkeyPatch):
    assert set(doctor.lower_bounds()) == {"chex", "flax", "jax", "numpy", "optax"}
    versions = {"jax": "0.11.2.dev1", "flax": "0.9.9"}
    monkeypatch.setattr(doctor, "installed_version", versions.__getitem__)
    newer, older = (
        doctor.check_learner_package(name, {"jax": "0.6", "flax": "0.10.6"})
        for name in ("jax", "flax")
    )
    assert newer.status == "ok"
    assert (older.status, older.detail) == ("missing", "0.9.9 (0.10.6 or newer wanted)")
    assert older.fix == f"{sys.executable} -m pip install 'flax>=0.10.6'"


@pytest.mark.slurm
def test_the_controller_of_a_real_slurm_is_seen(cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    assert doctor.check_slurm().detail.endswith("is UP")
