"""The contract for environment outputs: real scalars, and finite observations with the declared
keys, shapes, kinds and bounds.

Values from a user's environment are checked where they are converted (`real`, `flag`,
`ObsContract`), so that no conversion loses precision silently and the simulator step is known.
Outputs of every environment are checked once per batch of steps (`check_batch`). An error states
what was sent and what is valid; the caller adds environment and episode.

Shapes: E environments.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from benchmarks.envs.errors import EnvContractError

FLOAT32_MAX = float(np.finfo(np.float32).max)
RELATIVE, ABSOLUTE = 1e-5, 1e-6  # tolerance for values that rounding moved beyond a bound
EXACT_INTEGERS = 2**24  # up to here float32 holds every integer
REALS, INTEGERS = "fiub", "iub"  # kinds of NumPy dtypes

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 80


def shown(value: Any) -> str:
    """A value abbreviated to one short line."""
    return " ".join(_shown.repr(value).split())


def real(name: str, value: Any) -> float:
    """The value as a float.

    Raises EnvContractError unless it is one real number that float32 holds.
    """
    if type(value) is not float:
        array = _as_array(value)
        if array is None or array.ndim or array.dtype.kind not in REALS:
            raise EnvContractError(
                f"the {name} must be one number (write float(...)), got {type(value).__name__} "
                f"{shown(value)}"
            )
        value = float(array)
    if not -FLOAT32_MAX <= value <= FLOAT32_MAX:  # NaN too
        raise EnvContractError(
            f"the {name} must be finite and at most {FLOAT32_MAX:.2g} in size, got {value}"
        )
    return value


def flag(name: str, value: Any) -> bool:
    """The value as a bool. Raises EnvContractError unless it is one, or an integer 0 or 1."""
    if type(value) is bool:
        return value
    array = _as_array(value)
    if array is None or array.ndim or array.dtype.kind not in INTEGERS or int(array) not in (0, 1):
        raise EnvContractError(
            f"{name} must be True or False (write bool(...)), got {type(value).__name__} "
            f"{shown(value)}"
        )
    return bool(array)


def _as_array(value: Any) -> np.ndarray | None:
    """The value as an array; None if it is ragged or not plain data."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return None if array.dtype.hasobject else array


class _Part(NamedTuple):
    """One declared array.

    `low` and `high` are float64, those of floats widened by the tolerance.
    """

    declared: np.dtype
    sent_as: np.dtype
    low: np.ndarray
    high: np.ndarray


class ObsContract:
    """Checks observations against their declared spaces and converts them to the agents' dtypes.

    Args:
        spaces: key -> declared Box.
        dtypes: key -> dtype passed to agents, uint8 or float32.
    """

    def __init__(self, spaces: Mapping[str, Any], dtypes: Mapping[str, np.dtype]) -> None:
        self._parts = {key: self._part(box, np.dtype(dtypes[key])) for key, box in spaces.items()}

    @staticmethod
    def _part(box: Any, sent_as: np.dtype) -> _Part:
        low, high = box.low.astype(np.float64), box.high.astype(np.float64)
        if sent_as != np.uint8:
            low = np.maximum(low - RELATIVE * np.abs(low) - ABSOLUTE, -FLOAT32_MAX)
            high = np.minimum(high + RELATIVE * np.abs(high) + ABSOLUTE, FLOAT32_MAX)
        return _Part(box.dtype, sent_as, low, high)

    def __call__(self, obs: Any) -> dict[str, np.ndarray]:
        """The observation as new arrays under the declared keys.

        Raises EnvContractError naming key and value.
        """
        if not isinstance(obs, Mapping):
            raise EnvContractError(
                f"the observation must be a dict with the keys {_listed(self._parts)}, got "
                f"{_what(obs)}"
            )
        if obs.keys() != self._parts.keys():
            raise EnvContractError(
                f"the observation has the keys {_listed(obs)}, its space declares "
                f"{_listed(self._parts)}; send these, always"
            )
        return {key: self._checked(key, obs[key], part) for key, part in self._parts.items()}

    def single(self, obs: Any) -> dict[str, np.ndarray]:
        """The same for an environment whose space is a single Box."""
        ((key, part),) = self._parts.items()
        return {key: self._checked(key, obs, part)}

    def _checked(self, key: str, value: Any, part: _Part) -> np.ndarray:
        array = _as_array(value)
        kinds = REALS if part.declared.kind == "f" else INTEGERS
        if array is None or array.dtype.kind not in kinds:
            sent = _what(value) if array is None else f"{array.dtype} {shown(value)}"
            hint = (
                "; images are integers from 0 to 255: (255 * image).astype(numpy.uint8)"
                if part.sent_as == np.uint8
                else ""
            )
            raise EnvContractError(
                f"observation {key!r} must hold {part.declared}, as its space declares, got "
                f"{sent}{hint}"
            )
        if array.shape != part.low.shape:
            raise EnvContractError(
                f"observation {key!r} has shape {array.shape}, its space says {part.low.shape}"
            )
        if not array.dtype == part.sent_as == np.uint8:  # whose bounds the dtype enforces
            inside = (array >= part.low) & (array <= part.high)  # false for NaN
            if not inside.all():
                self._refuse(key, array, inside, part)
            if (
                array.dtype.kind != "f"
                and array.dtype.itemsize > 2
                and (abs(array.astype(np.float64)) > EXACT_INTEGERS).any()
            ):
                raise EnvContractError(
                    f"observation {key!r} holds an integer beyond {EXACT_INTEGERS:,}, which "
                    "agents' float32 would round: scale it"
                )
        return array.astype(part.sent_as)  # a copy: the environment may reuse its buffer

    @staticmethod
    def _refuse(key: str, array: np.ndarray, inside: np.ndarray, part: _Part) -> NoReturn:
        index = tuple(int(i) for i in np.argwhere(~inside)[0])
        value, where = array[index], f"{key!r}{list(index) if index else ''}"
        if not np.isfinite(value):
            raise EnvContractError(f"observation {where} is {value}: it must be finite")
        raise EnvContractError(
            f"observation {where} is {value}, outside its space's bounds {part.low[index]:.6g} to "
            f"{part.high[index]:.6g}"
        )


def _what(value: Any) -> str:
    return f"{type(value).__name__} {shown(value)}"


def _listed(keys: Any) -> str:
    return ", ".join(sorted(map(str, keys))) or "none"


class Violation(NamedTuple):
    """Which row of a batch breaks the contract, and how."""

    env: int
    message: str


def check_batch(
    declared: Mapping[str, tuple[tuple[int, ...], np.dtype]],
    obs: Mapping[str, np.ndarray],
    reward: np.ndarray,
    cost: np.ndarray,
) -> Violation | None:
    """The first violation in a batch: obs[key] [E, *shape], reward [E] and cost [E].

    All must have the declared shape and dtype and be finite.
    """
    for key, (shape, dtype) in declared.items():
        array = obs[key]
        if array.shape[1:] != shape or array.dtype != dtype:
            return Violation(
                0,
                f"observation {key!r} is {array.dtype} {array.shape[1:]}, declared {dtype} {shape}",
            )
        if dtype.kind == "f" and not np.isfinite(array).all():
            return _not_finite(f"observation {key!r}", array)
    if not np.isfinite(reward).all():
        return _not_finite("the reward", reward)
    if not np.isfinite(cost).all():
        return _not_finite("the cost", cost)
    return None


def _not_finite(what: str, array: np.ndarray) -> Violation:
    env, *rest = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return Violation(env, f"{what}{rest or ''} is {array[(env, *rest)]}: it must be finite")


def stack(key: str, rows: Sequence[np.ndarray]) -> np.ndarray:
    """Stack the arrays of E environments into one [E, ...].

    Raises EnvContractError if their shapes differ.
    """
    try:
        return np.stack(rows)
    except ValueError as error:
        raise EnvContractError(
            f"observation {key!r} has different shapes: "
            f"{', '.join(str(np.shape(row)) for row in rows)}"
        ) from error
