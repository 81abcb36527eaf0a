"""Panels of the world model's predictions beside the truth: images, a map of positions, or lidar
rings, depending on the observation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from agents.api import EnvSpec
from benchmarks.envs.observations import LIDAR
from benchmarks.video import lidar, look, positions
from benchmarks.video.dream import NOT_YET, Dream
from benchmarks.video.look import FAINT, SMALL

WIDTH, HEIGHT = 432, 474  # pixels
TITLE = 26  # pixels above an image
CAMERA = 208  # side of a camera's image
CAMERA_NAMES = {"image": "front camera", "image2": "back camera"}
MAP = 400  # side of map and rings

Rows: TypeAlias = Mapping[str, np.ndarray]
# last argument: the robot's heading, see positions.py
Panel: TypeAlias = Callable[[EnvSpec, Rows, Dream, int, float], Image.Image]


def panel_for(env: EnvSpec) -> Panel | None:
    """The panel for the observation; None if it has neither images, positions nor lidars."""
    if any(len(spec.shape) == 3 for spec in env.obs.values()):
        return images
    if positions.shown_kinds(env.layout):
        return position_map
    if lidar.shown_kinds(env.layout):
        return lidar_rings
    return None


def images(env: EnvSpec, rows: Rows, dream: Dream, t: int, heading: float) -> Image.Image:
    """Each predicted image, for display beside the true one, and the difference."""
    del heading
    panel = _blank(dream, t)
    for i, name in enumerate(key for key, spec in env.obs.items() if len(spec.shape) == 3):
        top, known = i * (CAMERA + 2 * TITLE - 20), dream.ahead[t] != NOT_YET
        if i > 0:
            title = f"{CAMERA_NAMES.get(name, name)}, predicted"
            look.text(panel, (0, top + TITLE - 4), title, SMALL, FAINT, "ls")
        look.text(panel, (WIDTH - CAMERA, top + TITLE - 4), "difference", SMALL, FAINT, "ls")
        true, said = rows[name][t], dream.obs[name][t]
        difference = np.abs(true.astype(np.int16) - said.astype(np.int16)).astype(np.uint8)
        for x, picture in ((0, said), (WIDTH - CAMERA, difference)):
            blank = Image.new("RGB", (CAMERA, CAMERA), look.PANEL)
            panel.paste(look.fitted(picture, CAMERA) if known else blank, (x, top + TITLE))
    return panel


def position_map(env: EnvSpec, rows: Rows, dream: Dream, t: int, heading: float) -> Image.Image:
    """A map of objects around the robot; predicted hazards are tracked if the agent tracks them."""
    kinds = positions.shown_kinds(env.layout)
    panel = _blank(dream, t)
    true, said = object_positions(env, rows, t), predicted_positions(env, dream, t)
    panel.paste(positions.draw(MAP, env.hazard_size, true, said, heading), (0, TITLE + 4))
    tracked = "hazards" in kinds and dream.hazards.shape[-1] > 0
    how = (
        "all decoded"
        if not tracked
        else "hazards tracked"
        if kinds == ("hazards",)
        else "hazards tracked, the rest decoded"
    )
    _legend(panel, kinds, f"filled: true, outline: predicted ({how})")
    return panel


def lidar_rings(env: EnvSpec, rows: Rows, dream: Dream, t: int, heading: float) -> Image.Image:
    """Rings of lidar readings."""
    kinds = lidar.shown_kinds(env.layout)
    (name,) = env.obs
    true, said = (
        {kind: array[t][env.layout[kind + LIDAR]] for kind in kinds}
        for array in (rows[name], dream.obs[name])
    )
    panel = _blank(dream, t)
    rings = lidar.draw(MAP, true, said if dream.ahead[t] != NOT_YET else None, heading)
    panel.paste(rings, (0, TITLE + 4))
    _legend(panel, kinds, "lidar, from the inside outwards; filled: true, outline: predicted")
    return panel


def object_positions(env: EnvSpec, rows: Rows, t: int) -> dict[str, np.ndarray]:
    """Observed objects at row `t`, {kind: [objects, 2]}, in metres in the robot's frame."""
    (name,) = env.obs
    return {
        kind: rows[name][t][env.layout[kind]].reshape(-1, 2)
        for kind in positions.shown_kinds(env.layout)
    }


def predicted_positions(env: EnvSpec, dream: Dream, t: int) -> dict[str, np.ndarray] | None:
    """Predicted objects at row `t`: tracked hazards if available, all else decoded.

    None before the first prediction.
    """
    if dream.ahead[t] == NOT_YET:
        return None
    said = object_positions(env, dream.obs, t)
    if "hazards" in said and dream.hazards.shape[-1] > 0:
        said["hazards"] = dream.hazards[t].reshape(-1, 2)
    return said


def _blank(dream: Dream, t: int) -> Image.Image:
    """An empty panel with a title that shows how far ahead the prediction is."""
    panel = Image.new("RGB", (WIDTH, HEIGHT), look.BACKGROUND)
    ahead = int(dream.ahead[t])
    if ahead == NOT_YET:
        look.text(panel, (0, TITLE - 4), "world model: no prediction yet", SMALL, FAINT, "ls")
    elif ahead == 0:
        look.badge(panel, (0, 0), "seen", look.LINE, look.INK)
    else:
        words = f"predicted {ahead} step{'s' * (ahead > 1)} ahead"
        look.badge(panel, (0, 0), words, look.DREAM, look.BACKGROUND)
    return panel


def _legend(panel: Image.Image, kinds: tuple[str, ...], words: str) -> None:
    canvas = ImageDraw.Draw(panel)
    x, y = 0.0, TITLE + MAP + 17
    for name in kinds:
        for filled in (True, False):
            look.mark(canvas, look.KINDS.get(name, look.OTHER), (x + 7, y), 7, filled)
            x += 17
        spoken = name.replace("_", " ")
        look.text(panel, (x + 2, y), spoken, SMALL, anchor="lm")
        x += 12 + canvas.textlength(spoken, font=look.font(SMALL)) + 8
    look.text(panel, (0, y + 13), words, SMALL, FAINT)
