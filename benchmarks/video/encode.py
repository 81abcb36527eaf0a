"""Writes frames to files: H.264 in an mp4, or a GIF without ffmpeg, and PNG for single frames.

A video gets its final name only when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
from PIL import Image

from benchmarks.video import look

Add = Callable[[Image.Image], None]
# constant rate factor of H.264; text stays sharp, ten seconds take about half a megabyte
QUALITY = "27"
# bits per second, reached only by noisy images (of untrained world models)
MOST_BITS = "900k"
GIF_SHRINK = 2  # GIFs are large: half the width and height


def ffmpeg() -> str | None:
    """The ffmpeg to use: from IMAGEIO_FFMPEG_EXE, the package imageio-ffmpeg, or the system; None
    if there is none.
    """
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return None


def video_path(folder: Path, name: str) -> Path:
    """Path of the video; its suffix depends on the available encoder."""
    return folder / f"{name}{'.gif' if ffmpeg() is None else '.mp4'}"


@contextlib.contextmanager
def video(path: Path, frames_per_second: float) -> Iterator[Add]:
    """Yield a function that adds a frame.

    All frames must have the same size, with sides that are multiples of 16.
    """
    temporary = path.with_name(f".{path.name}.tmp{path.suffix}")
    writer = _gif if path.suffix == ".gif" else _mp4
    try:
        with writer(temporary, frames_per_second) as add:
            yield add
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _mp4(path: Path, frames_per_second: float) -> Iterator[Add]:
    options = f"-crf {QUALITY} -maxrate {MOST_BITS} -bufsize {MOST_BITS} -preset medium"
    writer: Any = imageio.get_writer(
        path,
        format="FFMPEG",
        mode="I",
        fps=frames_per_second,
        codec="libx264",
        quality=None,
        ffmpeg_params=[*options.split(), "-movflags", "+faststart"],
    )

    def add(frame: Image.Image) -> None:
        with warnings.catch_warnings():
            # The first frame starts ffmpeg. JAX warns of every fork; this one is harmless, as it
            # only sets its process group and executes ffmpeg.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            writer.append_data(np.asarray(frame))

    with contextlib.closing(writer):
        yield add


@contextlib.contextmanager
def _gif(path: Path, frames_per_second: float) -> Iterator[Add]:
    frames: list[Image.Image] = []

    def add(frame: Image.Image) -> None:
        frames.append(_palette(frame.reduce(GIF_SHRINK)))

    yield add
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / frames_per_second),
        loop=0,
    )


def still(path: Path, frame: Image.Image) -> None:
    """Write a frame as a PNG of 256 colours."""
    _palette(frame).save(path, optimize=True)


def _palette(frame: Image.Image) -> Image.Image:
    """The frame in 256 colours: the meaningful ones exactly, others approximately."""
    meant = list(look.meaningful())
    fitting = (frame.quantize(256 - len(meant)).getpalette() or [])[: 3 * (256 - len(meant))]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*fitting, *(value for color in meant for value in color)])
    return frame.quantize(palette=palette, dither=Image.Dither.NONE)


def still_rows(costs: np.ndarray, count: int) -> list[int]:
    """At most `count` evenly spread rows of an episode with costs [T+1].

    If there are costs, half of the rows are moved to rows with a cost.
    """
    rows = np.unique(((np.arange(count) + 0.5) * len(costs) / max(1, count)).astype(int)).tolist()
    costly = np.flatnonzero(costs > 0)
    if not len(costly) or not rows:
        return rows
    evenly = np.linspace(0, len(costly) - 1, min(len(costly), -(-len(rows) // 2)))
    moved = costly[np.unique(evenly.round().astype(int))].tolist()
    for row in moved:
        rows.remove(min(rows, key=lambda other: abs(other - row)))
    return sorted({*rows, *moved})
