"""Fast resets: replaces texture files by uniform textures once they are no longer needed.

Safety-Gymnasium recompiles its MuJoCo model every episode, and decoding the six sky images (24 MB
of PNG) takes nearly all of that time: more than a second per reset, longer than simulating the
whole episode. Textures change neither physics nor layouts, and the renderer keeps those it was
created with. So after an environment's first reset, or from the start if nothing is rendered, every
texture file is replaced by a uniform texture of 4x4 pixels, in the same order. The list of assets
is parsed once instead of once per reset.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TextIO

import yaml


class AssetList:
    """Stands in for the `yaml` module inside `safety_gymnasium.world`, which uses it only to read
    the list of assets.
    """

    FullLoader = yaml.FullLoader

    def __init__(self) -> None:
        self._files: dict[str, Any] = {}
        self._texture_files = True

    def load(self, file: TextIO, Loader: Any) -> Any:
        """The parsed file, with texture files replaced by uniform textures inside
        `texture_files(False)`.
        """
        if file.name not in self._files:
            self._files[file.name] = yaml.load(file, Loader=Loader)
        assets = copy.deepcopy(self._files[file.name])
        if not self._texture_files:
            assets["textures"] = {
                name: uniform(texture) for name, texture in assets["textures"].items()
            }
        return assets

    @contextlib.contextmanager
    def texture_files(self, load: bool) -> Iterator[None]:
        """Whether models compiled in this context load the texture files."""
        before, self._texture_files = self._texture_files, load
        try:
            yield
        finally:
            self._texture_files = before


def uniform(texture: dict[str, str]) -> dict[str, str]:
    """The texture element with its files replaced by 4x4 pixels of a uniform colour.

    Unchanged if it has no files.
    """
    if not any(key.startswith("@file") for key in texture):
        return texture
    kept = {key: value for key, value in texture.items() if not key.startswith("@file")}
    return {**kept, "@builtin": "flat", "@width": "4", "@height": "4"}


def install(world: ModuleType) -> AssetList:
    """Make `safety_gymnasium.world` read its list of assets through an AssetList (once per
    process).
    """
    if not isinstance(world.yaml, AssetList):
        world.yaml = AssetList()  # pyright: ignore[reportAttributeAccessIssue]
    return world.yaml
