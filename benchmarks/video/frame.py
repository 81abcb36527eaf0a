"""Composes a video frame of scene, cameras, dream, figures and running strips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from agents.api import EnvSpec
from benchmarks.training.traces import EpisodeTrace
from benchmarks.video import dream_panel, look, strip
from benchmarks.video.dream import NOT_YET, Dream
from benchmarks.video.footage import Shot
from benchmarks.video.look import FAINT, INK, LARGE, MEDIUM, SMALL

SCENE = 448  # side of the outside view, pixels
MARGIN, GAP, TOP = 16, 16, 46
HEIGHT = 704  # a multiple of 16, as video codecs require
FIGURES_TOP, STRIPS_LEFT, STRIP_HEIGHT = 536, 400, 54
NARROWEST = 880  # minimum width, for the title and the clock
BORDER = 8  # of the frame that marks a cost


class Subject(NamedTuple):
    """Data shared by all frames of a video. Without a dream, its panel is left out."""

    title: str
    env: EnvSpec
    trace: EpisodeTrace
    dream: Dream | None
    heading: float = 0.0  # of the robot in its own frame, see positions.py


def compose(subject: Subject, t: int, shot: Shot) -> Image.Image:
    """The frame of row t."""
    panel = dream_panel.panel_for(subject.env) if subject.dream is not None else None
    cameras = list(shot.cameras.items())[:2]
    panel_left = MARGIN + SCENE + GAP + (dream_panel.CAMERA + GAP if cameras else 0)
    width = panel_left + (dream_panel.WIDTH + MARGIN if panel is not None else 0)
    image = Image.new("RGB", (-(-max(width, NARROWEST) // 16) * 16, HEIGHT), look.BACKGROUND)

    trace = subject.trace
    look.text(image, (MARGIN, 12), subject.title, MEDIUM)
    clock = f"episode {trace.episode}, step {trace.env_steps[t]} of {trace.env_steps[-1]}"
    look.text(image, (image.width - MARGIN, 12), clock, MEDIUM, anchor="ra")
    look.text(image, (MARGIN, TOP + 22), "simulator", SMALL, FAINT, "ls")
    image.paste(
        _scene(shot.outside, float(trace.rows["cost"][t])), (MARGIN, TOP + dream_panel.TITLE)
    )
    for i, (name, picture) in enumerate(cameras):
        left = MARGIN + SCENE + GAP
        top = TOP + i * (dream_panel.CAMERA + 2 * dream_panel.TITLE - 20)
        look.text(
            image, (left, top + 22), dream_panel.CAMERA_NAMES.get(name, name), SMALL, FAINT, "ls"
        )
        image.paste(look.fitted(picture, dream_panel.CAMERA), (left, top + dream_panel.TITLE))
    if panel is not None and subject.dream is not None:
        image.paste(
            panel(subject.env, trace.rows, subject.dream, t, subject.heading), (panel_left, TOP)
        )
    _figures(image, subject, t)
    _strips(image, subject, t)
    return image


def predicted_costs(env: EnvSpec, dream: Dream) -> np.ndarray | None:
    """Predicted cost per agent step [T+1], nan before the first prediction.

    None if the model predicts no costs.

    Costs from positions count hazards, so they assume that every simulator step of the agent step
    is in them.
    """
    if dream.cost_source == "none":
        return None
    scale = 1.0 if dream.cost_source == "head" else env.action_repeat
    return np.where(dream.ahead == NOT_YET, np.nan, scale * dream.cost)


def _scene(picture: np.ndarray, cost: float) -> Image.Image:
    """The outside view, framed and labelled if a cost was incurred."""
    scene = look.fitted(picture, SCENE)
    if cost > 0:
        ImageDraw.Draw(scene).rectangle(
            (0, 0, SCENE - 1, SCENE - 1), outline=look.COST, width=BORDER
        )
        look.badge(scene, (0, 0), f"COST {cost:g}", look.COST, look.BACKGROUND)
    return scene


def _figures(image: Image.Image, subject: Subject, t: int) -> None:
    """Draw return and cost so far, the plan's estimates if the agent plans, and this step's reward
    and cost.
    """
    trace, dream = subject.trace, subject.dream
    cost = trace.costs[t]
    look.text(image, (MARGIN, FIGURES_TOP), f"return {trace.returns[t]:.2f}", LARGE)
    look.text(
        image, (MARGIN + 190, FIGURES_TOP), f"cost {cost:g}", LARGE, look.COST if cost > 0 else INK
    )
    lines = []
    if "plan/ret" in trace.info:
        if t < len(trace.info["plan/ret"]):
            ret, promised, safe = (
                float(trace.info[f"plan/{name}"][t]) for name in ("ret", "cost", "safe_fraction")
            )
            lines += [
                f"plan: return {ret:.2f}, cost {promised:.1f} per episode",
                f"{100 * safe:.0f} % of candidate plans are safe",
            ]
        else:
            lines += ["plan: none, the episode has ended", ""]
    reward = f"reward {trace.rows['reward'][t]:.3f}"
    now = f"cost {trace.rows['cost'][t]:g}"
    if dream is not None and dream.ahead[t] != NOT_YET:
        costs = predicted_costs(subject.env, dream)
        reward += f", predicted {dream.reward[t]:.3f}"
        now += "" if costs is None else f", predicted {costs[t]:.2f}"
    for i, line in enumerate([*lines, reward, now]):
        look.text(image, (MARGIN, FIGURES_TOP + 38 + 27 * i), line, MEDIUM)


def _strips(image: Image.Image, subject: Subject, t: int) -> None:
    rows, dream = subject.trace.rows, subject.dream
    rewards = costs = seen = None
    note, cost_note = " (root scale)", ""
    if dream is not None:
        seen = dream.ahead == 0
        rewards = np.where(dream.ahead == NOT_YET, np.nan, dream.reward)
        costs = predicted_costs(subject.env, dream)
        note = ": bars true, line predicted, ticks seen (root scale)"
        counted = dream.cost_source in ("geometry", "tracked")
        cost_note = (
            ""
            if costs is None
            else f": predicted as hazards x {subject.env.action_repeat}"
            if counted
            else ""
        )
    strips = (("reward", look.REWARD, rewards, note), ("cost", look.COST, costs, cost_note))
    for i, (name, color, predicted, words) in enumerate(strips):
        top = FIGURES_TOP + i * (STRIP_HEIGHT + 28)
        look.text(image, (STRIPS_LEFT, top), f"{name} per agent step{words}", SMALL, FAINT)
        width = image.width - MARGIN - STRIPS_LEFT
        picture = strip.draw(width, STRIP_HEIGHT, color, rows[name], predicted, t, seen)
        image.paste(picture, (STRIPS_LEFT, top + 20))
