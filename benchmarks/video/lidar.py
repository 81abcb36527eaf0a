"""Draws lidar readings around the robot as polar bars, one ring per kind of object.

True readings are filled, predicted ones outlined.

Bin i of n covers the directions from i/n to (i+1)/n of a turn to the left of the robot's x axis, as
in Safety-Gymnasium. The robot faces up; `heading` is that direction in its own frame, as in
positions.py. A reading is 0 (nothing) to 1 (at the robot) and fills its ring from the inside.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.envs.observations import LIDAR
from benchmarks.video import look
from benchmarks.video.look import DETAIL

HOLE = 0.16  # share of the radius left free in the middle


def shown_kinds(layout: Mapping[str, slice]) -> tuple[str, ...]:
    """Kinds of objects for which an observation has a lidar."""
    return tuple(name.removesuffix(LIDAR) for name in layout if name.endswith(LIDAR))


def draw(
    size: int,
    true: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray] | None,
    heading: float = 0.0,
) -> Image.Image:
    """Rings [size, size] of the readings, each {kind: [bins]}, the first kind innermost."""
    large = size * DETAIL
    image = Image.new("RGB", (large, large), look.PANEL)
    canvas = ImageDraw.Draw(image)
    width = (0.97 - HOLE) / len(true)
    for ring, (name, readings) in enumerate(true.items()):
        inner = HOLE + ring * width
        kind = look.KINDS.get(name, look.OTHER)
        for filled, values in ((True, readings), (False, predicted[name] if predicted else ())):
            for i, value in enumerate(values):
                outer = inner + (0.92 * width) * float(np.clip(value, 0.0, 1.0))
                corners = _wedge(large, i, len(readings), inner, outer, heading)
                if filled:
                    canvas.polygon(corners, fill=look.tint(kind.color))
                elif value > 0.02:  # smaller values would be a line on the ring
                    canvas.line([*corners, corners[0]], fill=kind.color, width=2 * DETAIL)
        look.circle(canvas, large, inner)
    look.circle(canvas, large, 0.97)
    look.robot(canvas, large, 0.05 * large, 1.2)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _wedge(
    size: int, index: int, bins: int, inner: float, outer: float, heading: float
) -> list[tuple[float, float]]:
    """Corners in pixels of a bin's bar between two radii (shares of half the size)."""
    angles = 2 * np.pi * np.linspace(index + 0.08, index + 0.92, 5) / bins - heading
    ring = [
        (radius, angle)
        for radius, turn in ((inner, angles), (outer, angles[::-1]))
        for angle in turn
    ]
    return [
        (size / 2 * (1 - r * float(np.sin(a))), size / 2 * (1 - r * float(np.cos(a))))
        for r, a in ring
    ]
