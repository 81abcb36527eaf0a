"""Load a user's own objects by name: `module:name`, from the import path or current folder."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from benchmarks.runs.plain_text import did_you_mean


def search_current_folder() -> None:
    """Add the current folder to the end of the search path, of this process and of those it starts.

    Installed commands do not search the current folder. It comes last, so that a checkout there
    does not shadow the code that a sweep runs.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def is_reference(text: str) -> bool:
    """Whether the text has the form `package.module:name`."""
    module, colon, name = text.partition(":")
    parts = (*module.split("."), *name.split("."))
    return bool(colon) and all(part.isidentifier() for part in parts)


def load_module(kind: str, name: str, module_name: str) -> ModuleType:
    """Import the module of `name`, which is a `kind` such as "task".

    Raises ValueError if there is none. Errors raised by the module itself propagate.
    """
    search_current_folder()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (
            module_name == error.name or module_name.startswith(f"{error.name}.")
        ):
            raise  # the module exists, but one that it imports does not
        raise ValueError(
            f"{kind} {name!r}: there is no module {module_name!r}; run from the folder that "
            "holds it, or add that to PYTHONPATH"
        ) from error


def load_object(kind: str, reference: str) -> Any:
    """Load the object `module:name`. Raises ValueError with similar names if there is none."""
    module_name, _, path = reference.partition(":")
    found: Any = load_module(kind, reference, module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, dir(found))
            raise ValueError(f"{kind} {reference!r}: {module_name} has no {path!r}{hint}")
        found = getattr(found, part)
    return found
