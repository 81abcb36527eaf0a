"""Every JAX method's functions lowered for CUDA, which needs no GPU.

Checks on the module's text: donated buffers, host callbacks, dtypes of matrix products; and that an
update returns a state of the types that it takes.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter
from typing import Any

import jax
import numpy as np
import pytest

from benchmarks.methods import METHODS, settings
from tests.agent_inputs import ENVS, observations, replay_batch

pytestmark = pytest.mark.slow

# Off-policy methods without a cost limit compile to the same programs as those with one.
JAX_METHODS = [
    name
    for name, method in METHODS.items()
    if method.engine == "jax" and not (method.family == "mbpo" and f"{name}_lag" in METHODS)
]
# osrp's update is that of osrp_lag without a metric, cem's that of dreamerv3.
UPDATES = [name for name in JAX_METHODS if name not in ("osrp", "cem")]
# dreamerv3 acts as bsrp_lag without a predicted cost, off-policy methods act as sac_lag.
ACTS = [
    name for name in JAX_METHODS if name not in ("dreamerv3", "mbpo_lag", "dyna_lag", "mve_lag")
]
ENCODER_CONVOLUTIONS = {"safe_slac": 5}  # otherwise 4, or 0 for methods without vision
PRODUCT = re.compile(r"stablehlo\.(dot_general|convolution)\b.*-> tensor<(?:\d+x)*(\w+)>")


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make choices by backend (`conv_impl="auto"`) as on a GPU."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def richest(name: str) -> str:
    """Vision where the method supports it, otherwise lidar."""
    return "vision" if "vision" in METHODS[name].observations else "lidar"


def make_agent(name: str, obs: str, **changes: Any) -> Any:
    config = dataclasses.replace(settings(name, obs, "debug").agent, **changes)
    return METHODS[name].agent(config, ENVS[obs])


def lower_update(agent: Any) -> tuple[str, int]:
    """Lower the update without compiling: its module and the number of arrays in the state."""
    state = jax.eval_shape(agent.init, 0)
    exported = jax.export.export(agent._update, platforms=["cuda"])(
        state, replay_batch(agent.env), jax.random.key(0)
    )
    assert exported.platforms == ("cuda",)
    arrays = len(jax.tree.leaves(state))
    assert exported.out_avals[:arrays] == exported.in_avals[:arrays]
    return exported.mlir_module(), arrays


def lower_act(agent: Any, mode: str, envs: int = 3) -> str:
    state, carry = jax.eval_shape(agent.init, 0), agent.init_carry(envs)
    act = jax.jit(functools.partial(agent.act, mode=mode))
    args = state, carry, observations(agent.env, (envs,)), np.zeros(envs, bool), jax.random.key(0)
    return jax.export.export(act, platforms=["cuda"])(*args).mlir_module()


def check_runs_on_the_device_alone(module: str) -> None:
    assert "callback" not in module, "a step of the device waits for the host"
    assert not re.search(r"xf64>|tensor<f64>", module), (
        "double precision is slow on a GPU and nothing here needs it"
    )


@pytest.mark.parametrize("name", UPDATES)
def test_updates_lower_for_cuda_and_donate_their_whole_state(name: str):
    module, arrays = lower_update(make_agent(name, richest(name)))
    check_runs_on_the_device_alone(module)
    donated = re.findall(r"tf\.aliasing_output|jax\.buffer_donor", module)
    assert arrays > 50
    assert len(donated) == arrays
    assert PRODUCT.search(module)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", ACTS)
def test_actions_lower_for_cuda(name: str, mode: str):
    module = lower_act(make_agent(name, richest(name)), mode)
    check_runs_on_the_device_alone(module)
    convolutions = Counter(kind for kind, _ in PRODUCT.findall(module))["convolution"]
    expected = ENCODER_CONVOLUTIONS.get(name, 4) if richest(name) == "vision" else 0
    assert convolutions == expected, "on a GPU the encoder's convolutions are XLA's own"


@pytest.mark.parametrize("name", ["osrp", "bsrp_lag"])
def test_tracked_hazards_lower_for_cuda(name: str):
    model = dataclasses.replace(
        settings(name, "coordinates", "debug").agent.model, cost_source="tracked"
    )
    agent = make_agent(name, "coordinates", model=model)
    check_runs_on_the_device_alone(lower_update(agent)[0])
    check_runs_on_the_device_alone(lower_act(agent, "train"))


@pytest.mark.parametrize("impl", ["matmul", "xla"])
def test_in_bfloat16_all_large_products_are(impl: str):
    """Only expectations and cumulative sums of probabilities stay in float32, at the highest
    precision.
    """
    agent = make_agent("bsrp_lag", "vision")
    model = dataclasses.replace(agent.config.model, conv_impl=impl)
    module, _ = lower_update(make_agent("bsrp_lag", "vision", dtype="bfloat16", model=model))
    products = Counter(PRODUCT.findall(module))
    # Encoder and decoder; gradients of kernels; gradients of inputs, but not of images.
    assert products["convolution", "bf16"] == (8 + 8 + 7 if impl == "xla" else 0)
    assert products["convolution", "f32"] == 0
    assert products["dot_general", "bf16"] > 100
    lines = [
        line
        for line in module.splitlines()
        if (found := PRODUCT.search(line)) and found[2] == "f32"
    ]
    assert 0 < len(lines) < 20
    for line in lines:
        assert "precision = [HIGHEST, HIGHEST]" in line, line
