"""Arrays and sizes in checkpoints of the authors' SafeDreamer release.

`PKU-Alignment/SafeDreamer`, commit 529221f.

The file is a pickle of {"step", "agent", "_timestamp", and "train_replay", "eval_replay", which
are empty}. "agent" maps parameter paths to arrays, counters and normalisers (".../value"), and
"<optimiser>/state" to states of optax, which are skipped: our optimisers start fresh. Reading never
executes code from the file, see `inert_pickle.py`. `params.py` maps these names to our parameters.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.safedreamer.release.inert_arrays import CheckpointFormatError, Inert
from agents.safedreamer.release.inert_pickle import read_pickle

IMAGE_CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class OfficialCheckpoint:
    """Content of a checkpoint; arrays are read-only."""

    step: int
    """Step counter of the run."""
    agent: dict[str, np.ndarray]
    """Arrays of the agent, except optimiser states, by their path in the release."""


def load_official(path: str | os.PathLike[str]) -> OfficialCheckpoint:
    """Read a published `checkpoint.ckpt`.

    Raises UnsafeCheckpointError, CheckpointFormatError, or OSError.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise CheckpointFormatError(
            f"{path} holds a {type(content).__name__}, a checkpoint of the release is a dict"
        )
    missing = [key for key in ("step", "agent", "_timestamp") if key not in content]
    if missing:
        raise CheckpointFormatError(
            f"{path} is not a checkpoint of the release: it lacks {missing}, it has "
            f"{sorted(content)[:10]}"
        )
    if not isinstance(content["agent"], dict):
        raise CheckpointFormatError(
            f"{path}: 'agent' is a {type(content['agent']).__name__}, expected a dict of arrays"
        )
    agent = {}
    for name, value in content["agent"].items():
        if isinstance(value, np.ndarray | bool | int | float):
            agent[name] = np.asarray(value)
        elif not isinstance(value, tuple | list | Inert):
            raise CheckpointFormatError(
                f"{path}: {name!r} is a {type(value).__name__}, expected an array or an "
                "optimiser state"
            )
    step: Any = content["step"]
    step = step.item() if isinstance(step, np.ndarray) and step.shape == () else step
    if type(step) is not int and not (type(step) is float and math.isfinite(step)):
        raise CheckpointFormatError(
            f"{path}: 'step' is a {type(step).__name__}, expected a finite number"
        )
    return OfficialCheckpoint(int(step), agent)


def infer_sizes(params: Mapping[str, np.ndarray], stoch: int | None = None) -> dict[str, Any]:
    """Infer the sizes of the network of `params` (`OfficialCheckpoint.agent`) from array shapes.

    Shapes determine only the product stoch * classes. By default it is split as a square (as in all
    published presets: 48 x 48 and 16 x 16); where that is impossible, or the network is not square,
    pass `stoch` (config.json: "rssm.stoch").

    Returns: deter, stoch, classes, action_dim, bins; units (of the RSSM), head_units, head_layers;
    vectors {name: size}, mlp_units, mlp_layers (0 without vectors); images (of 3 channels each),
    image_size, cnn_depth (0 without images); actor (path prefix); cost_head, lagrange (bool).
    Raises CheckpointFormatError if arrays are missing or inconsistent, ValueError for a missing or
    wrong `stoch`.
    """
    rssm = "agent/wm/rssm"
    deter = _shape(params, f"{rssm}/initial")[0]
    units, latents = _shape(params, f"{rssm}/img_stats/kernel")
    stoch, classes = _split_latents(latents, stoch)
    action_dim = _shape(params, f"{rssm}/img_in/kernel")[0] - latents
    embed = _shape(params, f"{rssm}/obs_out/kernel")[0] - deter
    actors = [f"agent/task_behavior/{name}/actor" for name in ("safe_ac", "ac")]
    actor = actors[1] if f"{actors[1]}/dist_out/out/kernel" in params else actors[0]
    heads = {
        "reward": "agent/wm/rew",
        "cont": "agent/wm/cont",
        "actor": actor,
        "critic": "agent/task_behavior/critic/net",
    }
    optional = {"cost": "agent/wm/cost", "cost_critic": "agent/task_behavior/cost_critic/net"}
    heads |= {
        name: path for name, path in optional.items() if f"{path}/dist_out/out/kernel" in params
    }
    outputs = {
        name: _shape(params, f"{path}/dist_out/out/kernel")[-1] for name, path in heads.items()
    }
    stacks = {name: _stack(params, path, deter + latents) for name, path in heads.items()}
    if len(set(stacks.values())) != 1:
        raise CheckpointFormatError(
            f"heads differ in size (units, layers): {stacks}; the release's presets use one "
            "size for all"
        )
    bins = {
        outputs[name] for name in ("reward", "critic", "cost", "cost_critic") if name in outputs
    }
    if len(bins) != 1:
        raise CheckpointFormatError(f"heads differ in their number of bins: {outputs}")
    if action_dim < 1 or outputs["actor"] != action_dim:
        raise CheckpointFormatError(
            f"the actor has {outputs['actor']} outputs, the model takes {action_dim} action "
            "dimensions"
        )
    vision, vector = _image_sizes(params), _vector_sizes(params, deter + latents)
    expected_embed = 16 * 8 * vision["cnn_depth"] + (
        vector["mlp_units"] if vector["vectors"] else 0
    )
    if embed != expected_embed:
        raise CheckpointFormatError(
            f"the posterior takes an embedding of {embed}, the encoder gives {expected_embed}"
        )
    return {
        "deter": deter,
        "stoch": stoch,
        "classes": classes,
        "action_dim": action_dim,
        "bins": bins.pop(),
        "units": units,
        "head_units": stacks["reward"][0],
        "head_layers": stacks["reward"][1],
        **vector,
        **vision,
        "actor": actor,
        "cost_head": "cost" in heads,
        "lagrange": any("/lagrange/" in name for name in params),
    }


def _shape(params: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    if name not in params:
        near = difflib.get_close_matches(name, params, n=1)
        raise CheckpointFormatError(
            f"the checkpoint has no array {name!r}" + (f" (nearest: {near[0]!r})" if near else "")
        )
    shape = np.shape(params[name])
    rank = 4 if re.search(r"/s\dres/kernel$", name) else 2 if name.endswith("/kernel") else 1
    if len(shape) != rank:
        raise CheckpointFormatError(f"array {name!r} has shape {shape}, expected {rank} axes")
    return shape


def _split_latents(latents: int, stoch: int | None) -> tuple[int, int]:
    if stoch is None:
        stoch = math.isqrt(latents)
        if stoch * stoch != latents:
            raise ValueError(
                f"stoch * classes = {latents} is not a square: pass stoch (config.json: rssm.stoch)"
            )
    if stoch < 1 or latents % stoch:
        raise ValueError(f"stoch={stoch} does not divide stoch * classes = {latents}")
    return stoch, latents // stoch


def _stack(params: Mapping[str, np.ndarray], path: str, inputs: int) -> tuple[int, int]:
    """(units, layers) of the dense blocks path/h0, h1, ..., with `inputs` inputs."""
    layers = 0
    fan_in, units = inputs, 0
    while layers == 0 or f"{path}/h{layers}/kernel" in params:
        shape = _shape(params, f"{path}/h{layers}/kernel")
        if shape[0] != fan_in or (layers and shape[1] != units):
            raise CheckpointFormatError(
                f"array '{path}/h{layers}/kernel' has shape {shape}, expected {fan_in} inputs"
            )
        fan_in = units = shape[1]
        layers += 1
    return units, layers


def _vector_sizes(params: Mapping[str, np.ndarray], feat: int) -> dict[str, Any]:
    pattern = re.compile(r"agent/wm/dec/mlp/dist_(.+)/out/kernel")
    vectors = {
        match[1]: _shape(params, name)[1]
        for name in sorted(params)
        if (match := pattern.fullmatch(name))
    }
    if not vectors:
        return {"vectors": {}, "mlp_units": 0, "mlp_layers": 0}
    encoder = _stack(params, "agent/wm/enc/mlp", sum(vectors.values()))
    decoder = _stack(params, "agent/wm/dec/mlp", feat)
    if encoder != decoder:
        raise CheckpointFormatError(
            f"vector encoder and decoder differ in (units, layers): {encoder} and {decoder}"
        )
    return {"vectors": vectors, "mlp_units": encoder[0], "mlp_layers": encoder[1]}


def _image_sizes(params: Mapping[str, np.ndarray]) -> dict[str, int]:
    if "agent/wm/enc/cnn/s0res/kernel" not in params:
        return {"images": 0, "image_size": 0, "cnn_depth": 0}
    stages = sum(bool(re.fullmatch(r"agent/wm/enc/cnn/s\d+res/kernel", name)) for name in params)
    shapes = [_shape(params, f"agent/wm/enc/cnn/s{stage}res/kernel") for stage in range(stages)]
    channels, depth = shapes[0][2:]
    if stages != 4 or [shape[3] for shape in shapes] != [depth, 2 * depth, 4 * depth, 8 * depth]:
        raise CheckpointFormatError(
            f"the image encoder has stages {shapes}, expected four with d, 2d, 4d and 8d channels"
        )
    if channels % IMAGE_CHANNELS:
        raise CheckpointFormatError(
            f"the image encoder takes {channels} channels, expected images of {IMAGE_CHANNELS}"
        )
    # Four stages of stride 2 down to the release's 4 x 4.
    return {
        "images": channels // IMAGE_CHANNELS,
        "image_size": 4 * 2**stages,
        "cnn_depth": depth,
    }
