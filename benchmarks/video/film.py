"""Writes a video and stills of each recorded episode into one folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.training.progress import track
from benchmarks.video import encode
from benchmarks.video.footage import Stage
from benchmarks.video.frame import Subject, compose


class Wanted(NamedTuple):
    """Settings of what to write for each episode."""

    video: bool
    stills: int
    frames_per_second: float


def film(stage: Stage, subject: Subject, wanted: Wanted, folder: Path) -> Iterator[Path]:
    """Write an episode's video and stills into `folder`, which is created.

    Yields each file when it is complete.

    Earlier files of the same episode are removed. Raises BadInput like `Stage.shots`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"episode-{subject.trace.episode}"
    for old in (*folder.glob(f"{name}.*"), *folder.glob(f"{name}-step-*.png")):
        old.unlink()
    costs = subject.trace.rows["cost"]
    stills = encode.still_rows(costs, wanted.stills)
    with contextlib.ExitStack() as files:
        path, add = encode.video_path(folder, name), None
        if wanted.video:
            add = files.enter_context(encode.video(path, wanted.frames_per_second))
        for t, shot in track(
            enumerate(stage.shots(subject.trace)),
            f"filming episode {subject.trace.episode}",
            len(costs),
        ):
            if add is None and t not in stills:
                continue
            frame = compose(subject, t, shot)
            if add is not None:
                add(frame)
            if t in stills:
                still = folder / f"{name}-step-{subject.trace.env_steps[t]:04d}.png"
                encode.still(still, frame)
                yield still
    if wanted.video:
        yield path
