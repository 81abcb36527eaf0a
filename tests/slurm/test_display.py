"""The table of a sweep on a terminal."""

from __future__ import annotations

import io
import re
import sys

from slurm import display
from tests.sweep_folders import stand, submit, suite


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_table_is_read_anew_as_often_as_is_cheap(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    folders = submit(tmp_path, suite())
    now = [0.0]
    table = display.Table(tmp_path, clock=lambda: now[0])
    assert str(table.text()) == "6 runs: 6 waiting"
    stand(folders[0], "train", env_steps=300, env_steps_per_second=10.0)
    now[0] = 0.5
    assert str(table.text()) == "6 runs: 6 waiting"
    now[0] = 1.5
    assert "6 runs: 1 running, 5 waiting, about 6m left" in str(table.text())


def test_a_terminal_gets_a_table_and_what_is_said(tmp_path, monkeypatch):
    submit(tmp_path, suite())
    monkeypatch.setattr(sys, "stdout", Terminal())
    with display.display(tmp_path) as say:
        say("done: one")
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", sys.stdout.getvalue())
    assert "done: one" in shown and "6 runs: 6 waiting" in shown


def test_elsewhere_lines_are_printed(tmp_path, capsys):
    with display.display(tmp_path) as say:
        say("done: one")
    assert capsys.readouterr().out == "done: one\n"
