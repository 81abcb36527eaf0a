"""An image encoder in front of the networks that OmniSafe builds.

It takes tickets, looks up their frames and passes features to OmniSafe's MLP.

OmniSafe's actors and critics build their networks with one function. While an algorithm is created
within `encoding`, that function returns encoder and MLP as one network, so that the optimisers,
trust regions, gradient norms and weight penalties of every algorithm apply to the encoder too. No
class of OmniSafe is changed.

Shapes: K frames in a stack; entries that an algorithm appends to tickets (the safety budget of
Saute and Simmer) bypass the encoder.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omnisafe.models.actor import gaussian_learning_actor, gaussian_sac_actor, mlp_actor
from omnisafe.models.critic import v_critic
from omnisafe.utils.model import build_mlp_network, initialize_layer
from torch import nn
from torch.utils.checkpoint import checkpoint

from baselines.omnisafe.frames import Frames
from baselines.omnisafe.vision import CHUNK, VisionConfig

BUILDERS = (gaussian_learning_actor, gaussian_sac_actor, mlp_actor, v_critic)


class Encoded(nn.Module):
    """A network on stacks of frames.

    `look_up` returns images [N, K * C, H, W] for tickets [N, K].
    """

    def __init__(
        self,
        config: VisionConfig,
        frame: tuple[int, int, int],
        look_up: Callable[[torch.Tensor], torch.Tensor],
        mlp: nn.Module,
    ) -> None:
        super().__init__()
        height, width, cameras = frame
        self._stack, self._look_up = config.frame_stack, look_up
        layers: list[nn.Module] = []
        before = cameras * config.frame_stack
        for channels, kernel, stride in zip(config.channels, config.kernels, config.strides):
            layers += [_drawn(nn.Conv2d(before, channels, kernel, stride)), nn.ReLU()]
            before = channels
        height, width = config.pictures(height, width)[-1]
        self.encoder = nn.Sequential(
            *layers,
            nn.Flatten(),
            _drawn(nn.Linear(before * height * width, config.features)),
            nn.ReLU(),
        )
        self.mlp = mlp

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Outputs [..., O] for observations [..., K + extra]."""
        rows = obs.reshape(-1, obs.shape[-1])
        tickets, extra = rows[:, : self._stack], rows[:, self._stack :]
        # Natural gradients use whole epochs: recompute activations in the backward pass, part by
        # part.
        recompute = torch.is_grad_enabled() and len(rows) > CHUNK
        features = [
            self._recomputed(part) if recompute else self._features(part)
            for part in tickets.split(CHUNK)
        ]
        return self.mlp(torch.cat([torch.cat(features), extra], dim=1)).reshape(*obs.shape[:-1], -1)

    def _recomputed(self, tickets: torch.Tensor) -> torch.Tensor:
        features: Any = checkpoint(
            self._features, tickets, use_reentrant=False, preserve_rng_state=False
        )
        return features

    def _features(self, tickets: torch.Tensor) -> torch.Tensor:
        return self.encoder(self._look_up(tickets).float().div_(255.0).sub_(0.5))


def _drawn(layer: Any) -> Any:
    """Initialise with orthogonal weights, as usual for encoders of on-policy agents.

    OmniSafe's setting applies to its own layers only.
    """
    initialize_layer("orthogonal", layer)
    nn.init.zeros_(layer.bias)
    return layer


@contextmanager
def encoding(config: VisionConfig, frame: tuple[int, int, int], frames: Frames) -> Iterator[None]:
    """Context in which OmniSafe builds networks with an encoder on tickets of `frames`."""

    def build(sizes: list[int], *args: Any, **kwargs: Any) -> nn.Module:
        extra = sizes[0] - config.frame_stack
        return Encoded(
            config,
            frame,
            frames.look_up,
            build_mlp_network([config.features + extra, *sizes[1:]], *args, **kwargs),
        )

    for module in BUILDERS:
        vars(module)["build_mlp_network"] = build
    try:
        yield
    finally:
        for module in BUILDERS:
            vars(module)["build_mlp_network"] = build_mlp_network
