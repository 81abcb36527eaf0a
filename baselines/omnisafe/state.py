"""Saves everything that training changes in an algorithm of OmniSafe as arrays and plain values,
and restores it.

OmniSafe saves policies only. Instead of listing attributes per algorithm, which would be
incomplete, this walks all objects reachable from an algorithm: tensors, numbers, histories,
networks, optimisers, schedules, normalisers, multipliers. It leaves out settings, environments,
on-policy buffers (empty between epochs) and the names in `skip`.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from omnisafe.common.buffer import OffPolicyBuffer, OnPolicyBuffer, VectorOnPolicyBuffer
from omnisafe.common.normalizer import Normalizer
from omnisafe.envs.core import CMDP, Wrapper
from omnisafe.utils.config import Config
from torch.optim.lr_scheduler import LRScheduler

Arrays = dict[str, np.ndarray]
Plain = (bool, int, float, str, type(None))
_SCHEDULED = (torch.optim.Optimizer, LRScheduler)
_TORCH = (torch.Tensor, torch.nn.Module, *_SCHEDULED)
_OF_EVERY_NETWORK = (
    "training",
    "_first",
    "_after_inference",
    "_is_full_backward_hook",
    "call_super_init",
)
_UNTOUCHED = (
    Config,
    torch.distributions.Distribution,
    torch.device,
    OnPolicyBuffer,
    VectorOnPolicyBuffer,
)


class Tree:
    """Stores values under paths (`pack`) and returns them (`unpack`)."""

    def __init__(self, arrays: Arrays | None = None, plain: dict[str, Any] | None = None) -> None:
        self.arrays: Arrays = {} if arrays is None else arrays
        self.plain: dict[str, Any] = {} if plain is None else plain

    def pack(self, path: str, value: Any) -> None:
        """Store nested lists, tuples, deques and dicts of tensors, arrays and plain values."""
        self.plain[path] = self._packed(path, value)

    def unpack(self, path: str) -> Any:
        """The value stored at `path`. Raises KeyError if there is none."""
        return self._unpacked(self.plain[path])

    def _packed(self, path: str, value: Any) -> Any:
        if isinstance(value, Plain):
            return {"v": value}
        if isinstance(value, np.generic):
            return {"v": value.item()}
        if isinstance(value, torch.Tensor | np.ndarray):
            array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
            self.arrays[path] = np.array(array)
            return {"tensor" if isinstance(value, torch.Tensor) else "array": path}
        if isinstance(value, dict):
            return {"dict": [[k, self._packed(f"{path}/{k}", v)] for k, v in value.items()]}
        if isinstance(value, deque):
            return {
                "deque": [self._packed(f"{path}/{i}", v) for i, v in enumerate(value)],
                "maxlen": value.maxlen,
            }
        if isinstance(value, list | tuple):
            return {
                type(value).__name__: [self._packed(f"{path}/{i}", v) for i, v in enumerate(value)]
            }
        raise TypeError(f"{path} is a {type(value).__name__}, which a checkpoint cannot hold")

    def _unpacked(self, packed: dict[str, Any]) -> Any:
        kind, value = next(iter(packed.items()))
        if kind == "v":
            return value
        if kind == "tensor":
            return torch.from_numpy(np.array(self.arrays[value]))
        if kind == "array":
            return np.array(self.arrays[value])
        if kind == "dict":
            return {k: self._unpacked(v) for k, v in value}
        items = [self._unpacked(v) for v in value]
        if kind == "deque":
            return deque(items, maxlen=packed["maxlen"])
        return tuple(items) if kind == "tuple" else items


def is_value(value: Any) -> bool:
    """Whether a value can be packed, including all its items."""
    if isinstance(value, (*Plain, np.generic, np.ndarray)) or (
        isinstance(value, torch.Tensor) and not value.requires_grad
    ):
        return True
    if isinstance(value, dict):
        return all(isinstance(k, str | int) and is_value(v) for k, v in value.items())
    return isinstance(value, list | tuple | deque) and all(is_value(v) for v in value)


def save(root: Any, skip: frozenset[str] = frozenset()) -> Tree:
    """The state of an algorithm."""
    tree = Tree()
    for path, value, _ in _Walk(skip).visit(root, ""):
        tree.pack(path, _state(value))
    return tree


def load(root: Any, tree: Tree, skip: frozenset[str] = frozenset()) -> None:
    """Restore a state into a new algorithm.

    Raises ValueError if they do not have the same structure.
    """
    here = list(_Walk(skip).visit(root, ""))
    missing = {path for path, _, _ in here} - set(tree.plain)
    if missing:
        raise ValueError(
            f"the saved state does not fit the algorithm: it lacks {sorted(missing)[0]}"
        )
    # attributes created during training
    for path in sorted(set(tree.plain) - {path for path, _, _ in here}):
        *owners, name = path.removeprefix(".").split(".")
        setattr(functools.reduce(getattr, owners, root), name, tree.unpack(path))
    for path, value, put in here:
        saved = tree.unpack(path)
        if isinstance(value, torch.nn.Module):
            value.load_state_dict(saved)
            if isinstance(value, Normalizer):  # it assumes that a loaded state has seen data
                value._first = bool(value._count == 0)
        elif isinstance(value, _SCHEDULED):
            value.load_state_dict(saved)
        elif isinstance(value, torch.Tensor) and value.requires_grad:
            # in place: optimisers and planners refer to this tensor
            value.data.copy_(saved)
        elif isinstance(value, torch.Tensor):
            put(saved.to(value.device))
        else:
            put(saved)


def _state(value: Any) -> Any:
    if isinstance(value, torch.nn.Module | torch.optim.Optimizer):
        return dict(value.state_dict())
    if isinstance(value, LRScheduler):
        return {k: v for k, v in value.state_dict().items() if is_value(v)}
    return value


Leaf = tuple[str, Any, Callable[[Any], None]]  # path, value, how to replace it


class _Walk:
    """A walk over an algorithm that visits each object once.

    It yields all that can change, in an order given by the structure alone.
    """

    def __init__(self, skip: frozenset[str]) -> None:
        self._skip = skip
        self._seen: set[int] = set()

    def visit(self, owner: Any, path: str) -> Iterator[Leaf]:
        """Leaves among an object's attributes and, recursively, in OmniSafe objects it holds."""
        for name, value in sorted(vars(owner).items()):
            here = f"{path}.{name}"
            if name in self._skip or _stays_as_it_is(value):
                continue
            if isinstance(value, _TORCH) or is_value(value):
                yield from self._leaf(owner, name, value, here)
            elif _is_theirs(value) and self._new(value):
                yield from self.visit(value, here)

    def _leaf(self, owner: Any, name: str, value: Any, path: str) -> Iterator[Leaf]:
        if isinstance(value, _TORCH) and not self._new(value):
            return
        yield path, value, lambda new: setattr(owner, name, new)
        if isinstance(value, torch.nn.Module):
            yield from self._within(value, path)

    def _within(self, module: torch.nn.Module, path: str) -> Iterator[Leaf]:
        """Leaves of a network other than its parameters.

        Optimisers, schedules, and numbers such as an exploration noise.
        """
        for name, value in sorted(vars(module).items()):
            number = isinstance(value, int | float) and name not in _OF_EVERY_NETWORK
            if number or (isinstance(value, _SCHEDULED) and self._new(value)):
                yield f"{path}.{name}", value, lambda new, name=name: setattr(module, name, new)
            elif _is_theirs(value) and self._new(value):  # such as the scaler of a dynamics model
                yield from self.visit(value, f"{path}.{name}")
        for name, child in module.named_children():
            yield from self._within(child, f"{path}.{name}")

    def _new(self, value: Any) -> bool:
        new = id(value) not in self._seen
        self._seen.add(id(value))
        return new


def _is_theirs(value: Any) -> bool:
    known = type(value).__module__.startswith(("omnisafe", "baselines"))
    return known and hasattr(value, "__dict__") and not isinstance(value, torch.nn.Module | type)


def _stays_as_it_is(value: Any) -> bool:
    if isinstance(value, _UNTOUCHED) or (
        isinstance(value, CMDP) and not isinstance(value, Wrapper)
    ):
        return True
    return callable(value) and not isinstance(value, torch.nn.Module)


def replays(root: Any) -> dict[str, OffPolicyBuffer]:
    """The replay buffers of an algorithm, by attribute."""
    return {
        name: value
        for name, value in sorted(vars(root).items())
        if isinstance(value, OffPolicyBuffer)
    }


def save_rng() -> Tree:
    """State of the random generators of the process, which OmniSafe uses."""
    tree = Tree()
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    tree.pack("numpy", [kind, keys, position, has_gauss, gauss])
    version, internal, gauss_next = random.getstate()
    tree.pack("python", [version, list(internal), gauss_next])
    tree.pack("torch", torch.get_rng_state())
    tree.pack("cuda", list(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else [])
    return tree


def load_rng(tree: Tree) -> None:
    """Restore the generators."""
    np.random.set_state(tuple(tree.unpack("numpy")))  # noqa: NPY002
    version, internal, gauss_next = tree.unpack("python")
    random.setstate((version, tuple(internal), gauss_next))
    torch.set_rng_state(tree.unpack("torch"))
    if states := tree.unpack("cuda"):
        torch.cuda.set_rng_state_all(states)


@contextmanager
def borrowed_rng(seed: int) -> Iterator[None]:
    """Context in which all generators start from `seed`.

    Their previous states are restored afterwards.
    """
    kept = save_rng()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        load_rng(kept)
