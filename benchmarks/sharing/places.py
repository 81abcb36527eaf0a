"""Storage of shared runs: a folder, a URL supported by fsspec (`s3://...`), or a Hugging Face
repository (`hf://OWNER/NAME`).
"""

from __future__ import annotations

import contextlib
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.places import possible_path
from benchmarks.runs.plain_text import one_line
from benchmarks.sharing.contents import SUMS

HUGGING_FACE = "hf://"
OF_THE_SERVICE = ".gitattributes"  # added by Hugging Face; not part of the run


class Place(Protocol):
    """Stores a whole folder. All methods raise BadInput if it cannot be reached."""

    def put(self, folder: Path) -> None:
        """Write the files of the folder there.

        Raises BadInput if the place is not empty, or inside of another shared run.
        """
        ...

    def get(self, folder: Path) -> None:
        """Copy everything there into the new folder. Raises BadInput if there is nothing."""
        ...

    def read(self, name: str) -> bytes:
        """Read one file. Raises BadInput if it is missing."""
        ...


def place(target: str) -> Place:
    """The place for a target. Raises BadInput if a package for it is missing."""
    if target.startswith(HUGGING_FACE):
        return HuggingFace(target.removeprefix(HUGGING_FACE))
    target = target.removeprefix("file://")
    return Url(target) if is_url(target) else Folder(target)


def is_url(text: str) -> bool:
    """Whether the text starts with a URL scheme, as `s3://bucket` does."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


class Folder:
    """A folder on this machine."""

    def __init__(self, path: str) -> None:
        self._path = possible_path(path)

    def put(self, folder: Path) -> None:
        with _reached(str(self._path)):
            if self._path.exists() and any(self._path.iterdir()):
                raise _not_empty(str(self._path))
            check_outside(self._path, "target")
            shutil.copytree(folder, self._path, dirs_exist_ok=True)

    def get(self, folder: Path) -> None:
        if not self._path.is_dir():
            raise _nothing(str(self._path))
        with _reached(str(self._path)):
            shutil.copytree(self._path, folder)

    def read(self, name: str) -> bytes:
        if not (self._path / name).is_file():
            raise _nothing(str(self._path))
        with _reached(str(self._path)):
            return (self._path / name).read_bytes()


class Url:
    """A folder on a file system supported by fsspec."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, self._path = importlib.import_module("fsspec").core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BadInput(f"{url}: {error} (pip install fsspec and its package)") from error
        self._url = url

    def put(self, folder: Path) -> None:
        with _reached(self._url):
            if self._fs.exists(self._path) and self._fs.find(self._path):
                raise _not_empty(self._url)
            self._check_outside()
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                name = path.relative_to(folder).as_posix()
                self._fs.pipe_file(f"{self._path}/{name}", path.read_bytes())

    def get(self, folder: Path) -> None:
        with _reached(self._url):
            root = self._fs._strip_protocol(self._path).rstrip("/")
            names = self._fs.find(root)
            if not names:
                raise _nothing(self._url)
            for name in names:
                copy = folder / name[len(root) :].lstrip("/")
                if not copy.resolve().is_relative_to(folder.resolve()):
                    raise BadInput(f"{self._url}: {name} would be written outside of its folder")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(self._fs.cat_file(name))

    def read(self, name: str) -> bytes:
        file = f"{self._path.rstrip('/')}/{name}"
        with _reached(self._url):
            if not self._fs.exists(file):
                raise _nothing(self._url)
            return self._fs.cat_file(file)

    def _check_outside(self) -> None:
        for parent in PurePosixPath(self._path).parents:
            if not parent.name:  # above all buckets
                return
            try:
                shared = all(self._fs.exists(f"{parent}/{name}") for name in (SUMS, SPEC_FILE))
            except OSError:  # no access to the parent; there may be to the target
                continue
            if shared:
                raise _inside(self._url, str(parent), "target")


class HuggingFace:
    """A model repository; the first push creates it as private if it does not exist.

    Credentials and endpoint come from the package's own variables (HF_TOKEN, HF_ENDPOINT).
    """

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise BadInput(f"{HUGGING_FACE}{name}: write {HUGGING_FACE}OWNER/NAME")
        try:
            self._hub: Any = importlib.import_module("huggingface_hub")
        except ImportError as error:
            raise BadInput(
                f"{HUGGING_FACE} needs the package huggingface_hub: pip install huggingface_hub"
            ) from error
        self._name = name

    def put(self, folder: Path) -> None:
        with _reached(HUGGING_FACE + self._name):
            api = self._hub.HfApi()
            api.create_repo(self._name, private=True, exist_ok=True)
            if set(api.list_repo_files(self._name)) - {OF_THE_SERVICE}:
                raise _not_empty(HUGGING_FACE + self._name)
            api.upload_folder(repo_id=self._name, folder_path=str(folder))

    def get(self, folder: Path) -> None:
        with _reached(HUGGING_FACE + self._name):
            self._hub.snapshot_download(
                self._name, local_dir=str(folder), ignore_patterns=[OF_THE_SERVICE]
            )
        shutil.rmtree(folder / ".cache", ignore_errors=True)

    def read(self, name: str) -> bytes:
        with _reached(HUGGING_FACE + self._name):
            return Path(self._hub.hf_hub_download(self._name, name)).read_bytes()


def check_outside(folder: Path, option: str) -> None:
    """Raise BadInput if the folder is inside of a shared run, whose files it would be among."""
    for parent in folder.resolve().parents:
        if all((parent / name).is_file() for name in (SUMS, SPEC_FILE)):
            raise _inside(str(folder), str(parent), option)


def _inside(path: str, run: str, option: str) -> BadInput:
    return BadInput(
        f"{path} is inside of {run}, a shared run, and would become part of it: choose another "
        f"{option}"
    )


def _not_empty(target: str) -> BadInput:
    return BadInput(f"{target} is not empty: push to another name, or empty it first")


def _nothing(target: str) -> BadInput:
    return BadInput(f"no shared run at {target}: `safedreamer push RUN {target}` puts one there")


@contextlib.contextmanager
def _reached(target: str) -> Iterator[None]:
    """Turn all errors of a place into BadInput; each package raises its own types."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        why = one_line(str(error), 200)
        raise BadInput(
            f"{target} cannot be used ({type(error).__name__}: {why}): check its name, the "
            "network, and your credentials there"
        ) from error
