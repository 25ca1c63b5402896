"""Characters -> the same ones, drawn otherwise: what data made by a network must beat.

Rotation, shear, scale, shift and elastic warping (Simard, Steinkraus, Platt, "Best Practices for
Convolutional Neural Networks Applied to Visual Document Analysis", ICDAR 2003), thicker and thinner
strokes, blur and contrast. All of it is drawn anew each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, max_pool2d

PIXEL = 2.0
"""Grids run from -1 to 1: a pixel of W is 2 / W."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Bounds, each drawn evenly up to them, both ways where there are two. degrees: of rotation.
    shear, scale: shares. shift, elastic: in pixels, the latter the standard deviation at `knots` x
    `knots` places. thickness, blur: how far towards the extreme or the mean of 3 x 3 pixels.
    contrast, brightness: shares."""

    degrees: float = 10
    shear: float = 0.15
    scale: float = 0.15
    shift: float = 1.5
    elastic: float = 0.5
    knots: int = 5
    thickness: float = 0.7
    blur: float = 1.0
    contrast: float = 0.5
    brightness: float = 0.1

    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        """(B, C, H, W) in [0, 1], the background 0 -> the same shape."""
        moved = grid_sample(images, self._grid(images, random), align_corners=False)
        return self._lit(self._blurred(self._thickened(moved, random), random), random)

    def _grid(self, images: Tensor, random: torch.Generator) -> Tensor:
        count, _, height, width = images.shape
        angle = _between(count, self.degrees, random) * math.pi / 180
        shear = _between(count, self.shear, random)
        across, down = (1 + _between(count, self.scale, random) for _ in range(2))
        right, below = (_between(count, self.shift, random) * PIXEL / n for n in (width, height))
        cosine, sine = angle.cos(), angle.sin()
        rows = [
            torch.stack([cosine * across, (shear * cosine - sine) * across, right], dim=1),
            torch.stack([sine * down, (cosine + shear * sine) * down, below], dim=1),
        ]
        grid = affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
        bends = torch.randn(count, 2, self.knots, self.knots, generator=random)
        bends *= self.elastic * PIXEL / width
        smooth = interpolate(bends, size=(height, width), mode="bicubic", align_corners=True)
        return grid + smooth.permute(0, 2, 3, 1)

    def _thickened(self, images: Tensor, random: torch.Generator) -> Tensor:
        share = _each(_between(len(images), self.thickness, random))
        thick, thin = max_pool2d(images, 3, 1, 1), -max_pool2d(-images, 3, 1, 1)
        return images + torch.where(share > 0, thick - images, thin - images) * share.abs()

    def _blurred(self, images: Tensor, random: torch.Generator) -> Tensor:
        share = _each(torch.rand(len(images), generator=random) * self.blur)
        mean = avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        return images + (mean - images) * share

    def _lit(self, images: Tensor, random: torch.Generator) -> Tensor:
        contrast = _each(1 + _between(len(images), self.contrast, random))
        light = _each(_between(len(images), self.brightness, random))
        return ((images - 0.5) * contrast + 0.5 + light).clamp(0, 1)


def _between(count: int, bound: float, random: torch.Generator) -> Tensor:
    return (2 * torch.rand(count, generator=random) - 1) * bound


def _each(shares: Tensor) -> Tensor:
    return shares[:, None, None, None]
