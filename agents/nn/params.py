"""Networks as static graph definitions and parameters, pure dicts at the jit boundary.

`nets` is a module, or a NamedTuple of modules, in which None stands for an absent network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

Params = dict[str, Any]
Nets = TypeVar("Nets")


def _is_net(x: Any) -> bool:
    return isinstance(x, nnx.Module | nnx.GraphDef)


def params_of(nets: Any) -> Any:
    """The parameters of each network as a pure dict."""
    return jax.tree.map(lambda net: nnx.to_pure_dict(nnx.split(net)[1]), nets, is_leaf=_is_net)


def copied(params: Any) -> Any:
    """Copies of all arrays: donated buffers must not be shared."""
    return jax.tree.map(jnp.copy, params)


def graphs_of(build: Callable[[nnx.Rngs], Nets]) -> Any:
    """The graph definitions of the networks that `build` makes; computes shapes only."""
    nets = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    return jax.tree.map(lambda net: nnx.split(net)[0], nets, is_leaf=_is_net)


def merge(graphs: Nets, params: Any) -> Nets:
    """Networks around parameters, for use inside a traced function."""
    return jax.tree.map(nnx.merge, graphs, params, is_leaf=_is_net)
