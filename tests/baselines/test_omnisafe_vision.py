"""OmniSafe on images: frames and stacks by hand, encoders that learn, settings, memory.

Torch is imported in separate processes only.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from agents.api import ArraySpec, EnvSpec
from baselines.omnisafe import config as configs
from baselines.omnisafe.algorithms import ALGORITHMS
from baselines.omnisafe.vision import VisionConfig, encoding_bytes, frame_slots
from benchmarks.cli.train import read
from benchmarks.methods import METHODS, check_spec, settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import read_records
from benchmarks.runs.spec import to_dict
from benchmarks.runs.spec_file import from_dict
from benchmarks.sweep.needs import Estimate
from tests import specs
from tests.fakes.ferry import EPISODE_ENV_STEPS, LIMIT
from tests.omnisafe_vision_runs import RESUMED, learn_spec
from tests.programs import omnisafe_output, output
from tests.specs import with_agent

TASK = "SafetyPointGoal1-v0"
ON_POLICY = [name for name, row in ALGORITHMS.items() if row.family == "on-policy"]
spec_of = functools.partial(specs.spec_of, obs="vision", preset="release")
pytestmark = pytest.mark.omnisafe


@pytest.mark.parametrize("name", ON_POLICY)
@pytest.mark.parametrize("preset", ["release", "matched", "cpu", "debug"])
def test_every_preset_on_pictures_is_accepted_and_survives_its_file(name: str, preset: str):
    spec = spec_of(name, preset=preset)
    check_spec(spec)
    again = from_dict(to_dict(spec), METHODS[name].config_type("vision"))
    assert again == spec and again.run_id == spec.run_id
    assert isinstance(again.agent.vision, VisionConfig) and not again.agent.algo_cfgs.obs_normalize
    vector = settings(name, "lidar", preset, task=TASK).agent
    changed = {
        k for k, v in configs._flatten(dataclasses.asdict(vector)) if _at(spec.agent, k) != v
    }
    allowed = {"algo_cfgs.obs_normalize", "algo_cfgs.fvp_sample_freq"} | (
        {"algo_cfgs.update_iters"} if preset == "cpu" else set()
    )
    assert changed <= allowed
    assert not hasattr(vector, "vision")


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def test_settings_of_the_encoder_are_read_and_vectors_have_none():
    common = ["--method", "ppo_lag", "--task", TASK, "--preset", "matched"]
    _, spec = read(
        [*common, "--obs", "vision", "--vision.frame-stack", "4", "--vision.features", "64"]
    )
    assert (spec.agent.vision.frame_stack, spec.agent.vision.features, spec.agent.cost_limit) == (
        4,
        64,
        2.0,
    )
    assert spec.loop.action_repeat == 4
    _, spec = read(common)
    assert spec.obs == "lidar"  # though the task's published observation is vision
    with pytest.raises(BadInput, match="frame-stack"):
        read([*common, "--vision.frame-stack", "4"])


@pytest.mark.parametrize(
    "name, why",
    [
        ("omnisafe_sac_lag", "replay holds every observation twice"),
        ("safe_loop", "low-dimensional"),
    ],
)
def test_other_families_refuse_pictures_and_say_why(name: str, why: str):
    with pytest.raises(BadInput, match=why):
        settings(name, "vision", "release", task=TASK)
    assert "vision" not in METHODS[name].observations
    assert all("vision" in METHODS[other].observations for other in ON_POLICY)


def test_what_does_not_fit_pictures_is_refused():
    with pytest.raises(BadInput, match=r"--algo-cfgs\.no-obs-normalize$"):
        check_spec(with_agent(spec_of("cpo"), {"algo_cfgs.obs_normalize": True}))
    with pytest.raises(ValueError, match="one number for each layer"):
        VisionConfig(channels=(8, 8))
    with pytest.raises(ValueError, match="frame_stack=0"):
        VisionConfig(frame_stack=0)
    with pytest.raises(ValueError, match="a picture of 3 x 3 is left before a kernel of 4"):
        VisionConfig().pictures(16, 16)


def test_sizes_by_hand():
    assert VisionConfig().pictures(64, 64) == [(15, 15), (6, 6), (4, 4)]
    assert frame_slots(100, 4) == 108
    one = VisionConfig(frame_stack=2, channels=(8,), kernels=(4,), strides=(4,), features=10)
    assert encoding_bytes(one, (8, 8, 3)) == 4 * (8 * 8 * 3 * 2 + 2 * 8 * 2 * 2 + 2 * 10)


def test_a_sweep_counts_frames_once_and_what_is_differentiated_twice():
    env = EnvSpec(
        {name: ArraySpec((64, 64, 3), "uint8") for name in ("image", "image2")}, 2, 1, 1000
    )
    needs = Estimate(lambda *_: env)
    small, large = (
        needs(with_agent(spec_of("ppo_lag"), {"algo_cfgs.steps_per_epoch": n})).memory
        for n in (1000, 11_000)
    )
    rows = 4 * (2 * 3 + 2 + 3)  # tickets twice, action, three scalars
    assert large - small == 10_000 * (64 * 64 * 6 + rows)
    first, second = needs(spec_of("ppo_lag")).memory, needs(spec_of("cpo")).memory
    assert second - first > 900 * encoding_bytes(VisionConfig(), (64, 64, 6))


FRAMES = """
import numpy as np, torch
from baselines.omnisafe.frames import Frames
def frame(*values): return np.array([[v] * 2 for v in values], np.uint8)  # pictures 1 x 2 x 1
frames = Frames((1, 2, 1), 3, 4, 2, torch.device("cpu"))  # stacks of 3; 4 actions, 2 each
def seen(): return frames.look_up(torch.as_tensor(frames.tickets()))[:, :, 0, 0].tolist()
both, one = np.array([True, True]), np.array([True, False])
frames.begin(both, frame(1, 51)); print(seen())
rows = [frames.tickets()]
frames.push(frame(2, 52), one); print(seen())  # the first environment's episode ends
frames.begin(one, frame(3, 0)); print(seen())  # and the next begins, full of its first frame
rows.append(frames.tickets())
frames.push(frame(4, 53), ~both); print(seen())
# rows of the buffer, unharmed
print([frames.look_up(torch.as_tensor(row))[:, :, 0, 0].tolist() for row in rows])
with frames.showing(np.array([[[7, 7], [8, 8], [9, 9]]], np.uint8)) as tickets:
    print(frames.look_up(torch.as_tensor(tickets))[:, :, 0, 1].tolist())
print(seen())
frames.clear(); frames.begin(both, frame(5, 55)); frames.begin(one, frame(6, 0))
print(seen())  # one that no row has is replaced
"""


def test_stacks_by_hand(printed: dict[str, list[str]]):
    first = [[1, 1, 1], [51, 51, 51]]
    begun = [[3, 3, 3], [51, 51, 52]]
    later = [[3, 3, 4], [51, 52, 53]]
    assert [json.loads(line) for line in printed["frames"]] == [
        first,
        [[1, 1, 2], [51, 51, 52]],
        begun,
        later,
        [first, begun],
        [[7, 8, 9]],
        later,
        [[6, 6, 6], [55, 55, 55]],
    ]


MEMORY = """
from baselines.omnisafe import frames
frames.available_memory_bytes = lambda: 10_000_000
try:
    frames.Frames((64, 64, 6), 3, 20_000, 1, torch.device("cpu"))
except ValueError as error:
    print(error)
"""


def test_an_epoch_that_does_not_fit_into_memory_is_refused(printed: dict[str, list[str]]):
    assert (
        "take 0.5 GB, and 0.0 GB are available: choose a smaller --algo-cfgs.steps-per-epoch"
        in printed["memory"][0]
    )


GRADIENTS = """
import torch
from omnisafe.utils.model import build_mlp_network
from baselines.omnisafe.encoder import Encoded
from baselines.omnisafe.vision import CHUNK, VisionConfig
torch.manual_seed(0)
config = VisionConfig(2, (4, 4), (4, 3), (2, 2), 8)
pictures = torch.randint(0, 256, (300, 6, 16, 16), dtype=torch.uint8)
look_up = lambda tickets: pictures[tickets.long()[:, 0]]
net = Encoded(config, (16, 16, 3), look_up, build_mlp_network([9, 8, 2], "tanh")).double()
net._features = lambda tickets: net.encoder(look_up(tickets).double() / 255 - 0.5)
obs = torch.stack([torch.arange(130), torch.arange(130), torch.linspace(-1, 1, 130)], 1).double()
def product(whole):  # gradient, and Hessian times a vector, as natural gradients take them
    parts = [obs] if whole else obs.split(CHUNK)
    loss = sum((net(part) ** 2).sum() for part in parts)
    grads = torch.autograd.grad(loss, tuple(net.parameters()), create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in grads])
    weights = torch.linspace(-1, 1, len(flat), dtype=torch.float64)
    second = torch.autograd.grad((flat * weights).sum(), tuple(net.parameters()))
    return flat.detach(), torch.cat([g.reshape(-1) for g in second])
assert len(obs) > CHUNK
for one, other in zip(product(True), product(False)):
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
assert all(p.grad is None for p in net.parameters())
(net(obs) ** 2).sum().backward()
print([name for name, p in net.named_parameters() if not p.grad.abs().sum() > 0])
changed = obs.clone(); changed[:, 2] += 1
print(bool((net(changed) != net(obs)).any(dim=1).all()), tuple(net(obs[0]).shape))
"""


def test_parts_of_a_large_batch_have_the_gradients_of_the_whole_and_reach_the_encoder(
    printed: dict[str, list[str]],
):
    assert printed["gradients"] == ["[]", "True (2,)"]


@pytest.fixture(scope="module")
def printed() -> dict[str, list[str]]:
    """Output of each program; all run in one process, because importing torch is slow."""
    parts = {"frames": FRAMES, "gradients": GRADIENTS, "memory": MEMORY}
    lines = omnisafe_output(
        "".join(f"{text}print('end of', {name!r})\n" for name, text in parts.items())
    ).splitlines()
    found = {}
    for name in parts:
        end = lines.index(f"end of {name}")
        found[name], lines = lines[:end], lines[end + 1 :]
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vision")
    output("-m", "tests.omnisafe_vision_runs", str(folder))
    return folder


@pytest.mark.slow
def test_resumes_exactly_on_pictures(runs: Path):
    results = json.loads((runs / "results.json").read_text())
    for name in RESUMED:
        assert "error" not in results[name], results[name]["error"]
        assert results[name]["finished"] and results[name]["stopped"] > 0
        assert (results[name]["episodes.csv"], results[name]["metrics.jsonl"]) == (True, True), name


RANDOM = """
import sys
from benchmarks.envs.make import make_env
import numpy as np
env, rng = make_env("tests.fakes.ferry:ferry", "default", 1), np.random.default_rng(0)
total = np.zeros(2)
for seed in range(200):
    env.reset(seed=seed)
    for _ in range(int(sys.argv[1])):
        _, reward, _, _, info = env.step(rng.uniform(-1, 1, 2))
        total += reward, info["cost"]
print(*total / 200)
"""


@pytest.mark.slow
def test_learns_what_only_pictures_tell_within_its_limit(runs: Path):
    by_chance, chance_cost = map(float, omnisafe_output(RANDOM, str(EPISODE_ENV_STEPS)).split())
    assert abs(by_chance) < 1.0 and chance_cost > 1.5 * LIMIT
    frame = read_records(runs / "learn")
    last = frame[frame["env_steps"] == learn_spec().steps]
    for split in ("eval", "eval_sampled"):
        shown = last[last["split"] == split]
        assert len(shown) == 64
        # out of 16 for the direction, which only two consecutive frames reveal
        assert shown["return"].mean() > 10.0, split
        assert shown["cost"].mean() <= LIMIT, split

    from benchmarks.runs import checkpoint

    folder = runs / "learn" / "checkpoints"
    (saved,) = sorted(folder.iterdir())[-1:]
    names = [
        name for name in checkpoint.load_flat(saved, checkpoint.LEARNER) if ".encoder." in name
    ]
    owners = {
        owner
        for owner in ("actor.", "reward_critic.", "cost_critic.")
        if any(owner in name for name in names)
    }
    assert owners == {"actor.", "reward_critic.", "cost_critic."}
