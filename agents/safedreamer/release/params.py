"""Converts the release's checkpoints to states of our agent: names, sizes and settings.

`checkpoint.py` reads the file; this module maps its arrays to our parameter tree. The two trees
hold the same arrays in the same layout, so only names are translated.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import ArraySpec, EnvSpec
from agents.lagrangian import AugmentedState
from agents.returns import ReturnNormState
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import ModelConfig, SafeDreamerConfig
from agents.safedreamer.learner import AgentState
from agents.safedreamer.networks import Networks
from agents.safedreamer.release.checkpoint import OfficialCheckpoint, infer_sizes, load_official
from agents.safedreamer.release.inert_arrays import CheckpointFormatError

# Our path within a network -> the release's, as regular expressions; tried in order.
_RULES: tuple[tuple[str, str], ...] = (
    (r"encoder/mlp/blocks/(\d+)/", r"wm/enc/mlp/h\1/"),
    (r"encoder/convs/(\d+)/", r"wm/enc/cnn/s\1res/"),
    (r"decoder/mlp/blocks/(\d+)/", r"wm/dec/mlp/h\1/"),
    (r"decoder/vector_out/([^/]+)/", r"wm/dec/mlp/dist_\1/out/"),
    (r"decoder/image_in/", r"wm/dec/cnn/in/"),
    (r"decoder/convs/(\d+)/", r"wm/dec/cnn/s\1res/"),
    (r"rssm/initial_deter$", r"wm/rssm/initial"),
    (r"rssm/gru_norm/", r"wm/rssm/gru/norm/"),
    (r"rssm/", r"wm/rssm/"),
    (r"reward_head/", r"wm/rew/"),
    (r"cont_head/", r"wm/cont/"),
    (r"cost_head/", r"wm/cost/"),
)


def _official_name(path: str, prefix: str = "") -> str:
    """The release's name of one of our parameter paths.

    `prefix` is that of the network, "" for the world model.
    """
    name = path
    if not prefix:
        for ours, theirs in _RULES:
            name, found = re.subn(f"^{ours}", theirs, name)
            if found:
                break
        name = f"agent/{name}"
    else:
        name = f"{prefix}/{path}"
        name = re.sub(
            r"/(mean|std)/(kernel|bias)$",
            lambda m: f"/dist_out/{'out' if m[1] == 'mean' else 'std'}/{m[2]}",
            name,
        )
    name = re.sub(r"/mlp/blocks/(\d+)/", r"/h\1/", name)
    name = name.replace("/linear/", "/")
    return re.sub(r"(rew|cont|cost|net|slow)/out/(kernel|bias)$", r"\1/dist_out/out/\2", name)


def _path(keys: tuple[Any, ...]) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in keys)


def _check_finite(name: str, array: np.ndarray) -> None:
    """Raise CheckpointFormatError for NaN and infinity.

    Otherwise such a policy would act, with returns that look like any others.
    """
    if not np.isfinite(array).all():
        raise CheckpointFormatError(
            f"array {name!r} is not finite: the run diverged, or the file was changed"
        )


def translate(template: Any, params: Mapping[str, np.ndarray], prefix: str = "") -> Any:
    """Parameters of the structure of `template`, filled from the release's arrays.

    Raises CheckpointFormatError if an array is missing or has the wrong shape.
    """

    def pick(keys, leaf):
        name = _official_name(_path(keys), prefix)
        if name not in params:
            raise CheckpointFormatError(
                f"the checkpoint has no array {name!r}, which our {_path(keys)!r} needs"
            )
        if params[name].shape != leaf.shape:
            raise CheckpointFormatError(
                f"array {name!r} has shape {params[name].shape}, our {_path(keys)!r} has "
                f"{leaf.shape}"
            )
        _check_finite(name, params[name])
        return jnp.asarray(params[name], jnp.float32)

    return jax.tree_util.tree_map_with_path(pick, template)


def model_config(sizes: Mapping[str, Any], base: ModelConfig) -> ModelConfig:
    """`base` with the sizes of `infer_sizes`."""
    return dataclasses.replace(
        base,
        deter=sizes["deter"],
        stoch=sizes["stoch"],
        classes=sizes["classes"],
        units=sizes["units"],
        head_units=sizes["head_units"],
        head_layers=sizes["head_layers"],
        vector_units=sizes["mlp_units"] or base.vector_units,
        vector_layers=sizes["mlp_layers"] or base.vector_layers,
        conv_depth=sizes["cnn_depth"] or base.conv_depth,
        bins=sizes["bins"],
        cost_source="head"
        if sizes["cost_head"]
        else "geometry"
        if base.cost_source == "geometry"
        else "none",
    )


def observation_spec(sizes: Mapping[str, Any]) -> dict[str, ArraySpec]:
    """Observation arrays of a checkpoint's encoder.

    Images have the names of the release's cameras.
    """
    side = sizes["image_size"]
    images = {
        ("image", "image2")[i] if i < 2 else f"image{i + 1}": ArraySpec((side, side, 3), "uint8")
        for i in range(sizes["images"])
    }
    return images | {name: ArraySpec((size,), "float32") for name, size in sizes["vectors"].items()}


def check_fit(sizes: Mapping[str, Any], env: EnvSpec) -> None:
    """Raise CheckpointFormatError unless the checkpoint's observations and actions match the
    environment's.
    """
    theirs = {name: spec.shape for name, spec in observation_spec(sizes).items()}
    ours = {name: tuple(spec.shape) for name, spec in env.obs.items()}
    if theirs != ours or sizes["action_dim"] != env.action_dim:
        raise CheckpointFormatError(
            f"the checkpoint takes observations {theirs} and gives {sizes['action_dim']} "
            f"actions; this task offers {ours} and takes {env.action_dim}: choose the task and "
            "--obs it was trained on"
        )


def agent_state(
    agent: SafeDreamer, checkpoint: OfficialCheckpoint, sizes: Mapping[str, Any]
) -> AgentState:
    """State of `agent` with the checkpoint's parameters, slow critics, normaliser and multipliers.

    Optimisers and the PID controller are reset: the release's optimisers have their own order of
    parameters, and its PID controller is not in the file.
    """
    arrays = checkpoint.agent
    template = jax.eval_shape(agent.init, 0)
    critics = "agent/task_behavior"
    prefixes = Networks("", sizes["actor"], f"{critics}/critic/net", f"{critics}/cost_critic/net")
    params = Networks(
        *(
            None if net is None else translate(net, arrays, prefix)
            for net, prefix in zip(template.params, prefixes, strict=True)
        )
    )
    state = agent.learner.fresh_state(params)
    for name in ("critic", "cost_critic"):
        if (net := getattr(template.params, name)) is not None:
            slow = translate(net, arrays, f"{critics}/{name}/slow")
            state = state._replace(**{f"slow_{name}": slow})
    behaviour = sizes["actor"].removesuffix("/actor")

    def scalar(name: str, default: jax.Array) -> jax.Array:
        path = f"{behaviour}/{name}"
        if path not in arrays:
            return default
        _check_finite(path, arrays[path])
        return jnp.asarray(arrays[path], jnp.float32)

    norm, multipliers = state.return_norm, state.augmented
    return state._replace(
        return_norm=ReturnNormState(
            scalar("retnorm_extr/low/value", norm.low), scalar("retnorm_extr/high/value", norm.high)
        ),
        augmented=AugmentedState(
            scalar("lagrange/lagrange_multiplier/value", multipliers.multiplier),
            scalar("lagrange/penalty_multiplier/value", multipliers.penalty),
        ),
        updates=jnp.asarray(arrays.get(f"{critics}/critic/updates/value", 1), jnp.int32),
    )


def load_agent(
    path: str | Path,
    env: EnvSpec,
    config: SafeDreamerConfig,
    *,
    stoch: int | None = None,
) -> tuple[SafeDreamer, AgentState]:
    """Load a published checkpoint as an agent for `env` and its state.

    Sizes come from the file, everything else from `config`.

    Raises UnsafeCheckpointError for an unsafe file, CheckpointFormatError for one that does not
    match.
    """
    checkpoint = load_official(path)
    sizes = infer_sizes(checkpoint.agent, stoch)
    check_fit(sizes, env)
    agent = SafeDreamer(dataclasses.replace(config, model=model_config(sizes, config.model)), env)
    return agent, agent_state(agent, checkpoint, sizes)
