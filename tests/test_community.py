"""Files besides the code: citation, container recipes and issue templates."""

from __future__ import annotations

import re
import subprocess
import tomllib

import yaml

from tests.tree import ROOT


def test_the_citation_has_the_version_and_license_of_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["cff-version"] == "1.2.0" and cited["message"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert "arXiv:2307.07176" in str(cited["references"])


def test_container_recipes_install_lock_files_that_exist():
    for name in ("Dockerfile", "suite.def"):
        text = (ROOT / "docs" / "containers" / name).read_text(encoding="utf-8")
        locks = set(re.findall(r"requirements/\w+\.txt", text))
        assert {"requirements/base.txt", "requirements/cuda.txt"} <= locks
        assert all((ROOT / lock).is_file() for lock in locks)
        assert re.search(r"^(?:FROM|From:) python:3\.11", text, re.MULTILINE)


def test_an_image_lacks_no_tracked_file_so_that_its_checkout_is_clean():
    # Docker's patterns are anchored at the root; git's only with a leading slash.
    ignored = [f"--exclude=/{line}" for line in (ROOT / ".dockerignore").read_text().split()]
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--ignored", *ignored]
    lost = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split()
    assert ignored and not lost


def test_issue_templates_have_a_head_that_parses():
    files = list((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))
    assert files != []
    for file in files:
        head = yaml.safe_load(file.read_text(encoding="utf-8").split("---")[1])
        assert {"name", "about", "labels"} <= head.keys(), file
