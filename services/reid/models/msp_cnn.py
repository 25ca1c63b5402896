"""Person crops (B, 3, 144, 56) -> FC7 features (B, 256): MSP-CNN (Shen et al., "Multi-level
Similarity Perception for Person Re-identification", ACM MM 2017).

The backbone is the network of Xiao et al., "Learning Deep Feature Representations with Domain
Guided Dropout for Person Re-identification" (CVPR 2016), at half its width: MSP-CNN's Table 1
names the same layers and gives 16, 128, 192, 256, 384, 512, 768 channels. How an inception block
divides its channels among its branches is therefore taken from the CVPR network and halved.
"""

from __future__ import annotations

import torch
from jaxtyping import Float  # noqa: TC002 - read where shapes are checked
from torch import Tensor, nn

from services.reid.models.conv_unit import ConvUnit

FEATURES = 256
"""Length of FC7."""

INPUT_HEIGHT, INPUT_WIDTH = 144, 56


class Inception(nn.Module):
    """Blocks 1a, 2a, 3a: four branches of `width` channels each, at the input's size."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__()
        self.single = ConvUnit(channels_in, width, kernel=1)
        self.triple = nn.Sequential(
            ConvUnit(channels_in, width, kernel=1), ConvUnit(width, width, kernel=3)
        )
        self.double_triple = nn.Sequential(
            ConvUnit(channels_in, width, kernel=1),
            ConvUnit(width, width, kernel=3),
            ConvUnit(width, width, kernel=3),
        )
        self.pooled = nn.Sequential(
            nn.AvgPool2d(3, stride=1, padding=1), ConvUnit(channels_in, width, kernel=1)
        )
        self.channels_out = 4 * width

    def forward(self, x: Float[Tensor, "B C_in H W"]) -> Float[Tensor, "B C_out H W"]:
        return torch.cat(
            [self.single(x), self.triple(x), self.double_triple(x), self.pooled(x)], dim=1
        )


class InceptionDown(nn.Module):
    """Blocks 1b, 2b, 3b: two branches of `width` channels and the max-pooled input, at half its
    size."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__()
        self.triple = nn.Sequential(
            ConvUnit(channels_in, width, kernel=1), ConvUnit(width, width, kernel=3, stride=2)
        )
        self.double_triple = nn.Sequential(
            ConvUnit(channels_in, width, kernel=1),
            ConvUnit(width, width, kernel=3),
            ConvUnit(width, width, kernel=3, stride=2),
        )
        # Padding 1 stands for the original's rounding up: 7 columns become 4.
        self.pooled = nn.MaxPool2d(3, stride=2, padding=1)
        self.channels_out = 2 * width + channels_in

    def forward(self, x: Float[Tensor, "B C_in H W"]) -> Float[Tensor, "B C_out H_out W_out"]:
        return torch.cat([self.triple(x), self.double_triple(x), self.pooled(x)], dim=1)


class Fc7(nn.Sequential):
    """768 pooled channels -> 256, normalised over the batch. Its output is what identifies."""

    def __init__(self, channels_in: int) -> None:
        super().__init__(nn.Linear(channels_in, FEATURES, bias=False), nn.BatchNorm1d(FEATURES))


class MspCnn(nn.Module):
    """The network. `fc8` exists for training alone; without it there are 1.79 M parameters."""

    def __init__(self, *, identities: int, dropout: float = 0.5) -> None:
        """identities: classes of the softmax. dropout: before fc8, as in the CVPR network."""
        super().__init__()
        self.conv1 = ConvUnit(3, 16, kernel=3)
        self.conv2 = ConvUnit(16, 16, kernel=3)
        self.conv3 = ConvUnit(16, 16, kernel=3)
        self.pool1 = nn.MaxPool2d(2, stride=2)
        self.inception_1a = Inception(16, 32)
        self.inception_1b = InceptionDown(128, 32)
        self.inception_2a = Inception(192, 64)
        self.inception_2b = InceptionDown(256, 64)
        self.inception_3a = Inception(384, 128)
        self.inception_3b = InceptionDown(512, 128)
        self.fc7 = Fc7(768)
        self.activate = nn.Sequential(nn.ReLU(), nn.Dropout(dropout))
        self.fc8 = nn.Linear(FEATURES, identities)

    def low_level(self, crops: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 16 H_1 W_1"]:
        """Pool1: the maps that the low-level loss compares; 72x28 of a crop of 144x56."""
        maps: Tensor = self.pool1(self.conv3(self.conv2(self.conv1(crops))))
        return maps

    def spatial(self, pool1: Float[Tensor, "B 16 H_1 W_1"]) -> Float[Tensor, "B 768 H_3 W_3"]:
        """The last maps before pooling; 9x4 of a crop of 144x56."""
        x = self.inception_1b(self.inception_1a(pool1))
        x = self.inception_2b(self.inception_2a(x))
        maps: Tensor = self.inception_3b(self.inception_3a(x))
        return maps

    def high_level(self, pool1: Float[Tensor, "B 16 H_1 W_1"]) -> Float[Tensor, "B 256"]:
        """FC7 after normalisation, before its ReLU: the feature that is compared at test."""
        feature: Tensor = self.fc7(self.spatial(pool1).mean(dim=(2, 3)))
        return feature

    def classify(self, feature: Float[Tensor, "B 256"]) -> Float[Tensor, "B identities"]:
        logits: Tensor = self.fc8(self.activate(feature))
        return logits

    def forward(self, crops: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 256"]:
        """crops: normalised pixels, 144x56 in the paper -> FC7, not yet of unit length."""
        return self.high_level(self.low_level(crops))


def shrunk(crops: Float[Tensor, "B 3 H W"], factor: int) -> Float[Tensor, "B 3 H_k W_k"]:
    """Averaged down by a whole factor."""
    return crops if factor == 1 else nn.functional.avg_pool2d(crops, factor)


class UnitVectors(nn.Module):
    """What is exported: crops averaged down to what the network was trained on, and its features
    brought to unit length, so that their dot product is their cosine."""

    def __init__(self, network: nn.Module, shrink: int = 1) -> None:
        super().__init__()
        self.network = network
        self.shrink = shrink

    def forward(self, crops: Float[Tensor, "B 3 144 56"]) -> Float[Tensor, "B 256"]:
        features = self.network(shrunk(crops, self.shrink))
        vectors: Tensor = nn.functional.normalize(features, dim=1)
        return vectors
