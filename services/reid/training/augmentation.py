"""Resized crops, uint8 (B, 160, 64, 3) -> network inputs, float32 (B, 3, 144, 56)."""

from __future__ import annotations

import math

import torch

from services.reid.models.msp_cnn import INPUT_HEIGHT, INPUT_WIDTH
from services.reid.training.settings import MEAN, STD


def random_crops(pixels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """A random 144x56 window of each crop, about every second one mirrored."""
    batch, height, width, _ = pixels.shape
    tops = torch.randint(height - INPUT_HEIGHT + 1, (batch,), generator=rng)
    lefts = torch.randint(width - INPUT_WIDTH + 1, (batch,), generator=rng)
    mirrored = torch.rand(batch, generator=rng) < 0.5
    # Copies of windows: gathering them by index takes four times as long.
    cut = torch.empty(batch, INPUT_HEIGHT, INPUT_WIDTH, 3)
    for n, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
        window = pixels[n, top : top + INPUT_HEIGHT, left : left + INPUT_WIDTH]
        cut[n] = window.flip(1) if mirrored[n] else window
    return _normalised(cut)


def erased(crops: torch.Tensor, share: float, rng: torch.Generator) -> torch.Tensor:
    """About that share of the normalised crops, each with a rectangle of 2 to 30 % of its area, up
    to three times as long one way as the other, blotted out with the mean colour."""
    batch, _, height, width = crops.shape
    area = (0.02 + 0.28 * torch.rand(batch, generator=rng)) * height * width
    aspect = torch.exp((2 * torch.rand(batch, generator=rng) - 1) * math.log(3.0))
    tall = (area * aspect).sqrt().round().clamp(1, height)
    wide = (area / aspect).sqrt().round().clamp(1, width)
    tall = torch.where(torch.rand(batch, generator=rng) < share, tall, torch.zeros(()))
    top = (torch.rand(batch, generator=rng) * (height - tall + 1)).floor()
    left = (torch.rand(batch, generator=rng) * (width - wide + 1)).floor()
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    # Normalised pixels have the mean colour at 0.
    return crops.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0.0)


def centre_crops(pixels: torch.Tensor) -> torch.Tensor:
    """The middle of each crop, as at test."""
    top = (pixels.shape[1] - INPUT_HEIGHT) // 2
    left = (pixels.shape[2] - INPUT_WIDTH) // 2
    return _normalised(pixels[:, top : top + INPUT_HEIGHT, left : left + INPUT_WIDTH].float())


def _normalised(cut: torch.Tensor) -> torch.Tensor:
    """(B, 144, 56, 3) from 0 to 255, which it overwrites -> (B, 3, 144, 56), in the memory of
    channels_last."""
    std = torch.tensor(STD)
    return cut.mul_(1 / (255 * std)).sub_(torch.tensor(MEAN) / std).permute(0, 3, 1, 2)
