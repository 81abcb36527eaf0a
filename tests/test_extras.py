"""The extras of pyproject.toml can be installed: their version requirements do not conflict.

Requirements of pinned packages are included, as far as those are installed here.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LOCKS = ("base", "dev", "docs", "omnisafe", "cuda")


def lines_of(extra: str) -> list[str]:
    """Requirements of an extra, with the extras that it includes expanded."""
    found = []
    for line in EXTRAS[extra]:
        within = re.fullmatch(rf"{PROJECT['name']}\[(\w+)\]", line)
        found += lines_of(within[1]) if within else [line]
    return found


def pin(specifier: SpecifierSet) -> str:
    """The pinned version, "" if there is none."""
    pins = [part.version for part in specifier if part.operator == "=="]
    return pins[0] if pins and "*" not in pins[0] else ""


def asked_for(lines: Iterable[str]) -> dict[str, SpecifierSet]:
    """Package -> combined specifier of all requirements, including those of pinned packages."""
    found: dict[str, SpecifierSet] = {}
    waiting = list(lines)
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        found[name] = found.get(name, SpecifierSet()) & requirement.specifier
        if version := pin(requirement.specifier):
            waiting += needs_of(name, version)
    return found


@functools.cache
def needs_of(name: str, version: str) -> tuple[str, ...]:
    """Requirements of a package version; empty unless exactly that version is installed."""
    try:
        installed = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(installed.requires or ()) if installed.version.split("+")[0] == version else ()


def possible(specifier: SpecifierSet) -> bool:
    """Whether any version fits: a named one, the next one after it, or 0."""
    named = [part.version.removesuffix(".*") for part in specifier]
    return any(specifier.contains(v) for n in named or ["0"] for v in (n, f"{n}.1", "0"))


def contradictions(lines: Iterable[str]) -> list[str]:
    """Packages without a version that fits all requirements."""
    return [f"{n} {s}" for n, s in sorted(asked_for(lines).items()) if not possible(s)]


def test_contradictions_are_found():
    assert contradictions(["a>=2.2,<3", "b!=5.28.0,<8,>=5", "c>1", "d<2", "e"]) == []
    assert contradictions(["a>=2", "a<1.24,>=1.21"]) == ["a <1.24,>=1.21,>=2"]
    # The simulator's pins, through Gymnasium-Robotics, exclude the NumPy of JAX.
    assert contradictions(["safety-gymnasium==1.0.0", "numpy>=2"])[0].startswith("numpy ")


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_goes_with_what_the_suite_needs(extra: str):
    assert contradictions([*PROJECT["dependencies"], *lines_of(extra)]) == []


def test_all_extras_go_together():
    every = [line for extra in EXTRAS for line in lines_of(extra)]
    assert contradictions([*PROJECT["dependencies"], *every]) == []


def test_extras_allow_the_versions_that_are_tested():
    """The tested versions are those of the lock files."""
    locked = {
        canonicalize_name(name): version
        for lock in LOCKS
        for line in (ROOT / "requirements" / f"{lock}.txt").read_text().split()
        for name, version in [line.split("==")]
    }
    wrong, seen = [], 0
    for line in {line for extra in EXTRAS for line in lines_of(extra)}:
        requirement = Requirement(line)
        version = locked.get(canonicalize_name(requirement.name))
        seen += version is not None
        if version is not None and not requirement.specifier.contains(version):
            wrong.append(f"{line}: {version}")
    assert wrong == []
    assert seen > 30
