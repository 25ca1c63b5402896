"""The layer that every network of this room is made of."""

from __future__ import annotations

from torch import nn


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1
    ) -> None:
        # A bias would be taken away again by the normalisation that follows.
        super().__init__(
            nn.Conv2d(
                channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False
            ),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )
