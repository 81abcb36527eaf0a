"""Draws a map in the robot's frame of the observed objects and the world model's predictions.

The robot is in the middle and faces up; its left is left. Coordinates are as in
`benchmarks.envs.observations`; `heading` is the direction of the robot's front camera, in radians
to the left of its x axis (0 for Point, a quarter turn to the right for Car).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.video import look
from benchmarks.video.look import DETAIL

REACH = 3.0  # metres from the robot to the edge of the map
MARK_RADIUS = 0.2  # metres; for objects whose size the observation does not contain


def shown_kinds(layout: Mapping[str, slice]) -> tuple[str, ...]:
    """Parts of an observation that hold x, y positions of objects."""
    return tuple(name for name in look.KINDS if name in layout)


def on_map(positions: np.ndarray, size: int, heading: float = 0.0) -> np.ndarray:
    """Convert positions [..., 2] in metres to pixels [..., 2] (across, down) of a square map of
    `size` pixels.
    """
    x, y, cos, sin = positions[..., 0], positions[..., 1], np.cos(heading), np.sin(heading)
    ahead, left = cos * x + sin * y, cos * y - sin * x
    return size / 2 * (1 - np.stack([left, ahead], -1) / REACH)


def draw(
    size: int,
    hazard_size: float,
    true: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray] | None,
    heading: float = 0.0,
) -> Image.Image:
    """The map [size, size] of true objects (filled) and predicted ones (outlined), each {kind:
    [objects, 2]} in metres.

    A goal beyond the edge is drawn small on the edge.
    """
    large = size * DETAIL
    image = Image.new("RGB", (large, large), look.PANEL)
    canvas = ImageDraw.Draw(image)
    for metres in range(1, int(REACH) + 1):
        look.circle(canvas, large, metres / REACH)
    for objects, filled in ((true, True), (predicted or {}, False)):
        for name, positions in objects.items():
            metres = hazard_size if name == "hazards" and hazard_size else MARK_RADIUS
            for x, y in on_map(positions, large, heading):
                radius = metres * large / 2 / REACH
                if name == "goal" and max(abs(x - large / 2), abs(y - large / 2)) > large / 2:
                    radius /= 2
                    x, y = np.clip((x, y), radius, large - radius)
                look.mark(
                    canvas, look.KINDS[name], (float(x), float(y)), radius, filled, width=3 * DETAIL
                )
    look.robot(canvas, large, 0.14 * large / 2 / REACH, 1.4)
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    for metres in range(1, int(REACH) + 1):
        place = (size / 2 + 3, size / 2 + metres * size / 2 / REACH - 2)
        look.text(image, place, f"{metres} m", 12, look.FAINT, "ld")
    return image
