"""Writes a video and stills of each evaluated episode into one folder.

They show the scene, and for SafeDreamer agents the world model's predictions next to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from agents.api import Agent, EnvSpec, PyTree
from agents.safedreamer.agent import SafeDreamer
from benchmarks.training.progress import track
from benchmarks.training.traces import EpisodeTrace
from benchmarks.video import encode
from benchmarks.video.dream import Dream, dream
from benchmarks.video.dream_panel import panel_for
from benchmarks.video.footage import Stage
from benchmarks.video.frame import Subject, compose


class Filming(NamedTuple):
    """What to film, and how far the world model's predictions reach (in agent steps)."""

    video: bool
    stills: int
    episodes: int
    frames_per_second: float
    context: int
    steps: int


def film_episodes(
    filming: Filming,
    stage: Stage,
    agent: Agent,
    state: PyTree,
    env: EnvSpec,
    traces: Sequence[EpisodeTrace],
    title: str,
    folder: Path,
) -> None:
    """Write video and stills of each trace; print their names, and why a part of the picture is
    missing, if one is.
    """
    dreamer = agent if isinstance(agent, SafeDreamer) else None
    if dreamer is None:
        print(
            "video: this method has no world model of the SafeDreamer family, so there is no "
            "dream beside the episode"
        )
    elif panel_for(env) is None:
        print(
            "video: the observation names no images, positions or lidars to draw; the dream is "
            "shown as reward and cost only"
        )
    if filming.video and encode.ffmpeg() is None:
        print(
            "video: no ffmpeg was found, so videos are GIFs; pip install imageio-ffmpeg, or "
            "set IMAGEIO_FFMPEG_EXE to one"
        )
    for trace in traces:
        predicted = _dream(filming, dreamer, state, trace) if dreamer else None
        subject = Subject(title, env, trace, predicted, stage.heading)
        for path in film(stage, subject, filming, folder):
            print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)", flush=True)


def _dream(
    filming: Filming, agent: SafeDreamer, state: PyTree, trace: EpisodeTrace
) -> Dream | None:
    """The episode as predicted by the world model; None, with a message, if nothing can be."""
    key = jax.random.key(trace.episode)
    try:
        return dream(agent, state, trace.rows, filming.context, filming.steps, key)
    except ValueError as error:
        print(f"video: episode {trace.episode} without its dream: {error}")
        return None


def film(stage: Stage, subject: Subject, filming: Filming, folder: Path) -> Iterator[Path]:
    """Write an episode's video and stills into `folder`, which is created.

    Yields each file when it is complete.

    Earlier files of the same episode and kind, video or stills, are removed once all new ones are
    written. Raises BadInput like `Stage.shots`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"episode-{subject.trace.episode}"
    earlier = {*folder.glob(f"{name}.mp4"), *folder.glob(f"{name}.gif")} if filming.video else set()
    earlier |= set(folder.glob(f"{name}-step-*.png")) if filming.stills else set()
    costs = subject.trace.rows["cost"]
    stills = encode.still_rows(costs, filming.stills)
    with contextlib.ExitStack() as files:
        path, add = encode.video_path(folder, name), None
        if filming.video:
            add = files.enter_context(encode.video(path, filming.frames_per_second))
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
                earlier.discard(still)
                yield still
    for old in earlier - {path}:
        old.unlink(missing_ok=True)
    if filming.video:
        yield path
