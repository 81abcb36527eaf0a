"""Videos show the evaluated episodes, mark costs where they occur, and draw predictions where the
model made them.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import imageio.v2 as imageio
import imageio_ffmpeg
import jax
import numpy as np
import pytest
from PIL import Image

from agents.api import ArraySpec, EnvSpec
from agents.safedreamer.agent import SafeDreamer
from benchmarks.envs import cameras, env_spec, episode_seed, make_env
from benchmarks.runs.errors import BadInput
from benchmarks.training.evaluation import run_episodes
from benchmarks.training.keys import evaluation_key
from benchmarks.training.traces import EpisodeTrace, Recorder
from benchmarks.video import dream_panel, encode, lidar, look, positions, strip
from benchmarks.video.dream import NOT_YET, Dream, dream
from benchmarks.video.film import Filming, film_episodes
from benchmarks.video.footage import Shot, Stage
from benchmarks.video.frame import SCENE, Subject, compose, predicted_costs
from tests.agent_inputs import HAZARDS, VECTOR, VISION, observations, tiny
from tests.fakes.toys import ToyAgent, no_fault, toy_env, toy_spec
from tests.specs import spec_of
from tests.tree import ROOT
from tests.untrained import untrained_run

CONTEXT, STEPS = 4, 3


def evaluated(
    episodes: int, recorded: int, factory: Any = toy_env
) -> tuple[list, list[EpisodeTrace]]:
    """Episodes of the toy agent, and the traces of the first of them."""
    with_env = factory()
    agent = ToyAgent(env_spec(with_env))
    recorder = Recorder(recorded)
    arguments: dict[str, Any] = {"run_seed": 0, "episodes": episodes, "key": evaluation_key(0, 0)}
    arguments |= {"on_fault": no_fault, "workers": "inline"}
    done = run_episodes(agent, agent.init(0), factory, **arguments, on_step=recorder.add)
    assert done == run_episodes(agent, agent.init(0), factory, **arguments)
    return done, recorder.traces()


def a_trace(
    costs: list[float],
    obs: dict[str, np.ndarray] | None = None,
    info: dict[str, np.ndarray] | None = None,
) -> EpisodeTrace:
    length = len(costs)
    rows = {
        "action": np.zeros((length, 2), np.float32),
        "reward": np.full(length, 0.5, np.float32),
        "cost": np.array(costs, np.float32),
        "is_first": np.arange(length) == 0,
        "is_last": np.arange(length) == length - 1,
        "env_steps": np.array([0] + [4] * (length - 1)),
    }
    return EpisodeTrace(0, rows | (obs or {}), info or {})


def a_dream(length: int, **changes: Any) -> Dream:
    zeros = np.zeros(length, np.float32)
    ahead = np.array([NOT_YET, *range(length - 1)])
    return Dream(ahead, {}, zeros, zeros, np.zeros((length, 0)), "head")._replace(**changes)


GREY = Shot(np.full((100, 100, 3), 128, np.uint8), {})


# ------------------------------------------------------------- what is filmed


@pytest.mark.parametrize("recorded", [1, 4, 19])
def test_traces_are_the_evaluated_episodes(recorded):
    done, traces = evaluated(19, recorded)  # more than run in parallel
    assert [trace.episode for trace in traces] == list(range(recorded))
    for episode, trace in zip(done, traces):
        assert (trace.returns[-1], trace.costs[-1]) == pytest.approx(
            (episode.return_, episode.cost)
        )
        assert trace.env_steps[-1] == episode.length == 20
        assert trace.rows["is_first"].tolist() == [True] + [False] * 10 and trace.rows[
            "is_last"
        ].tolist() == [False] * 10 + [True]
        assert trace.info["age"].tolist() == list(range(10)) and not trace.rows["action"][-1].any()
        # reward of an agent step: a quarter of the action, over two simulator steps
        np.testing.assert_allclose(
            trace.rows["reward"][1:], 0.5 * trace.rows["action"][:-1, 0], rtol=1e-5
        )


def painted(name: str = "painted_shore") -> Any:
    return partial(make_env, f"tests.fakes.toys:{name}", "default", 2)


def test_a_stage_shows_every_row_of_the_recorded_episode():
    trace = evaluated(2, 2, painted())[1][1]
    with Stage(
        dataclasses.replace(toy_spec(), task="tests.fakes.toys:painted_shore"), SCENE
    ) as stage:
        shots = list(stage.shots(trace))
        assert [int(shot.outside[0, 0, 0]) for shot in shots] == [
            20 * t for t in range(11)
        ] and shots[0].cameras == {}
        reward = trace.rows["reward"].copy()
        reward[4] += 0.01
        with pytest.raises(BadInput, match=r"episode 1 does not repeat itself \(step 4"):
            list(stage.shots(trace._replace(rows=trace.rows | {"reward": reward})))


def test_an_environment_without_pictures_or_without_repetition_is_refused_with_the_remedy():
    with pytest.raises(BadInput, match='let the factory take render_mode="rgb_array", or set it'):
        Stage(toy_spec(), SCENE)
    spec = dataclasses.replace(toy_spec(), task="tests.fakes.toys:drifting_shore")
    env = painted("painted_shore")
    trace = evaluated(1, 1, env)[1][0]
    with (
        Stage(spec, SCENE) as stage,
        pytest.raises(BadInput, match=r"draw every random number from self\.np_random"),
    ):
        list(stage.shots(trace))


# ------------------------------------------------------------- dreams


@pytest.fixture(scope="module")
def agent() -> SafeDreamer:
    return SafeDreamer(tiny("osrp"), VECTOR)


def episode_rows(length: int) -> dict[str, np.ndarray]:
    rows = a_trace(
        [0.0] * length,
        {name: value[0] for name, value in observations(VECTOR, (1, length)).items()},
    ).rows
    return rows | {
        "action": np.random.default_rng(0).uniform(-1, 1, (length, 2)).astype(np.float32)
    }


@pytest.mark.slow
def test_dreams_tile_the_episode_and_know_only_rows_before_them(agent):
    rows, state = episode_rows(14), agent.init(0)
    see = partial(dream, agent, state, context=CONTEXT, steps=STEPS, key=jax.random.key(0))
    said = see(rows)
    assert said.ahead.tolist() == [-1, -1, -1, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    assert {
        len(values) for values in (said.reward, said.cost, said.hazards, *said.obs.values())
    } == {14}
    # a changed observation and the first row that it affects
    for at, first in ((5, 7), (7, 7), (8, 11), (12, None), (3, 3)):
        observation = rows["observation"].copy()
        observation[at] = -observation[at]
        moved = (
            np.abs(
                see(rows | {"observation": observation}).obs["observation"]
                - said.obs["observation"]
            ).max(1)
            > 1e-5
        )
        assert (np.flatnonzero(moved)[0] if moved.any() else None) == first, at


def test_nothing_is_dreamt_of_an_episode_within_the_context(agent):
    with pytest.raises(ValueError, match="give a smaller --dream-context"):
        dream(agent, agent.init(0), episode_rows(4), context=4, steps=2, key=jax.random.key(0))


@pytest.mark.slow
def test_dreamt_images_are_pixels():
    rows = a_trace(
        [0.0] * 5, {name: value[0] for name, value in observations(VISION, (1, 5)).items()}
    ).rows
    seeing = SafeDreamer(tiny("osrp", "vision"), VISION)
    said = dream(seeing, seeing.init(0), rows, context=2, steps=4, key=jax.random.key(0))
    assert {(value.shape, value.dtype) for value in said.obs.values()} == {
        ((5, 64, 64, 3), np.dtype(np.uint8))
    }
    assert list(said.obs) == ["image", "image2"]
    assert said.obs["image"][0].max() == 0 and said.obs["image"][1:].std() > 1


def test_predicted_hazards_are_the_tracked_ones_where_there_are_such():
    decoded, tracked = (
        np.arange(27, dtype=np.float32).reshape(3, 9),
        np.arange(12, dtype=np.float32).reshape(3, 4) + 100,
    )
    said = a_dream(3, obs={"observation": decoded}, hazards=tracked)
    assert dream_panel.predicted_positions(VECTOR, said, 0) is None
    assert np.array_equal(
        dream_panel.predicted_positions(VECTOR, said, 2)["hazards"], [[108, 109], [110, 111]]
    )
    untracked = said._replace(hazards=np.zeros((3, 0)))
    assert np.array_equal(
        dream_panel.predicted_positions(VECTOR, untracked, 2)["hazards"].ravel(),
        decoded[2, HAZARDS],
    )


@pytest.mark.parametrize(
    ("source", "factor"), [("head", 1), ("geometry", 4), ("tracked", 4), ("none", None)]
)
def test_predicted_costs_are_per_agent_step(source, factor):
    costs = predicted_costs(VECTOR, a_dream(3, cost=np.array([0.0, 0.5, 1.0]), cost_source=source))
    assert (
        costs is None
        if factor is None
        else np.array_equal(costs, [np.nan, 0.5 * factor, factor], equal_nan=True)
    )


# ------------------------------------------------------------- drawing


def pixels(image: Image.Image, color: look.Color, tolerance: int = 12) -> np.ndarray:
    """Where the colour is, [n, 2] as (across, down)."""
    near = (np.abs(np.asarray(image, np.int16) - np.array(color)) <= tolerance).all(-1)
    return np.argwhere(near)[:, ::-1]


@pytest.mark.parametrize("place", [(1.0, 0.0), (-2.0, 0.5), (0.3, -1.7)])
def test_objects_are_drawn_where_they_are_and_where_they_are_predicted(place):
    blue, size = look.KINDS["hazards"].color, 300
    here, there = np.array([place]), np.array([[0.0, 2.2]])
    picture = positions.draw(size, 0.4, {"hazards": there}, {"hazards": here})
    x, y = place
    outline = pixels(picture, blue)
    # ahead is up, left is left
    np.testing.assert_allclose(outline.mean(0), [150 - 50 * y, 150 - 50 * x], atol=1.0)
    # a ring of 0.4 m
    np.testing.assert_allclose(np.linalg.norm(outline - outline.mean(0), axis=1), 20, atol=4)
    filled = pixels(picture, look.tint(blue))
    np.testing.assert_allclose(filled.mean(0), [40, 150], atol=1.0)
    assert len(filled) == pytest.approx(np.pi * 20**2, rel=0.1)
    assert not len(pixels(positions.draw(size, 0.4, {"hazards": there}, None), blue))


def test_the_map_is_turned_so_that_the_robot_looks_up():
    behind = np.array([[0.0, 1.5]])  # of a robot that looks to the right of its x axis
    picture = positions.draw(300, 0.4, {"hazards": behind}, None, heading=-np.pi / 2)
    np.testing.assert_allclose(
        pixels(picture, look.tint(look.KINDS["hazards"].color)).mean(0), [150, 225], atol=1.0
    )
    true = np.zeros(16)
    true[4] = 1.0  # the same direction
    bar = pixels(
        lidar.draw(300, {"hazards": true}, None, -np.pi / 2), look.tint(look.KINDS["hazards"].color)
    )
    across, down = bar.mean(0)
    assert down > 200 and 150 < across < 190


@pytest.mark.parametrize(
    ("robot", "heading"), [("Point", 0.0), ("Car", -np.pi / 2), ("Racecar", 0.0)]
)
def test_headings_of_the_front_cameras(robot, heading):
    front, back = cameras.FRONT_AND_BACK[robot]
    assert front.heading == pytest.approx(heading, abs=0.01)
    assert np.cos(back.heading - front.heading) == pytest.approx(-1, abs=0.01)


def test_a_goal_beyond_the_map_is_on_its_edge():
    picture = positions.draw(300, 0.2, {"goal": np.array([[9.0, 0.0]])}, None)
    across, down = pixels(picture, look.tint(look.KINDS["goal"].color)).mean(0)
    assert across == pytest.approx(150, abs=1) and down < 10


def test_lidar_bars_point_to_their_bins():
    true, said = np.zeros(16), np.zeros(16)
    true[4], said[8] = 1.0, 0.5  # to the left, and behind
    picture = lidar.draw(300, {"hazards": true}, {"hazards": said})
    color = look.KINDS["hazards"].color
    across, down = pixels(picture, look.tint(color)).mean(0)
    assert across < 100 and 150 < down < 190  # bin 4 is just beyond the left
    across, down = pixels(picture, color).mean(0)
    assert down > 180 and 150 < across < 190
    assert not len(pixels(lidar.draw(300, {"hazards": true}, None), color))


@pytest.mark.parametrize("now", [0, 3, 7])
def test_a_strip_tells_nothing_of_later_steps(now):
    true = np.array([0.0, 1.0] * 4)
    bars = pixels(
        strip.draw(160, 60, look.COST, true, None, now, None), look.tint(look.COST, look.BAR)
    )
    columns = np.unique(bars[:, 0] // 20) if len(bars) else []
    assert list(columns) == [t for t in range(now + 1) if true[t]]


@pytest.mark.parametrize("dreaming", [True, False])
def test_costs_are_marked_on_exactly_their_frames(dreaming):
    costs = [0.0, 2.0, 0.0, 1.0]
    obs = {name: value[0] for name, value in observations(VECTOR, (1, 4)).items()}
    said = a_dream(4, obs=obs) if dreaming else None
    subject = Subject("a run", VECTOR, a_trace(costs, obs), said)
    frames = [compose(subject, t, GREY).crop((16, 72, 16 + SCENE, 72 + SCENE)) for t in range(4)]
    marked = [len(pixels(frame, look.COST)) > 4 * SCENE * 5 for frame in frames]
    assert marked == [cost > 0 for cost in costs]
    assert all(not len(pixels(frame, look.COST)) for frame, cost in zip(frames, costs) if cost == 0)


def test_a_frame_shows_plans_only_of_planners():
    quiet = a_trace([0.0, 0.0], info={"age": np.zeros(1)})
    planning = a_trace(
        [0.0, 0.0],
        info={f"plan/{name}": np.full(1, 0.5) for name in ("ret", "cost", "safe_fraction")},
    )
    area = (0, 560, 390, 704)
    frames = [
        compose(Subject("", VECTOR, trace, None), 0, GREY).crop(area) for trace in (quiet, planning)
    ]
    assert 0 < (np.asarray(frames[0]) < 128).sum() < 0.6 * (np.asarray(frames[1]) < 128).sum()


@pytest.mark.parametrize(
    ("env", "panel"),
    [
        (VECTOR, dream_panel.position_map),
        (VISION, dream_panel.images),
        (dataclasses.replace(VECTOR, layout={"goal_lidar": slice(0, 3)}), dream_panel.lidar_rings),
        (EnvSpec({"observation": ArraySpec((9,), "float32")}, 2, 4, 1000), None),
    ],
    ids=["coordinates", "vision", "lidar", "unnamed"],
)
def test_every_observation_has_its_panel(env, panel):
    assert dream_panel.panel_for(env) is panel
    obs = {name: value[0] for name, value in observations(env, (1, 3)).items()}
    frames = [
        compose(Subject("a run", env, a_trace([0.0] * 3, obs), a_dream(3, obs=obs)), t, GREY)
        for t in range(3)
    ]
    assert len({frame.size for frame in frames}) == 1 and all(
        side % 16 == 0 for side in frames[0].size
    )
    # before the dream, and in it
    drawn = [np.asarray(frame.crop((480, 100, frame.width, 520))) for frame in frames]
    assert np.array_equal(drawn[0], drawn[2]) == (panel is None)


# ------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("costs", "count", "rows"),
    [
        ([0] * 8, 0, []),
        ([0] * 8, 2, [2, 6]),
        ([0] * 8, 20, list(range(8))),
        ([0, 0, 0, 0, 0, 1, 0, 0], 2, [2, 5]),
        ([1, 0, 0, 0, 0, 0, 0, 1], 4, [0, 3, 5, 7]),
        ([1] * 8, 1, [0]),
        ([1, 1, 0, 0, 0, 0, 0, 0], 4, [0, 1, 5, 7]),
    ],
)
def test_stills_are_spread_and_show_costs(costs, count, rows):
    assert encode.still_rows(np.array(costs), count) == rows


def shades(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (64, 48), (40 * i, 200 - 40 * i, 100)) for i in range(count)]


def test_an_mp4_holds_the_frames(tmp_path):
    path = encode.video_path(tmp_path, "film")
    assert path.name == "film.mp4"
    with encode.video(path, 20) as add:
        for frame in shades(5):
            add(frame)
        assert not path.exists()
    read: Any = imageio.get_reader(path)
    assert read.get_meta_data()["fps"] == 20
    middles = [frame[24, 32] for frame in read]
    np.testing.assert_allclose(middles, [np.asarray(frame)[24, 32] for frame in shades(5)], atol=12)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_a_gif_where_there_is_no_ffmpeg(tmp_path, monkeypatch):
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    path = encode.video_path(tmp_path, "film")
    with encode.video(path, 20) as add:
        for frame in shades(5):
            add(frame)
    with Image.open(path) as gif:
        assert (path.suffix, gif.format, gif.n_frames, gif.size) == (".gif", "GIF", 5, (32, 24))  # pyright: ignore[reportAttributeAccessIssue]
        assert gif.info["duration"] == 50


def test_stills_keep_the_colours_that_mean_something(tmp_path):
    rng = np.random.default_rng(0)
    frame = Image.fromarray(rng.integers(0, 256, (200, 200, 3)).astype(np.uint8))
    colors = sorted(look.meaningful())
    for i, color in enumerate(colors):
        frame.putpixel((i, 0), color)
    encode.still(tmp_path / "still.png", frame)
    with Image.open(tmp_path / "still.png") as kept:
        assert [kept.convert("RGB").getpixel((i, 0)) for i in range(len(colors))] == colors


def test_a_video_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), encode.video(tmp_path / "film.mp4", 20) as add:
        add(shades(1)[0])
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_method_without_a_world_model_is_filmed_without_a_dream(tmp_path, capsys):
    _, traces = evaluated(2, 2, painted())
    env = painted()()
    toy = ToyAgent(env_spec(env))
    (tmp_path / "episode-0-step-9999.png").touch()  # of an earlier film
    with Stage(
        dataclasses.replace(toy_spec(), task="tests.fakes.toys:painted_shore"), SCENE
    ) as stage:
        film_episodes(
            Filming(True, 2, 2, 20.0, 3, 2),
            stage,
            toy,
            toy.init(0),
            toy.env,
            traces,
            "a run",
            tmp_path,
        )
    said = capsys.readouterr().out
    assert "no world model of the SafeDreamer family" in said and said.count("wrote ") == 6
    written = {path.name for path in tmp_path.iterdir()}
    assert {name for name in written if name.endswith(".mp4")} == {"episode-0.mp4", "episode-1.mp4"}
    assert len(written) == 6 and "episode-0-step-9999.png" not in written


@pytest.mark.parametrize(
    ("filming", "kept"),
    [
        (Filming(False, 2, 1, 20.0, 3, 2), {"episode-0.mp4", "episode-0.txt"}),
        (Filming(True, 0, 1, 20.0, 3, 2), {"episode-0-step-9999.png", "episode-0.txt"}),
    ],
)
def test_filming_again_replaces_only_files_of_its_kind(filming, kept, tmp_path):
    _, traces = evaluated(2, 1, painted())
    toy = ToyAgent(env_spec(painted()()))
    for name in ("episode-0.mp4", "episode-0.gif", "episode-0-step-9999.png", "episode-0.txt"):
        (tmp_path / name).write_bytes(b"earlier")
    spec = dataclasses.replace(toy_spec(), task="tests.fakes.toys:painted_shore")

    rows = traces[0].rows
    wrong = traces[0]._replace(rows=rows | {"reward": rows["reward"] + 1})

    def film(stage: Stage, trace: EpisodeTrace) -> None:
        film_episodes(filming, stage, toy, toy.init(0), toy.env, [trace], "a run", tmp_path)

    def earlier() -> set[str]:
        return {path.name for path in tmp_path.iterdir() if path.read_bytes() == b"earlier"}

    with Stage(spec, SCENE) as stage:
        with pytest.raises(BadInput):
            film(stage, wrong)
        assert len(earlier()) == 4
        film(stage, traces[0])
    assert earlier() == (kept if filming.video else kept | {"episode-0.gif"})


@pytest.mark.slow
def test_records_are_the_same_with_and_without_video(tmp_path, monkeypatch, capfd):
    from benchmarks.cli import app
    from benchmarks.runs.records import read_records

    monkeypatch.chdir(ROOT)
    run = tmp_path / "run"
    untrained_run(run, "osrp", task="tests.fakes.toys:painted_shore")
    frames = []
    for name, options in (
        ("plain", []),
        ("filmed", ["--video", "--stills", 2, "--video-episodes", 2, "--dream-context", 2]),
    ):
        out = tmp_path / f"{name}.csv"
        arguments = [
            "evaluate",
            run,
            "--episodes",
            3,
            "--workers",
            "inline",
            "--out",
            out,
            *options,
        ]
        assert app.main([str(a) for a in arguments]) == 0
        frames.append(read_records(out).drop(columns="wall_seconds"))
    assert frames[0].equals(frames[1]) and len(frames[0]) == 3
    assert not (tmp_path / "plain").exists()
    assert (
        len(list((tmp_path / "filmed").glob("*.mp4"))) == 2
        and len(list((tmp_path / "filmed").glob("*.png"))) == 4
    )
    assert "names no images, positions or lidars" in capfd.readouterr().out
    assert app.main(["evaluate", str(run), "--video", "--dream-steps", "0"]) == 2
    assert "dream_steps=0 must be at least 1" in capfd.readouterr().err


# ------------------------------------------------------------- the real simulator


@pytest.mark.gl
@pytest.mark.slow
def test_a_planner_in_safety_gymnasium_is_filmed_as_it_was_evaluated(tmp_path, capsys):
    """Actions evaluated without a renderer are replayed with one.

    A stage refuses an episode whose rewards or costs differ.
    """
    from benchmarks.training.launch import agent_for, environment

    spec = spec_of("osrp", seed=3)
    spec = dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, action_repeat=25))
    make, env = environment(spec)
    osrp = agent_for(spec, env)
    recorder = Recorder(1)
    state = osrp.init(0)
    arguments: dict[str, Any] = {
        "run_seed": 3,
        "episodes": 1,
        "key": evaluation_key(3, 0),
        "workers": "inline",
    }
    run_episodes(osrp, state, make, **arguments, on_fault=no_fault, on_step=recorder.add)
    with Stage(spec, SCENE) as stage:
        film_episodes(
            Filming(True, 2, 1, 20.0, 5, 10),
            stage,
            osrp,
            state,
            env,
            recorder.traces(),
            "untrained",
            tmp_path,
        )
        shot = next(stage.shots(recorder.traces()[0]))
    # what an agent that observes images would have seen
    seen, _ = make_env(spec.task, "vision", 25).reset(seed=episode_seed(3, "eval", 0))
    assert list(shot.cameras) == ["image", "image2"] and shot.outside.shape == (SCENE, SCENE, 3)
    assert all(np.array_equal(picture, seen[name]) for name, picture in shot.cameras.items())
    assert "video:" not in capsys.readouterr().out
    read: Any = imageio.get_reader(tmp_path / "episode-0.mp4")
    assert read.count_frames() == 41
    assert (
        all(path.stat().st_size < 150_000 for path in tmp_path.glob("*.png"))
        and len(list(tmp_path.glob("*.png"))) == 2
    )
