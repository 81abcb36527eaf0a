"""The frames of an epoch, each stored once as bytes.

OmniSafe handles tickets in their place.

OmniSafe stores observations as float32 rows. A stack of three frames of two cameras takes 288 KB,
an epoch 5.9 GB. A ticket is the number of the slot that holds a frame, so that rows are as wide as
the stack and an epoch takes 0.5 GB; the encoder looks the frames up. Wrappers, buffers and updates
copy, shuffle, slice and extend tickets like any vector.

Shapes: E environments, K frames in a stack, D bytes of a frame [H, W, C]; slots hold [C, H, W].
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from agents.replay.storage import available_memory_bytes
from baselines.omnisafe.vision import frame_slots

_EXACT = 2**24  # integers up to here are exact in float32


class Frames:
    """Frames of an epoch, and the stack of each environment.

    Call `clear` at the start of an epoch, `begin` for first frames and `push` after each action.

    Each environment has one slot per action, one more, and one for the last frames of episodes,
    which are in no row of the buffer and are used only once, to compute their value.
    """

    def __init__(
        self,
        frame: tuple[int, int, int],
        stack: int,
        steps_per_epoch: int,
        num_envs: int,
        device: torch.device,
    ) -> None:
        height, width, channels = frame
        slots = frame_slots(steps_per_epoch, num_envs)
        needed = slots * height * width * channels
        available = (
            available_memory_bytes() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
        )
        if needed > available:
            raise ValueError(
                f"the frames of an epoch of {steps_per_epoch} actions take {needed / 1e9:.1f} "
                f"GB, and {available / 1e9:.1f} GB are available: choose a smaller "
                "--algo-cfgs.steps-per-epoch"
            )
        if slots > _EXACT:
            raise ValueError(
                f"algo_cfgs.steps_per_epoch={steps_per_epoch}: at most {_EXACT} frames can be "
                "numbered"
            )
        self.stack = stack
        self._frame = frame
        self._pixels = torch.zeros(
            (slots, channels, height, width), dtype=torch.uint8, device=device
        )
        size = slots // num_envs
        self._first = size * np.arange(num_envs)  # first slot of each environment
        self._final = self._first + size - 1
        self.clear()

    def clear(self) -> None:
        """Start a new epoch and discard all frames."""
        self._newest = self._first - 1
        # whether the newest frame has been acted on, so that a row of the buffer refers to it
        self._acted = np.ones(len(self._first), bool)
        self._tickets = np.zeros((len(self._first), self.stack), np.int64)

    def begin(self, which: np.ndarray, frames: np.ndarray) -> None:
        """Add first frames [E, D] of episodes where marked [E]; they fill their stacks."""
        self._newest = np.where(which & self._acted, self._newest + 1, self._newest)
        self._acted &= ~which
        self._put(self._newest[which], frames[which])
        self._tickets[which] = self._newest[which, None]

    def push(self, frames: np.ndarray, ended: np.ndarray) -> None:
        """Add the frames [E, D] after one action each; `ended` [E] marks last ones of episodes."""
        self._newest = np.where(ended, self._newest, self._newest + 1)
        self._acted = ended.copy()
        slots = np.where(ended, self._final, self._newest)
        self._put(slots, frames)
        self._tickets = np.concatenate([self._tickets[:, 1:], slots[:, None]], axis=1)

    def tickets(self) -> np.ndarray:
        """The stacks of all environments as tickets, float32 [E, K], oldest first."""
        return self._tickets.astype(np.float32)

    def look_up(self, tickets: torch.Tensor) -> torch.Tensor:
        """Images [N, K * C, H, W], as bytes, for tickets [N, K]."""
        return self._pixels[tickets.long()].flatten(1, 2)

    @contextmanager
    def showing(self, stacks: np.ndarray) -> Iterator[np.ndarray]:
        """Context in which frames `stacks` [N, K, D] are looked up; yields their tickets [N, K]."""
        kept, count = self._pixels, stacks.shape[0] * stacks.shape[1]
        self._pixels = self._pictures(stacks.reshape(count, -1))
        try:
            yield np.arange(count, dtype=np.float32).reshape(stacks.shape[:2])
        finally:
            self._pixels = kept

    def _put(self, slots: np.ndarray, frames: np.ndarray) -> None:
        self._pixels[torch.as_tensor(slots, device=self._pixels.device)] = self._pictures(frames)

    def _pictures(self, frames: np.ndarray) -> torch.Tensor:
        """Frames [N, D] as images [N, C, H, W] on the device."""
        pictures = torch.as_tensor(np.ascontiguousarray(frames)).reshape(-1, *self._frame)
        return pictures.permute(0, 3, 1, 2).to(self._pixels.device)
