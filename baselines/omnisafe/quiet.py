"""OmniSafe without files and console output.

Logged values are kept in memory and returned at the end of an epoch.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omnisafe.adapter import onpolicy_adapter
from omnisafe.algorithms.model_based.base import pets
from omnisafe.algorithms.off_policy import ddpg
from omnisafe.algorithms.on_policy.base import policy_gradient
from omnisafe.algorithms.on_policy.first_order import cup, focops
from omnisafe.common.logger import Logger
from omnisafe.utils.config import Config

WITH_LOGGER = (policy_gradient, ddpg, pets)
WITH_BARS = (policy_gradient, onpolicy_adapter, focops, cup)


class EpochLogger(Logger):
    """Keeps statistics like OmniSafe's logger, but writes nothing.

    `on_store` is called for every value, hence also during updates.
    """

    def __init__(self, on_store: Callable[[], None], **options: Any) -> None:
        config: Config | None = options.get("config")
        self._maste_proc = False  # OmniSafe's spelling; guards all its files and prints
        self._on_store = on_store
        self._epoch, self._first_row = 0, True
        self._data, self._current_row = {}, {}
        self._headers_windows, self._headers_minmax, self._headers_delta = {}, {}, {}
        self._use_tensorboard = self._use_wandb = False
        if config is not None:
            self._config = config

    def store(self, data: dict[str, Any] | None = None, /, **kwargs: Any) -> None:
        """Store values of an epoch."""
        self._on_store()
        super().store(data, **kwargs)

    def end_epoch(self) -> dict[str, float]:
        """Statistics of the values stored in this epoch; starts a new one."""
        # registered but never stored: would be NaN
        silent = {key for key, values in self._data.items() if not values}
        self._update_current_row()
        self._epoch += 1
        return {
            key: value
            for key, value in self._current_row.items()
            if not any(_of(key, name) for name in silent)
        }

    def log(self, msg: str, color: str = "green", bold: bool = False) -> None:
        """Does nothing."""

    def torch_save(self) -> None:
        """Does nothing: the caller saves checkpoints."""


def _of(key: str, name: str) -> bool:
    return key in (name, *(f"{name}/{part}" for part in ("Min", "Max", "Std", "Delta")))


def _plain(items: Iterable[Any], *_: Any, **__: Any) -> Iterable[Any]:
    return items


@contextmanager
def quiet(on_store: Callable[[], None]) -> Iterator[None]:
    """Context in which algorithms are created with an `EpochLogger`.

    Disables progress bars in this process permanently.
    """
    before = [(module, module.Logger) for module in WITH_LOGGER]
    for module in WITH_LOGGER:
        vars(module)["Logger"] = lambda **options: EpochLogger(on_store, **options)
    for module in WITH_BARS:
        vars(module)["track"] = _plain
    try:
        yield
    finally:
        for module, logger in before:
            vars(module)["Logger"] = logger


def settle_process(device: str, threads: int) -> None:
    """Set up the process as OmniSafe's entry point does, but always select a GPU by number."""
    torch.set_num_threads(threads)
    if device != "cpu":
        torch.cuda.set_device(device)
    os.environ["OMNISAFE_DEVICE"] = device
