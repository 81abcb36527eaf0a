"""The shape of the tree: where imports point, what analysis loads, what no tracked file names, what
a lock file holds.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# package -> packages it may import; everything else of ours is against the arrows
ARROWS = {
    "agents": set(),
    "baselines": {"agents"},
    "benchmarks": {"agents", "baselines"},
    "slurm": {"benchmarks"},
    "analysis": {"benchmarks"},
}
AGENT_LIBRARIES = {"jax", "flax", "optax", "chex", "numpy"}
ANALYSIS_MAY_IMPORT = tuple(
    f"benchmarks.{name}"
    for name in ("records", "reading", "plain_text", "places", "ranges", "stdout")
)
HEAVY = ("jax", "flax", "torch", "mujoco", "gymnasium", "safety_gymnasium", "omnisafe")
# Only these join an agent's implementation with environments; everywhere else one side comes in as
# a factory or a value.
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
def tracked() -> tuple[Path, ...]:
    """Files of the commit or about to be part of it, relative to the root."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(Path(name) for name in sorted(set(names)) if (ROOT / name).is_file())


@functools.cache
def imports(file: Path) -> tuple[tuple[int, str], ...]:
    """(line, absolute module name) of every import of a file, those within functions included."""
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


def test_analysis_loads_neither_jax_nor_torch():
    modules = [module_name(file) for file in sources("analysis") if file.stem != "__main__"]
    code = (
        f"import sys, importlib; [importlib.import_module(m) for m in {modules}]; "
        f"print(*set({HEAVY}) & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_processes_of_omnisafe_load_no_jax():
    """What benchmarks.omnisafe imports, and all that its modules import before they do anything.

    None needs a simulator for that.
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
    assert {
        "benchmarks.methods.omnisafe_presets",
        "benchmarks.omnisafe.process",
        "benchmarks.omnisafe.envs",
    } <= set(light)
    assert "benchmarks.omnisafe.loop" not in light
    code = (
        f"import sys, importlib; [importlib.import_module(m) for m in {light}]; "
        f"print(*set({('jax', 'torch')}) & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
    jax = [name for name in own for module in all_imports(name) if within(module, "jax")]
    assert jax == []


def all_imports(name: str) -> set[str]:
    """Modules that a module of ours imports at its top, and so on through ours."""
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
    """Modules that are imported when the file is.

    Neither within functions nor for type checkers only.
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
    assert folders == {"omnisafe", "safe_slac", "lambda_"}


def test_few_modules_join_agents_and_environments():
    implementations = {
        f"agents.{file.parts[1]}" for file in sources("agents") if len(file.parts) > 2
    } - {"agents.nn"}
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
    assert listed == {name for package in ARROWS for name in (package, f"{package}.*")}
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


@pytest.mark.parametrize("name", ["dev", "omnisafe", "cuda"])
def test_lock_files_are_plain_pins_and_disjoint_from_base(name: str):
    base, extra = lock("base"), lock(name)
    assert len(extra) > 0
    assert base.keys() & extra.keys() == set()


def test_locks_hold_what_the_inputs_ask_for():
    for name in ("base", "dev", "omnisafe"):
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
    locked = {package for name in ("base", "dev", "omnisafe", "cuda") for package in lock(name)}
    assert names - locked == set()
