"""Structure of the repository: directions of imports, what programs load, text that no tracked file
may contain, contents of lock files.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.programs import python
from tests.tree import ROOT, tracked

# package -> packages of ours that it may import; all other imports are forbidden
ARROWS = {
    "agents": set(),
    "baselines": {"agents"},
    "benchmarks": {"agents", "baselines"},
    "slurm": {"benchmarks"},
    "analysis": {"benchmarks"},
}
# Package of benchmarks/ -> other packages that it may import; `tasks` is a file.
FLOORS = {
    "tasks": {"runs"},
    "runs": set(),
    "process": {"runs"},
    "envs": {"tasks", "runs", "process"},
    "methods": {"tasks", "runs"},
    "training": {"tasks", "runs", "process", "envs", "methods"},
    "omnisafe": {"tasks", "runs", "process", "envs", "methods", "training"},
    "suites": {"tasks", "runs", "methods"},
    "sweep": {"tasks", "runs", "methods", "suites", "training", "omnisafe"},
    "diagnosis": {"runs", "training"},
    "video": {"tasks", "runs", "envs", "training"},
    "zoo": {"runs", "process", "envs", "methods", "training", "omnisafe", "sharing", "suites"},
    "api": {"runs", "process", "envs", "methods", "training", "suites", "cli", "zoo", "sharing"},
    "stress": {
        "tasks", "runs", "process", "envs", "methods", "training", "omnisafe", "suites",
        "diagnosis", "zoo",
    },
    "bundle": {"runs", "cli"},
    "sharing": {"runs", "suites"},
    "fidelity": {"tasks", "runs", "envs"},
    "faults": {"runs", "process", "training", "cli"},
    "cli": {
        "sharing",
        "tasks", "runs", "process", "envs", "methods", "training", "omnisafe", "suites", "sweep",
        "diagnosis", "video", "zoo", "stress",
    },
    "perf": {
        "runs", "process", "envs", "methods", "training", "omnisafe", "suites", "sweep", "cli",
    },
}  # fmt: skip
ANALYSIS_FLOORS = {
    "data": set(),
    "results": set(),
    "read": {"results"},
    "statistics": {"results", "read"},
    "tables": {"results", "statistics"},
    "figures": {"results", "read", "statistics"},
    "report": {"results", "statistics", "tables", "figures"},
    "commands": {"results", "read", "statistics", "tables", "figures", "report"},
    "synthetic": {"results"},
    "perf": {"synthetic"},
    "__main__": {"commands"},
}
# Clients of services, in no lock file: tests replace them with fakes.
SERVICES = {"huggingface-hub", "mlflow", "s3fs"}
# Files next to the packages, apart from __init__.py, __main__.py and py.typed: at most two each.
FLAT = {"benchmarks": {"tasks.py"}, "analysis": {"perf.py", "synthetic.py"}}
LIGHT = ("runs", "process", "methods", "suites")
AGENT_LIBRARIES = {"jax", "flax", "optax", "chex", "numpy"}
ANALYSIS_MAY_IMPORT = (
    "benchmarks.process.help",
    "benchmarks.process.options",
    "benchmarks.process.stdout",
    *(
        f"benchmarks.runs.{name}"
        for name in "files identity places plain_text ranges reading records tables writing".split()
    ),
)
HEAVY = ("jax", "flax", "torch", "mujoco", "gymnasium", "safety_gymnasium", "omnisafe")
# Only these combine an agent's implementation with environments; everywhere else one of them is
# passed in as a factory or a value.
JOINTS = ("benchmarks.training.launch", "benchmarks.cli", "benchmarks.perf", "benchmarks.fidelity")

# Written so that this file does not match itself.
FORBIDDEN_TEXT = {
    "a package registry's host": re.compile(
        r"pyp[i]\.org|pythonhoste[d]|deb\.debia[n]|npmj[s]\.(?:org|com)|astra[l]\.sh"
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.])/(?:wor[k]|hom[e]|User[s]|far[m])/\w|/tm[p]/bash|/roo[t]/"
    ),
}
BINARY = {".png", ".npz", ".gif", ".mp4", ".ckpt", ".pdf", ".gz", ".parquet", ".zip"}


@functools.cache
def imports(file: Path) -> tuple[tuple[int, str], ...]:
    """(line, absolute module name) of every import of a file, including those in functions."""
    package = list(file.parent.parts)
    found = []
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from benchmarks import records` names a module,
            # `from benchmarks.runs.records import COLUMNS` does not: give both.
            found += [
                (node.lineno, module),
                *((node.lineno, f"{module}.{alias.name}") for alias in node.names),
            ]
    return tuple(found)


def sources(package: str) -> list[Path]:
    return [file for file in tracked() if file.suffix == ".py" and file.parts[0] == package]


def module_name(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def test_imports_are_read_in_every_form(tmp_path: Path):
    file = tmp_path / "pkg" / "sub" / "mod.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import a.b\nfrom c import d\ndef f():\n    from . import e\n    from ..g import h\n"
    )
    relative = {name.removeprefix(".".join(tmp_path.parts) + ".") for _, name in imports(file)}
    assert relative == {"a.b", "c", "c.d", "pkg.sub", "pkg.sub.e", "pkg.g", "pkg.g.h"}


@pytest.mark.parametrize("package", ARROWS)
def test_imports_follow_the_arrows(package: str):
    against = [
        f"{file}:{line}: {module}"
        for file in sources(package)
        for line, module in imports(file)
        if (top := module.split(".")[0]) in ARROWS and top != package and top not in ARROWS[package]
    ]
    assert against == []


def test_agents_use_few_libraries():
    allowed = AGENT_LIBRARIES | {"agents"} | set(sys.stdlib_module_names)
    foreign = [
        f"{f}:{line}: {m}"
        for f in sources("agents")
        for line, m in imports(f)
        if m.split(".")[0] not in allowed
    ]
    assert sources("agents") != []
    assert foreign == []


def test_analysis_reads_records_only():
    others = [
        f"{file}:{line}: {module}"
        for file in sources("analysis")
        for line, module in imports(file)
        if within(module, "benchmarks")
        and module != "benchmarks"
        and not any(within(module, name) for name in ANALYSIS_MAY_IMPORT)
    ]
    assert sources("analysis") != []
    assert others == []


def assert_loads_none(packages: tuple[str, ...], program: str) -> None:
    """Fail if a program that runs in a separate process loads one of the packages."""
    done = python("-c", f"{program}\nimport sys; sys.exit({set(packages)} & set(sys.modules) or 0)")
    assert done.returncode == 0, done.stderr


def test_analysis_loads_neither_jax_nor_torch():
    modules = [module_name(file) for file in sources("analysis") if file.stem != "__main__"]
    assert_loads_none(HEAVY, f"import {', '.join(modules)}")


def test_processes_of_omnisafe_load_no_jax():
    """Neither the modules of benchmarks.omnisafe nor their transitive imports load JAX.

    Importing them needs no simulator.
    """
    own = [
        module_name(file)
        for file in sources("benchmarks")
        if file.parts[1] == "omnisafe" and file.stem != "__main__"
    ]
    light = [
        name
        for name in own
        if not any(within(m, "torch") or within(m, "omnisafe") for m in all_imports(name))
    ]
    assert {"benchmarks.omnisafe.process", "benchmarks.omnisafe.envs"} <= set(light)
    assert "benchmarks.omnisafe.loop" not in light
    assert_loads_none(("jax", "torch"), f"import {', '.join(light)}")
    jax = [name for name in own for module in all_imports(name) if within(module, "jax")]
    assert jax == []


def all_imports(name: str) -> set[str]:
    """Top-level imports of a module, followed transitively through our modules."""
    found, waiting = set(), [name]
    while waiting:
        file = Path(*waiting.pop().split("."))
        path = next(
            (p for p in (file.with_suffix(".py"), file / "__init__.py") if (ROOT / p).is_file()),
            None,
        )
        if path is not None:
            new = set(top_imports(path)) - found
            found |= new
            waiting += [module for module in new if module.split(".")[0] in ARROWS]
    return found


def top_imports(file: Path) -> list[str]:
    """Modules imported at the top level of a file.

    Excludes imports in functions and for type checkers only.
    """
    found = []
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


@pytest.mark.parametrize(
    ("folder", "banned"),
    [
        ("omnisafe", ("jax", "flax", "optax")),
        ("safe_slac", ("torch", "agents.safedreamer")),
        ("lambda_", ("torch", "agents.safedreamer")),
        ("mbpo", ("torch", "agents.safedreamer", "baselines.safe_slac")),
        ("sac", ("torch", "agents.safedreamer", "baselines.safe_slac", "baselines.mbpo")),
    ],
)
def test_baselines_import_neither_environments_nor_what_belongs_to_others(
    folder: str, banned: tuple[str, ...]
):
    files = [file for file in sources("baselines") if file.parts[1] == folder]
    foreign = [
        f"{file}:{line}: {module}"
        for file in files
        for line, module in imports(file)
        if any(within(module, name) for name in (*banned, "safety_gymnasium", "mujoco"))
    ]
    assert files != []
    assert foreign == []


def test_every_baseline_is_held_to_what_it_may_import():
    folders = {file.parts[1] for file in sources("baselines") if len(file.parts) > 2}
    assert folders == {"omnisafe", "safe_slac", "lambda_", "mbpo", "sac"}


@functools.cache
def modules() -> dict[str, Path]:
    return {module_name(file): file for package in ARROWS for file in sources(package)}


@functools.cache
def arrows() -> dict[str, frozenset[str]]:
    """Module of ours -> modules of ours that it imports, also within functions."""
    found = {}
    for name, file in modules().items():
        ours = set()
        for module in {module for _, module in imports(file)}:
            if module in modules():
                ours.add(module)
        # `from package import module` names both; the package itself counts only if one of its own
        # names is imported.
        ours -= {
            package
            for package in ours
            if all(f"{package}.{name}" in modules() for name in names_taken(file, package))
        }
        found[name] = frozenset(ours - {name})
    return found


def names_taken(file: Path, package: str) -> set[str]:
    """Names that a file imports from a package; {"*"} where it imports the package itself."""
    found = set()
    for _, module in imports(file):
        if module.rpartition(".")[0] == package:
            found.add(module.rpartition(".")[2])
    return found or {"*"}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that can reach each other: import cycles."""
    reach = {node: set(others) for node, others in graph.items()}
    for middle in graph:
        for node in graph:
            if middle in reach[node]:
                reach[node] |= reach[middle]
    groups = {
        tuple(sorted({node, *(other for other in reach[node] if node in reach.get(other, ()))}))
        for node in graph
        if node in reach[node]
    }
    return [list(group) for group in sorted(groups)]


def room(module: str) -> str:
    """Package of a module, two levels deep: subpackages belong to it."""
    return ".".join(module.split(".")[:2])


def rooms(package: str | None = None) -> dict[str, set[str]]:
    """Second-level package -> those it imports, within one package or all."""
    found: dict[str, set[str]] = {}
    for name, others in arrows().items():
        if package in (None, name.split(".")[0]):
            into = {room(other) for other in others if package in (None, other.split(".")[0])}
            into -= ARROWS.keys()  # `import benchmarks` only for its path
            found.setdefault(room(name), set()).update(into - {room(name)})
    return found


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_no_files_import_each_other_in_a_circle():
    assert "agents.replay.journal" in arrows()["agents.replay.buffer"]
    # imported within a function
    assert "benchmarks.zoo.states" in arrows()["benchmarks.zoo.trained"]
    assert circles({name: set(others) for name, others in arrows().items()}) == []


def test_no_packages_import_each_other_in_a_circle():
    assert "benchmarks.runs" in rooms()["benchmarks.training"]
    assert circles(rooms()) == []


@pytest.mark.parametrize(
    ("package", "floors"), [("benchmarks", FLOORS), ("analysis", ANALYSIS_FLOORS)]
)
def test_floors(package: str, floors: dict[str, set[str]]):
    found = {
        name.removeprefix(f"{package}."): {other.removeprefix(f"{package}.") for other in others}
        for name, others in rooms(package).items()
        if name != package
    }
    assert found.keys() == floors.keys()
    against = {name: others - floors[name] for name, others in found.items()}
    assert {name: others for name, others in against.items() if others} == {}


@pytest.mark.parametrize("package", FLAT)
def test_nothing_lies_beside_the_packages(package: str):
    flat = {file.name for file in tracked() if file.parent == Path(package)}
    assert flat == FLAT[package] | ({"__init__.py", "__main__.py", "py.typed"} & flat)


def test_every_package_says_what_it_is():
    silent = []
    for name, file in modules().items():
        if file.name == "__init__.py":
            text = ast.get_docstring(ast.parse((ROOT / file).read_text(encoding="utf-8"))) or ""
            first = text.split("\n\n")[0]
            if len(first.split()) < 3 or not first.endswith("."):
                silent.append(name)
    assert silent == []


def test_planning_and_reading_runs_loads_neither_jax_nor_simulators():
    """Listing, planning and showing a sweep must start quickly."""
    light = [
        module_name(file)
        for file in sources("benchmarks")
        if file.parts[1] in LIGHT or file.name in FLAT["benchmarks"]
    ]
    assert "benchmarks.runs.checkpoint" in light and "benchmarks.tasks" in light
    shown = ["benchmarks.cli.status", "benchmarks.sweep.overview"]
    assert_loads_none(HEAVY, f"import {', '.join(light + shown)}")


@pytest.mark.parametrize(
    ("program", "packages"),
    [
        pytest.param(
            "import analysis.commands.plot, analysis.read.load, analysis.statistics.metrics, "
            "analysis.statistics.aggregates, analysis.tables.comparison",
            ("rliable", "scipy", "seaborn", "tensorboard"),
            id="frequent commands of the analysis",
        ),
        pytest.param(
            "import benchmarks.cli, benchmarks.cli.doctor_checks, benchmarks.runs.records, "
            "benchmarks.sweep.filters, benchmarks.sweep.members, safedreamer_suite; "
            "benchmarks.cli.main(['--help'])",
            (*HEAVY, "numpy", "pandas", "yaml"),
            id="what needs the standard library alone",
        ),
        pytest.param(
            "import agents, benchmarks.cli.app, benchmarks.cli.diagnose, "
            "benchmarks.cli.evaluate, benchmarks.cli.train, benchmarks.envs, benchmarks.methods, "
            "benchmarks.training.evaluation, benchmarks.training.launch, benchmarks.training.loop",
            ("gymnasium", "mujoco", "safety_gymnasium", "torch"),
            id="the learner",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "import benchmarks.omnisafe.process, benchmarks.runs.folder; "
            "from benchmarks.methods import settings; settings('cpo', 'lidar', 'release')",
            ("jax", "mujoco", "omnisafe", "torch"),
            id="settings of OmniSafe",
            marks=pytest.mark.omnisafe,
        ),
    ],
)
def test_programs_load_only_what_they_need(program: str, packages: tuple[str, ...]):
    assert_loads_none(packages, program)


def test_few_modules_join_agents_and_environments():
    implementations = {
        f"agents.{file.parts[1]}" for file in sources("agents") if len(file.parts) > 2
    } - {"agents.nn", "agents.replay"}
    assert "agents.safedreamer" in implementations
    joining = []
    for file in sources("benchmarks"):
        modules = [module for _, module in imports(file)]
        agent = any(within(module, name) for module in modules for name in implementations)
        envs = any(within(module, "benchmarks.envs") for module in modules)
        if agent and envs and not any(within(module_name(file), joint) for joint in JOINTS):
            joining.append(str(file))
    assert joining == []


def test_every_code_folder_is_a_package_that_pyproject_lists():
    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"][
            "find"
        ]["include"]
    )
    ours = {name for package in ARROWS for name in (package, f"{package}.*")}
    assert listed == ours | {"safedreamer_suite"}
    folders = {file.parent for package in ARROWS for file in sources(package)}
    parents = {
        parent for folder in folders for parent in (folder, *folder.parents) if parent != Path()
    }
    assert [
        str(folder) for folder in sorted(parents) if folder / "__init__.py" not in tracked()
    ] == []


@pytest.mark.parametrize("what", FORBIDDEN_TEXT)
def test_no_tracked_file_names(what: str):
    hits = []
    for file in tracked():
        if file.suffix in BINARY or (ROOT / file).is_symlink():
            continue
        for number, line in enumerate(
            (ROOT / file).read_text(encoding="utf-8", errors="replace").splitlines(), 1
        ):
            hits += [
                f"{file}:{number}: {match.group()}" for match in FORBIDDEN_TEXT[what].finditer(line)
            ]
    assert hits == []


def lock(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert [
        line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[A-Za-z0-9.!+]+", line)
    ] == []
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("name", ["dev", "docs", "omnisafe", "cuda"])
def test_lock_files_are_plain_pins_and_disjoint_from_base(name: str):
    base, extra = lock("base"), lock(name)
    assert len(extra) > 0
    assert base.keys() & extra.keys() == set()


def test_the_newest_pins_are_those_of_a_learner_without_a_simulator():
    newest, base = lock("newest"), lock("base")
    simulator = {"gymnasium", "mujoco", "safety-gymnasium", "pygame", "gymnasium-robotics"}
    assert newest.keys() & simulator == set()
    for name in ("jax", "jaxlib", "flax", "numpy"):
        parts = [[int(part) for part in pins[name].split(".")] for pins in (newest, base)]
        assert parts[0] > parts[1], f"requirements/newest.txt has no newer {name} than base.txt"


def test_locks_hold_what_the_inputs_ask_for():
    for name in ("base", "dev", "docs", "omnisafe"):
        wanted = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines()
        for line in filter(lambda text: text and not text.startswith("#"), wanted):
            package, _, version = line.partition("==")
            assert lock(name)[package].startswith(version), (
                f"requirements/{name}.txt is not made from {name}.in: {line}"
            )


def test_pyproject_asks_for_nothing_that_the_locks_lack():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    names = {re.split(r"[\[<>=!~ ]", line)[0] for line in asked}
    locked = {
        package for name in ("base", "dev", "docs", "omnisafe", "cuda") for package in lock(name)
    }
    assert names - locked - {project["name"]} == SERVICES
