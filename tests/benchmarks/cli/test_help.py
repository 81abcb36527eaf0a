"""Help pages, completion, the version, and OmniSafe's names of options."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cli import app, train
from benchmarks.cli.train import translated
from benchmarks.suites import reading
from benchmarks.sweep import text
from tests.tree import ROOT


def shown(capfd: pytest.CaptureFixture[str], *args: str) -> str:
    """Return the output of a command that exits with status 0."""
    try:
        status = app.main(args)
    except SystemExit as stop:
        status = stop.code
    assert status == 0
    return capfd.readouterr().out


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_help_of_train_is_one_screen_whose_examples_parse(capfd, monkeypatch):
    page = shown(capfd, "train", "--help")
    assert page.count("\n") <= 40
    assert max(map(len, page.splitlines())) <= 80
    groups = re.search(r"all by --help-all\):\s([^:]*?)\n\n", page)
    assert groups is not None and "planner" in re.split(r",\s+", groups[1])
    examples = re.findall(r"^  safedreamer train (.*?)(?:  +#.*)?$", page, re.MULTILINE)
    assert len(examples) == 4
    for words in (example.split() for example in examples):
        if "ppo_lag" not in words and "my_envs:make" not in words:
            train.read(words)


def test_help_of_a_group_shows_its_settings_alone(capfd):
    page = shown(capfd, "train", "--method", "osrp", "--help", "planner")
    assert "--planner.horizon INT      Planned model steps (agent steps). (default: 15)" in page
    assert set(re.findall(r"^  --(\w+)", page, re.MULTILINE)) == {"planner"}
    assert "--env-python" in shown(capfd, "train", "--help", "run")
    assert "--cost-limit" in shown(capfd, "train", "--help", "agent")
    assert app.main(["train", "--help", "plannr"]) == 2
    assert "unknown group of settings 'plannr'; did you mean planner" in capfd.readouterr().err


def test_help_of_a_method_without_pictures_needs_no_observation(capfd):
    page = shown(capfd, "train", "--method", "sac_lag", "--help", "sac")
    assert "--sac.cost-critics INT" in page


def test_help_of_train_loads_no_jax():
    code = (
        "import sys; from benchmarks.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: print({'jax', 'torch', 'mujoco'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_version(capfd):
    assert app.main(["--version"]) == 0
    assert re.match(r"safedreamer \d+\.\d+\.\d+.*, Python 3\.\d+\.\d+\n", capfd.readouterr().out)


@pytest.mark.parametrize(
    ("args", "ours"),
    [
        ("--algo PPOLag --env-id A", "--method ppo_lag --task A"),
        ("--algo=CPO --total_steps=2e6", "--method=cpo --steps=2e6"),
        ("--algo mine:METHOD --seed 1", "--method mine:METHOD --seed 1"),
        ("--out PPOLag --env-id PPOLag", "--out PPOLag --task PPOLag"),
        ("--vector-env-nums 4", "--loop.num-envs 4"),
    ],
)
def test_omnisafes_options_are_ours(args: str, ours: str):
    assert translated(args.split()) == ours.split()


def test_bash_completes_commands_options_and_names(capfd, tmp_path: Path):
    assert app.main(["completion", "bash"]) == 0
    (tmp_path / "c.bash").write_text(capfd.readouterr().out)

    def completed(*words: str) -> set[str]:
        line = f"COMP_WORDS=(safedreamer {' '.join(words)}); COMP_CWORD={len(words)}"
        code = f"source c.bash; {line}; _safedreamer; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(
            ["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    assert completed("sta") == {"status"}
    assert completed("train", "--planner.ho") == {"--planner.horizon"}
    assert completed("train", "--method", "osrp") == {"osrp", "osrp_lag"}
    assert completed("plot", "--ti") == {"--title"}
    assert completed("sweep", "--suite", "core") == {"core5", "core5-baselines"}


def test_fish_lists_the_same():
    from benchmarks.cli.completion import _fish

    script = _fish({"train": ["--obs", "--seed"]}, {"--obs": ["vision", "lidar"]})
    assert "-n '__fish_seen_subcommand_from train' -l obs -x -a 'vision lidar'" in script
    assert script.endswith("-l seed\n")


@pytest.mark.parametrize("command", app.COMMANDS)
def test_all_commands_have_the_same_page(command: str, capfd):
    page = shown(capfd, command, "--help")
    assert page.startswith(f"usage: safedreamer {command}")
    assert max(map(len, page.splitlines())) <= 80
    usage = page.splitlines()[0]
    assert usage.endswith("[OPTIONS]")
    assert not re.search(r"\b(PATH|STR|INT)\b", usage.partition(" --")[0])
    assert "(default: None)" not in page and "(default: False)" not in page


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("push", "safedreamer push RUN TARGET [OPTIONS]"),
        ("evaluate", "safedreamer evaluate [RUN] [OPTIONS]"),
        ("status", "safedreamer status FOLDER [FILTERS ...] [OPTIONS]"),
        ("completion", "safedreamer completion {bash,zsh,fish} [OPTIONS]"),
        ("compare", "safedreamer compare [RESULTS ...] A B [OPTIONS]"),
        ("plot", "safedreamer plot [RESULTS ...] --out DIR [OPTIONS]"),
    ],
)
def test_usage_names_the_arguments(command: str, usage: str, capfd):
    page = shown(capfd, command, "--help")
    assert page.splitlines()[0] == f"usage: {usage}"


@pytest.mark.parametrize("words", [["--help"], ["suites"], ["methods"]])
def test_lists_fit_their_terminal(words: list[str], monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.setattr(text, "terminal_width", lambda: 80)
    assert max(map(len, shown(capfd, *words).splitlines())) <= 80
    monkeypatch.setattr(text, "terminal_width", lambda: None)
    lines = shown(capfd, *words).splitlines()
    if words == ["suites"]:
        assert [line.split()[0] for line in lines] == list(reading.builtin())
