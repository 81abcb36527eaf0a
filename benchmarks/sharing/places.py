"""Where shared runs lie: a folder, a URL that fsspec knows (`s3://...`), or a repository of Hugging
Face (`hf://OWNER/NAME`).
"""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path
from typing import Any, Protocol

from benchmarks.runs.spec import BadInput

HUB = "hf://"


class Place(Protocol):
    """Takes and gives whole folders."""

    def put(self, folder: Path) -> None:
        """Write the files of the folder there. Raises BadInput where something is already."""
        ...

    def get(self, folder: Path) -> None:
        """Copy everything there into the new folder. Raises BadInput where nothing is."""
        ...


def place(target: str) -> Place:
    """The place that a target names. Raises BadInput where a package for it is missing."""
    if target.startswith(HUB):
        return HuggingFace(target.removeprefix(HUB))
    return Url(target) if re.match(r"[a-z][a-z0-9+.-]*://", target) else Folder(Path(target))


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser()

    def put(self, folder: Path) -> None:
        if self._path.exists() and any(self._path.iterdir()):
            raise BadInput(f"{self._path} is not empty")
        shutil.copytree(folder, self._path, dirs_exist_ok=True)

    def get(self, folder: Path) -> None:
        if not self._path.is_dir():
            raise BadInput(f"no folder {self._path}")
        shutil.copytree(self._path, folder)


class Url:
    """A folder of a file system that fsspec knows."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, self._path = importlib.import_module("fsspec").core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BadInput(f"{url}: {error} (pip install fsspec and its package)") from error
        self._url = url

    def put(self, folder: Path) -> None:
        if self._fs.exists(self._path) and self._fs.find(self._path):
            raise BadInput(f"{self._url} is not empty")
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            self._fs.pipe_file(f"{self._path}/{name}", path.read_bytes())

    def get(self, folder: Path) -> None:
        root = self._fs._strip_protocol(self._path).rstrip("/")
        names = self._fs.find(root)
        if not names:
            raise BadInput(f"nothing at {self._url}")
        for name in names:
            copy = folder / name[len(root) :].lstrip("/")
            if not copy.resolve().is_relative_to(folder.resolve()):
                raise BadInput(f"{self._url}: {name} would be written outside of its folder")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(self._fs.cat_file(name))


class HuggingFace:
    """A model repository; made, private unless it exists, by the first push.

    The package's own variables (HF_TOKEN, HF_ENDPOINT) say who and where.
    """

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise BadInput(f"{HUB}{name}: write {HUB}OWNER/NAME")
        try:
            self._hub: Any = importlib.import_module("huggingface_hub")
        except ImportError as error:
            raise BadInput(f"{HUB} needs the package huggingface_hub: pip install it") from error
        self._name = name

    def put(self, folder: Path) -> None:
        api = self._hub.HfApi()
        api.create_repo(self._name, private=True, exist_ok=True)
        api.upload_folder(repo_id=self._name, folder_path=str(folder))

    def get(self, folder: Path) -> None:
        # files that the service adds, such as .gitattributes, are none of the run
        self._hub.snapshot_download(
            self._name, local_dir=str(folder), ignore_patterns=[".gitattributes"]
        )
        shutil.rmtree(folder / ".cache", ignore_errors=True)
