"""A clip of frames -> the same frames again, and the frames that come next: the STAE network.

Zhao et al.: Spatio-Temporal AutoEncoder for Video Anomaly Detection, ACM Multimedia 2017.

    clip  B C T H W
      encoder   conv 32, 48, 64 (each pooled by 2 in T, H and W), conv 64
    code  B 64 T/8 H/8 W/8
      decoder   transposed conv 48, 32, 32 (each doubling T, H and W), conv C, sigmoid
    clip  B C T H W           twice: one decoder reconstructs the past, one predicts the future

The channel plan is the one on which two public re-implementations agree; the slope of the leaky
rectifier, which the paper does not state, is theirs (PyAnomaly).
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float  # noqa: TC002 - read where shapes are checked
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (32, 48, 64, 64)
LEAKY_SLOPE = 0.2
SHRINKAGE = 8
"""T, H and W of a clip must be multiples of this: three poolings by two."""


class StaeOutput(NamedTuple):
    """reconstruction: of the T frames that went in. prediction: of the T frames after them."""

    reconstruction: Float[Tensor, "B C T H W"]
    prediction: Float[Tensor, "B C T H W"]


class Stae(nn.Module):
    """One encoder, two decoders of one shape with weights of their own.

    frame_channels: 1 for gray frames, 2 or 3 for optical flow. leaky_slope: ours to choose.
    """

    def __init__(self, *, frame_channels: int = 1, leaky_slope: float = LEAKY_SLOPE) -> None:
        super().__init__()
        self.encoder = Encoder(frame_channels, leaky_slope)
        self.reconstruct = Decoder(frame_channels, leaky_slope)
        self.predict = Decoder(frame_channels, leaky_slope)

    def forward(self, clip: Float[Tensor, "B C T H W"]) -> StaeOutput:
        """clip: pixels in [0, 1]; T, H and W are multiples of SHRINKAGE."""
        code = self.encoder(clip)
        return StaeOutput(self.reconstruct(code), self.predict(code))


class StaeReconstruction(nn.Module):
    """What serving needs of a trained STAE: anomalies are scored by reconstruction alone
    (section 4.2 of the paper), so the predicting decoder is left behind. Shares the weights."""

    def __init__(self, stae: Stae) -> None:
        super().__init__()
        self.encoder = stae.encoder
        self.reconstruct = stae.reconstruct

    def forward(self, clip: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        reconstruction: Tensor = self.reconstruct(self.encoder(clip))
        return reconstruction


class Encoder(nn.Sequential):
    """B C T H W -> B 64 T/8 H/8 W/8."""

    def __init__(self, frame_channels: int, leaky_slope: float) -> None:
        first, second, third, fourth = CHANNELS
        super().__init__(
            *_convolution(frame_channels, first, leaky_slope),
            nn.MaxPool3d(2),
            *_convolution(first, second, leaky_slope),
            nn.MaxPool3d(2),
            *_convolution(second, third, leaky_slope),
            nn.MaxPool3d(2),
            *_convolution(third, fourth, leaky_slope),
        )


class Decoder(nn.Sequential):
    """B 64 T/8 H/8 W/8 -> B C T H W, in [0, 1]."""

    def __init__(self, frame_channels: int, leaky_slope: float) -> None:
        first, second, _, code = CHANNELS
        super().__init__(
            *_doubling(code, second, leaky_slope),
            *_doubling(second, first, leaky_slope),
            *_doubling(first, first, leaky_slope),
            NarrowConvolution(first, frame_channels),
            nn.Sigmoid(),
        )


class NarrowConvolution(nn.Conv3d):
    """3 x 3 x 3, to very few channels: the same function, learnt six times as fast on a CPU.

    oneDNN has no fast gradient for so few output channels, which made this layer a third of a
    training step. Seen as the transposed convolution with the mirrored kernel, it has one.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, padding=1)

    def forward(self, features: Float[Tensor, "B K T H W"]) -> Float[Tensor, "B C T H W"]:
        if not self.training:
            return super().forward(features)
        mirrored = self.weight.flip(2, 3, 4).transpose(0, 1)
        return functional.conv_transpose3d(features, mirrored, self.bias, padding=1)


def _convolution(
    channels_in: int, channels_out: int, leaky_slope: float
) -> tuple[nn.Module, nn.Module, nn.Module]:
    return (
        nn.Conv3d(channels_in, channels_out, kernel_size=3, padding=1),
        nn.BatchNorm3d(channels_out),
        nn.LeakyReLU(leaky_slope),
    )


def _doubling(
    channels_in: int, channels_out: int, leaky_slope: float
) -> tuple[nn.Module, nn.Module, nn.Module]:
    return (
        nn.ConvTranspose3d(
            channels_in, channels_out, kernel_size=3, stride=2, padding=1, output_padding=1
        ),
        nn.BatchNorm3d(channels_out),
        nn.LeakyReLU(leaky_slope),
    )
