"""Floating-point operations of a jittable function's matrix products and convolutions, counted from
its jaxpr.

XLA's own cost analysis counts the body of a loop once; here loops count as often as they run.
Elementwise work is left out, so the share of a matmul peak computed from these numbers is a lower
bound of how busy the machine is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def matmul_flops(function: Callable[..., Any], *args: Any) -> float:
    """FLOPs of all products in `function(*args)`: two per multiply-add."""
    return jaxpr_flops(jax.make_jaxpr(function)(*args).jaxpr)


def jaxpr_flops(jaxpr: Any) -> float:
    """FLOPs of all products in a traced function."""
    total = 0.0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            total += _dot_flops(eqn)
        elif eqn.primitive.name == "conv_general_dilated":
            total += _conv_flops(eqn)
        else:
            times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
            total += times * sum(jaxpr_flops(inner) for inner in _inner(eqn.params))
    return total


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """Jaxprs among an equation's parameters.

    Of a conditional's branches all count, which bounds from above.
    """
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield inner


def _dot_flops(eqn: Any) -> float:
    ((contracted, _), _) = eqn.params["dimension_numbers"]
    lhs = eqn.invars[0].aval.shape
    return 2.0 * math.prod(eqn.outvars[0].aval.shape) * math.prod(lhs[i] for i in contracted)


def _conv_flops(eqn: Any) -> float:
    """Two per output element and kernel tap; taps that fall on dilation zeros are not work."""
    rhs, dims = eqn.invars[1].aval.shape, eqn.params["dimension_numbers"]
    taps = math.prod(rhs) / rhs[dims.rhs_spec[0]]
    dilation = math.prod(eqn.params["lhs_dilation"])
    return 2.0 * math.prod(eqn.outvars[0].aval.shape) * taps / dilation
