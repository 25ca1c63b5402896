"""Person crops (B, 3, 144, 56) -> features (B, 256): an omni-scale network (Zhou et al.,
"Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019), made for machines without a
GPU.

From the paper: blocks that look at four scales at once and let one gate, a function of the picture
itself, weigh the channels of each; a shallow network that is trained from scratch. Ours, because
a training step on a CPU waits for memory more than for arithmetic, so that a depthwise convolution
takes as long as a dense one of sixteen times the work:
- convolutions are dense and narrow, not split into pointwise and depthwise ones;
- the streams share what they have in common. The paper's stream t is t convolutions of its own,
  ten in all; here each is the one before and one convolution more, four in all;
- horizontal stripes are pooled apart, so that a shirt is not averaged with trousers (Sun et al.,
  "Beyond Part Models", ECCV 2018), and together make one feature of 256;
- the feature is normalised before it is classified, while the triplet loss sees it before (the
  BNNeck of Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person Re-identification",
  CVPR Workshops 2019).
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float  # noqa: TC002 - read where shapes are checked
from torch import Tensor, nn
from torch.nn import functional

from services.reid.models.conv_unit import ConvUnit

FEATURES = 256
"""Length of the feature."""

SCALES = 4
"""Streams of a block: receptive fields of 3, 5, 7 and 9 on a side."""

STRIPES = 3
"""Of which the last maps, 9 rows of a crop of 144, are divided."""


class Linear1x1(nn.Sequential):
    """Convolution of one pixel and batch normalisation, without an activation."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
        )


class AggregationGate(nn.Module):
    """The paper's unified aggregation gate: what of each channel a stream passes on, 0 to 1, found
    from the stream's mean over the picture. One gate serves all streams."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(channels // reduction, 8))
        self.excite = nn.Linear(max(channels // reduction, 8), channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        share = torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean(dim=(2, 3))))))
        gated: Tensor = x * share[:, :, None, None]
        return gated


class OmniScaleBlock(nn.Module):
    """Four scales of a narrow middle, gated and added, beside the input itself."""

    def __init__(self, channels_in: int, channels_out: int, middle: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(channels_in, middle, kernel=1)
        self.scales = nn.ModuleList(ConvUnit(middle, middle, kernel=3) for _ in range(SCALES))
        self.gate = AggregationGate(middle)
        self.expand = Linear1x1(middle, channels_out)
        self.shortcut = (
            nn.Identity() if channels_in == channels_out else Linear1x1(channels_in, channels_out)
        )

    def forward(self, x: Float[Tensor, "B C_in H W"]) -> Float[Tensor, "B C_out H W"]:
        stream = self.reduce(x)
        gated = []
        for convolution in self.scales:
            stream = convolution(stream)
            gated.append(self.gate(stream))
        together = functools.reduce(torch.add, gated)
        out: Tensor = functional.relu(self.expand(together) + self.shortcut(x))
        return out


class OsNet(nn.Module):
    """The network. `classifier` exists for training alone."""

    def __init__(self, *, identities: int) -> None:
        """identities: classes of the softmax."""
        super().__init__()
        self.stem = nn.Sequential(
            ConvUnit(3, 24, kernel=3, stride=2), ConvUnit(24, 48, kernel=3, stride=2)
        )
        self.stage_1 = OmniScaleBlock(48, 96, 24)
        self.stage_2 = nn.Sequential(OmniScaleBlock(96, 192, 48), OmniScaleBlock(192, 192, 48))
        self.stage_3 = nn.Sequential(OmniScaleBlock(192, 320, 80), OmniScaleBlock(320, 320, 80))
        # 7 columns become 4, as in MSP-CNN.
        self.halve = nn.MaxPool2d(3, stride=2, padding=1)
        self.stripes = nn.AdaptiveAvgPool2d((STRIPES, 1))
        self.project = nn.Linear(320 * STRIPES, FEATURES, bias=False)
        self.neck = nn.BatchNorm1d(FEATURES)
        self.classifier = nn.Linear(FEATURES, identities, bias=False)

    def spatial(self, crops: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 320 H_3 W_3"]:
        """The last maps before pooling; 9x4 of a crop of 144x56."""
        x = self.stage_1(self.stem(crops))
        x = self.stage_2(self.halve(x))
        maps: Tensor = self.stage_3(self.halve(x))
        return maps

    def embed(self, crops: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 256"]:
        """The feature that distances are learnt on."""
        feature: Tensor = self.project(self.stripes(self.spatial(crops)).flatten(1))
        return feature

    def forward(self, crops: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 256"]:
        """crops: normalised pixels -> the normalised feature, which is compared at test and
        classified in training; not yet of unit length."""
        feature: Tensor = self.neck(self.embed(crops))
        return feature
