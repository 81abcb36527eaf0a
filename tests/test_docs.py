"""The documentation is correct: pages, anchors and links exist, command lines parse, imports of
examples exist, and the generated reference is complete.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from benchmarks.cli import analysis, app
from benchmarks.methods import METHODS, method, settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import COLUMNS
from benchmarks.stress.suite import names as stress_suites
from benchmarks.suites import reading
from tests.documents import FENCE, write_files
from tests.tree import ROOT, tracked

TEXT = {".py", ".md", ".yaml", ".toml", ".sh", ".js", ".html", ".txt", ".in", ""}
NAMED = re.compile(r"(?<![\w/.-])docs/[\w/.-]+\.md(?:#[\w-]+)?")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHOWS = ("--help", "--help-all", "--version")
IN_LINE = re.compile(r"`(safedreamer [^`]* --[^`]*)`")


@functools.cache
def text_of(file: Path) -> str:
    return (ROOT / file).read_text(encoding="utf-8", errors="replace")


def documents() -> list[Path]:
    return [file for file in tracked() if file.suffix == ".md"]


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """Ids that MkDocs assigns to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return frozenset(re.sub(r"[-\s]+", "-", heading) for heading in plain)


def dead(page: Path, anchor: str) -> str:
    """Error of a link to a file, relative to the root; empty if it is valid."""
    if not (ROOT / page).exists():
        return f"no {page}"
    if anchor and anchor not in anchors(page):
        return f"no #{anchor} in {page}; there are {', '.join(sorted(anchors(page)))}"
    return ""


def test_every_page_and_anchor_that_a_file_names_exists():
    named, wrong = 0, []
    for file in tracked():
        if file.suffix in TEXT:
            for found in NAMED.findall(text_of(file)):
                page, _, anchor = found.partition("#")
                named += 1
                if why := dead(Path(page), anchor):
                    wrong.append(f"{file}: {why}")
    assert wrong == []
    assert named > 30


def test_every_link_of_a_document_leads_somewhere():
    wrong = []
    for file in documents():
        for link in LINK.findall(FENCE.sub("", text_of(file))):
            target, _, anchor = link.partition("#")
            if re.match(r"\w+:", link) or (anchor and not target.endswith(".md") and target):
                continue
            path = (ROOT / file.parent / target).resolve() if target else ROOT / file
            if why := dead(path.relative_to(ROOT), anchor):
                wrong.append(f"{file}: {why}")
    assert wrong == []


def test_a_dead_link_is_noticed():
    assert anchors(Path("docs/concepts/safedreamer.md")) >= {"pid-multiplier", "two-hot-regression"}
    assert "no #pid" in dead(Path("docs/concepts/safedreamer.md"), "pid")
    gone = Path("docs", "gone.md")
    assert dead(gone, "") == f"no {gone}"


class Command(NamedTuple):
    """A command line of a document."""

    file: Path
    args: tuple[str, ...]


def commands() -> list[Command]:
    """All distinct `safedreamer ...` of the documents, in blocks and, with options, inline."""
    found: dict[tuple[str, ...], Path] = {}
    for file in documents():
        text = text_of(file)
        lines = [line for _, block in FENCE.findall(text) for line in joined(block)]
        lines += [" ".join(line.split()) for line in IN_LINE.findall(FENCE.sub("", text))]
        for line in lines:
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words[:1] == ["safedreamer"] or (
                words[:1] == ["bundle/run"] and not words[1].startswith("-")
            ):
                found.setdefault(tuple(words[1:]), file)
    return [Command(file, args) for args, file in found.items() if args[-1] not in SHOWS]


def joined(block: str) -> list[str]:
    """Command lines of a shell block, with continued lines joined."""
    lines = re.sub(r"\\\n\s*", " ", block).splitlines()
    return [
        line for line in lines if re.match(r"(?:[A-Z_]+=\S+ )*(?:safedreamer|bundle/run) ", line)
    ]


def with_marks(command: Command) -> Any:
    """The command as a test parameter; OmniSafe's methods read their settings from OmniSafe."""
    name = dict(zip(command.args, command.args[1:])).get("--method", "")
    torch = name in METHODS and method(name).engine == "torch"
    marks = [pytest.mark.omnisafe] if torch else []
    return pytest.param(command, id=" ".join(command.args), marks=marks)


class Parsed(Exception):
    """Raised once a command has parsed its arguments."""


def placeholders(args: tuple[str, ...]) -> list[str]:
    """The arguments with N replaced by a number."""
    return ["3" if word == "N" else word for word in args]


@pytest.mark.parametrize("command", [with_marks(command) for command in commands()])
def test_command_lines_parse(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if any("my_methods:" in word for word in command.args):
        write_files("docs/howto/own_method.md", "python", tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
    check_command(command, monkeypatch)


def check_command(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise BadInput or SystemExit unless the command accepts its arguments."""
    from benchmarks.cli import defaults, train

    # Check the command line without the files and simulators that it refers to.
    monkeypatch.setattr(
        defaults, "task_settings", lambda name, task, obs, preset: settings(name, obs, preset)
    )
    monkeypatch.setattr(train, "choose_python", lambda python: None)
    monkeypatch.setattr(train, "_sha256", lambda path: "")
    name, args = command.args[0], placeholders(command.args[1:])
    if "--suite" in args and not (suite := args[args.index("--suite") + 1]).endswith(".yaml"):
        assert suite in (stress_suites() if name == "stress" else reading.builtin())
    if name == "train":
        train.read(args)
    elif name in analysis.COMMANDS:
        reference().command_line(name).parse_args(args)
    else:
        module = importlib.import_module(app.ELSEWHERE.get(name, f"benchmarks.cli.{name}"))
        real = module.parse

        def parse(*given: Any) -> None:
            real(*given)
            raise Parsed

        monkeypatch.setattr(module, "parse", parse)
        with pytest.raises(Parsed):
            module.main(args)


@pytest.mark.parametrize(
    "args", ["status DIR --runz", "train --obs lidar --planner.horizn 3", "evaluate --episodes ten"]
)
def test_a_wrong_command_line_is_noticed(args: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(BadInput):
        check_command(Command(Path(), tuple(args.split())), monkeypatch)


def runs(module: str) -> bool:
    """Whether `python -m module` does anything."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return False
    if found.submodule_search_locations:
        return importlib.util.find_spec(f"{module}.__main__") is not None
    return 'if __name__ == "__main__"' in Path(found.origin).read_text(encoding="utf-8")


def test_modules_that_documents_run_exist_and_run():
    own = r"python -m\s((?:analysis|benchmarks|slurm)(?:\.\w+)*)"
    asked = [(file, name) for file in documents() for name in re.findall(own, text_of(file))]
    assert [f"{file}: {name}" for file, name in asked if not runs(name)] == []
    assert len(asked) > 5 and not runs("analysis.figures.diagnosis")


def test_examples_import_what_there_is():
    wrong, seen = [], 0
    for file in documents():
        for language, block in FENCE.findall(text_of(file)):
            if language != "python":
                continue
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and node.module in ours():
                    defined = names_of(ours()[node.module])
                    seen += 1
                    wrong += [
                        f"{file}: {node.module}.{alias.name}"
                        for alias in node.names
                        if alias.name not in defined and f"{node.module}.{alias.name}" not in ours()
                    ]
                elif isinstance(node, ast.ImportFrom) and node.module.startswith("analysis"):
                    wrong.append(f"{file}: {node.module}")
    assert wrong == []
    assert seen >= 5


@functools.cache
def ours() -> dict[str, Path]:
    """Module -> file, for all modules of the repository."""
    return {
        ".".join(file.with_suffix("").parts).removesuffix(".__init__"): file
        for file in tracked()
        if file.suffix == ".py"
    }


def names_of(file: Path) -> set[str]:
    """Functions, classes and constants that a module defines at its top level."""
    found: set[str] = set()
    for node in ast.parse(text_of(file)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@functools.cache
def reference() -> ModuleType:
    """docs/mkdocs/reference.py, which fills in the generated tables."""
    path = ROOT / "docs" / "mkdocs" / "reference.py"
    spec = importlib.util.spec_from_file_location("docs_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_commands_has_every_option():
    from benchmarks.cli.common import option_names
    from benchmarks.cli.evaluate import EvaluateArgs

    page = reference().filled("<!-- generated: commands -->")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(app.COMMANDS)
    evaluate = page.partition("## evaluate\n")[2].partition("## diagnose\n")[0]
    for option in option_names(EvaluateArgs, "safedreamer evaluate", {}):
        if option != "--help" and not option.startswith("--no-"):
            assert f"| `{option.rstrip('.')}" in evaluate, option
    assert "| `--episodes INT` | `10` | Number of episodes" in evaluate
    assert "| `--planner.horizon INT` | `15` | Planned model steps (agent steps). |" in page
    assert "| `--out DIR` | required | folder for the files |" in page


def test_the_reference_has_every_method_preset_and_suite():
    tables = reference().TABLES
    assert re.findall(r"^\| `(\w+)` \|", tables["methods"](), re.MULTILINE) == list(METHODS)
    assert re.findall(r"^## ([\w-]+)$", tables["suites"](), re.MULTILINE) == list(reading.builtin())
    presets = tables["presets"]()
    assert "### cpu, coordinates" in presets
    chosen = settings("osrp_lag", "vision", "cpu").agent
    row = re.search(r"^\| `planner.actor_share` \| (.*) \|$", presets.partition("### cpu")[2], re.M)
    assert row is not None
    assert row[1].split(" | ")[2] == str(chosen.planner.actor_share)  # default, osrp, osrp_lag
    with pytest.raises(KeyError):
        reference().filled("<!-- generated: nothing -->")


def test_the_reference_has_the_limit_and_action_repeat_of_every_method():
    head, _, *lines = reference().TABLES["defaults"]().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines]
    named = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert named.keys() == METHODS.keys()
    column = head.strip("| ").split(" | ").index
    for each in filter(lambda each: each.engine == "jax", METHODS.values()):
        assert named[each.name][column("observations")] == ", ".join(each.observations)
        chosen = settings(each.name, "lidar", "cpu")
        told = f"{chosen.agent.cost_limit:g} / {chosen.loop.action_repeat}"
        assert named[each.name][column("`cpu`")] == told
    assert named["osrp"][column("`matched`")] == "–"
    told = "vision: 2 / 4; coordinates, lidar, default: 0 / 4"
    assert named["osrp_lag"][column("`release`")] == told


def test_the_page_of_records_has_the_columns_of_the_records():
    table = text_of(Path("docs/reference/records.md")).partition("## Episodes")[2]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table.partition("## Metrics")[0], re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(COLUMNS)


def test_tables_of_speed_say_what_the_files_say(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "mkdocs"))
    speed = importlib.import_module("speed")
    row = {"name": "an update", "median": 0.1234, "peak_bytes": 3.2e9, "share_of_peak": 0.406}
    about = {
        "command": "python -m benchmarks.perf",
        "against": {"commit": "0123456789", "dirty": False},
        "hardware": {"cpu": "EPYC", "cores": 2},
    }
    data = {"rows": [row, {**row, "ratio_to_against": 0.5}], **about}
    (tmp_path / "release.json").write_text(json.dumps(data))
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    text = speed.TABLES["speed-release"]()
    assert "| what | seconds | peak memory | share of peak | the other checkout's time |" in text
    assert "| an update | 0.123 | 3.2 GB | 41% | – |" in text
    assert "| an update | 0.123 | 3.2 GB | 41% | 0.50 |" in text
    assert text.endswith(
        "`python -m benchmarks.perf`, on EPYC, 2 cores. The other checkout was at 0123456."
    )


def test_the_page_on_speed_has_a_file_for_every_table():
    page = (ROOT / "docs" / "reference" / "speed.md").read_text()
    names = re.findall(r"generated: speed-(\w+)", page)
    assert names
    for name in names:
        assert (ROOT / "results" / "perf" / f"{name}.json").is_file(), name
