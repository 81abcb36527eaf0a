"""Converts modules to parameters, pure dicts at the jit boundary."""

from __future__ import annotations

from typing import Any

from flax import nnx

Params = dict[str, Any]


def params_of(module: nnx.Module) -> Params:
    """A module's parameters as a pure dict."""
    return nnx.to_pure_dict(nnx.split(module)[1])
