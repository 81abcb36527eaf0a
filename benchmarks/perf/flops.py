"""Counts matrix products and convolutions of a jittable function from its jaxpr: floating-point
operations, number, and bytes read and written.

XLA's own cost analysis counts the body of a loop once; here loops of known length count once per
iteration, and conditionals as their cheapest branch, because MBPO fits its ensemble in only one of
thousands of updates. Elementwise work is excluded. A share of the matmul peak computed from these
numbers is therefore a lower bound of the machine's utilisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax


class Products(NamedTuple):
    """Totals of a function's products."""

    flops: float = 0.0  # two per multiply-add
    number: int = 0  # each is at least one launch on a GPU
    bytes: float = 0.0  # of factors and results, each read or written once


def matmul_flops(function: Callable[..., Any], *args: Any) -> float:
    """FLOPs of all products in `function(*args)`: two per multiply-add."""
    return jaxpr_products(jax.make_jaxpr(function)(*args).jaxpr).flops


def jaxpr_products(jaxpr: Any) -> Products:
    """All products in a traced function."""
    total = Products()
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            total = _sum(total, Products(_dot_flops(eqn), 1, _nbytes(eqn)))
        elif eqn.primitive.name == "conv_general_dilated":
            total = _sum(total, Products(_conv_flops(eqn), 1, _nbytes(eqn)))
        elif eqn.primitive.name == "cond":
            found = (jaxpr_products(branch.jaxpr) for branch in eqn.params["branches"])
            total = _sum(total, min(found))
        else:
            times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
            for inner in _inner(eqn.params):
                total = _sum(total, jaxpr_products(inner), times)
    return total


def _sum(a: Products, b: Products, times: int = 1) -> Products:
    return Products(
        a.flops + times * b.flops, a.number + times * b.number, a.bytes + times * b.bytes
    )


def _nbytes(eqn: Any) -> float:
    arrays = [variable.aval for variable in (*eqn.invars, *eqn.outvars)]
    return float(sum(array.size * array.dtype.itemsize for array in arrays))


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """Jaxprs among an equation's parameters."""
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
    """Two FLOPs per output element and kernel tap, not counting taps on dilation zeros."""
    rhs, dims = eqn.invars[1].aval.shape, eqn.params["dimension_numbers"]
    taps = math.prod(rhs) / rhs[dims.rhs_spec[0]]
    dilation = math.prod(eqn.params["lhs_dilation"])
    return 2.0 * math.prod(eqn.outvars[0].aval.shape) * taps / dilation
