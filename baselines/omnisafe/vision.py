"""Settings of the image encoder in front of OmniSafe's networks, and its memory requirements.

Imports neither torch nor OmniSafe. OmniSafe has no encoder and publishes no results on images: the
layers are those of Mnih et al. 2015 (Nature 518, p. 529), three convolutions and a linear layer, as
in most published model-free agents on images.

Shapes: a frame is [H, W, C], with the cameras of one observation side by side in C.
"""

from __future__ import annotations

import dataclasses

# Frame stacks encoded at once; larger batches are encoded in parts, and again for their gradients.
# The pixels of a part are 19 MB: from 32 MB on, glibc returns memory to the system after each use.
CHUNK = 64


@dataclasses.dataclass(frozen=True)
class VisionConfig:
    """Encoder of each network; actor, reward critic and cost critic each have their own."""

    frame_stack: int = 3  # last frames in a network's input, its only memory
    channels: tuple[int, ...] = (32, 64, 64)  # output channels of each convolution
    kernels: tuple[int, ...] = (8, 4, 3)  # kernel size of each convolution, in pixels
    strides: tuple[int, ...] = (4, 2, 1)
    features: int = 512  # outputs of the encoder, the input of OmniSafe's MLP

    def __post_init__(self) -> None:
        if self.frame_stack < 1 or self.features < 1:
            raise ValueError(
                f"vision.frame_stack={self.frame_stack} and vision.features={self.features} "
                "must be at least 1"
            )
        layers = {name: getattr(self, name) for name in ("channels", "kernels", "strides")}
        if len({len(sizes) for sizes in layers.values()}) > 1 or not self.channels:
            raise ValueError(
                "vision.channels, kernels and strides must have one number for each layer, not "
                f"{layers}"
            )
        for name, sizes in layers.items():
            if min(sizes) < 1:
                raise ValueError(f"vision.{name}={sizes} must be at least 1")

    def pictures(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width after each convolution.

        Raises ValueError if the image is too small for them.
        """
        sizes = []
        for kernel, stride in zip(self.kernels, self.strides):
            if min(height, width) < kernel:
                raise ValueError(
                    f"vision.kernels={self.kernels}, strides={self.strides}: a picture of "
                    f"{height} x {width} is left before a kernel of {kernel}; choose smaller "
                    "ones"
                )
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            sizes.append((height, width))
        return sizes


def frame_slots(steps_per_epoch: int, num_envs: int) -> int:
    """Number of frames kept in an epoch.

    One per action, and per environment a first one and one for the end of episodes.
    """
    return steps_per_epoch + 2 * num_envs


def encoding_bytes(config: VisionConfig, frame: tuple[int, int, int]) -> int:
    """Memory to encode one frame stack, in bytes.

    Pixels as float32, and the values before and after every activation.
    """
    height, width, cameras = frame
    sizes = config.pictures(height, width)
    values = (
        sum(2 * channels * h * w for channels, (h, w) in zip(config.channels, sizes))
        + 2 * config.features
    )
    return 4 * (height * width * cameras * config.frame_stack + values)
