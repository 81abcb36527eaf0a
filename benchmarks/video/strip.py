"""Draws a quantity over an episode up to the current row.

True values are filled bars, predicted ones a line, on a square-root scale.

On a linear scale the reward for reaching a goal would make the other rewards invisible.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.video import look


def draw(
    width: int,
    height: int,
    color: look.Color,
    true: np.ndarray,
    predicted: np.ndarray | None,
    now: int,
    seen: np.ndarray | None,
) -> Image.Image:
    """Draw bars of `true` [T+1] for rows 0..now, and the line of `predicted` [T+1], which is nan
    where nothing is predicted.

    The scale covers the whole episode and 0. Ticks at the bottom mark rows that are `seen` (bool
    [T+1]).
    """
    image = Image.new("RGB", (width, height), look.PANEL)
    canvas = ImageDraw.Draw(image)
    true, predicted = _root(true), None if predicted is None else _root(predicted)
    everything = np.concatenate(
        [[0.0], true, [] if predicted is None else predicted[np.isfinite(predicted)]]
    )
    low = float(everything.min())
    high = max(float(everything.max()), low + 1e-6)
    step, tall = width / len(true), height - 8

    def y(value: float) -> float:
        return 3 + (tall - 4) * (high - value) / (high - low)

    canvas.line((0, y(0.0), width, y(0.0)), fill=look.LINE)
    for t in range(now + 1):
        if true[t] != 0:
            top, bottom = sorted((y(0.0), y(float(true[t]))))
            canvas.rectangle(
                (t * step, top, max(t * step + 1, (t + 1) * step - 1), bottom),
                fill=look.tint(color, look.BAR),
            )
    if predicted is not None:
        for t in range(1, now + 1):
            if np.isfinite(predicted[t - 1 : t + 1]).all() and (seen is None or not seen[t]):
                ends = [
                    ((t - 0.5) * step, y(float(predicted[t - 1]))),
                    ((t + 0.5) * step, y(float(predicted[t]))),
                ]
                canvas.line(ends, fill=look.DREAM, width=2)
    for t in np.flatnonzero(seen[: now + 1]) if seen is not None else ():
        canvas.line(((t + 0.5) * step, height - 4, (t + 0.5) * step, height), fill=look.INK)
    canvas.line(((now + 0.5) * step, 0, (now + 0.5) * step, height), fill=look.FAINT)
    return image


def _root(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.sqrt(np.abs(values))
