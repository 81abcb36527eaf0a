"""Videos of evaluated episodes, for `safedreamer evaluate --video`.

They show the scene, and for SafeDreamer agents the world model's predictions next to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # this module is imported for --help, which loads neither JAX nor a simulator
    from agents.api import Agent, EnvSpec, PyTree
    from agents.safedreamer.agent import SafeDreamer
    from benchmarks.training.traces import EpisodeTrace
    from benchmarks.video.dream import Dream
    from benchmarks.video.footage import Stage


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
    traces: list[EpisodeTrace],
    title: str,
    folder: Path,
) -> None:
    """Write video and stills of each trace; print their names, and why a part of the picture is
    missing, if one is.
    """
    from agents.safedreamer.agent import SafeDreamer
    from benchmarks.video.dream_panel import panel_for
    from benchmarks.video.encode import ffmpeg
    from benchmarks.video.film import Wanted, film
    from benchmarks.video.frame import Subject

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
    if filming.video and ffmpeg() is None:
        print(
            "video: no ffmpeg was found, so videos are GIFs; pip install imageio-ffmpeg, or "
            "set IMAGEIO_FFMPEG_EXE to one"
        )
    wanted = Wanted(filming.video, filming.stills, filming.frames_per_second)
    for trace in traces:
        subject = Subject(title, env, trace, _dream(filming, dreamer, state, trace), stage.heading)
        for path in film(stage, subject, wanted, folder):
            print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)", flush=True)


def _dream(
    filming: Filming, agent: SafeDreamer | None, state: PyTree, trace: EpisodeTrace
) -> Dream | None:
    """The episode as predicted by the world model.

    None if there is no world model, or, with a message, nothing to predict.
    """
    import jax

    from benchmarks.video.dream import dream

    if agent is None:
        return None
    try:
        return dream(
            agent, state, trace.rows, filming.context, filming.steps, jax.random.key(trace.episode)
        )
    except ValueError as error:
        print(f"video: episode {trace.episode} without its dream: {error}")
        return None
