"""Points in metres -> pixels and depth, through an ideal camera without distortion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAREST_M = 0.3
"""Points nearer than this are taken to be this near: nothing is ever behind the lens."""


@dataclass(frozen=True)
class Pinhole:
    """A camera at `position` that looks at `target` (metres, z up), without roll.

    focal_px: focal length in pixels. Pixel (0, 0) is the centre of the upper left pixel.
    """

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    focal_px: float
    width: int
    height: int

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """Rows: the camera's right, down and forward in the world's axes, unit length."""
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    @cached_property
    def _eye(self) -> NDArray[np.float64]:
        return np.array(self.position)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.width - 1) / 2, (self.height - 1) / 2

    def project(
        self, points_m: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, 3) metres -> (N, 2) pixels, (N,) depth along the line of sight in metres."""
        seen = (points_m - self._eye) @ self.axes.T
        depth = np.maximum(seen[:, 2], NEAREST_M)
        return seen[:, :2] * (self.focal_px / depth)[:, None] + self.centre, depth

    @cached_property
    def _scalars(self) -> tuple[list[list[float]], float, float]:
        return self.axes.tolist(), *self.centre

    def sight(self, u: float, v: float, z: float) -> tuple[float, float, float]:
        """What `project` gives for a single point: x, y in pixels, depth in metres."""
        (right, down, forward), centre_x, centre_y = self._scalars
        du, dv, dz = u - self.position[0], v - self.position[1], z - self.position[2]
        depth = max(forward[0] * du + forward[1] * dv + forward[2] * dz, NEAREST_M)
        scale = self.focal_px / depth
        x = (right[0] * du + right[1] * dv + right[2] * dz) * scale + centre_x
        y = (down[0] * du + down[1] * dv + down[2] * dz) * scale + centre_y
        return x, y, depth

    def rays(self, oversampling: int) -> NDArray[np.float32]:
        """Directions (H*n, W*n, 3) of unit depth through the sub-pixels, in the world's axes."""
        centre_x, centre_y = self.centre
        columns = (np.arange(self.width * oversampling) + 0.5) / oversampling - 0.5
        rows = (np.arange(self.height * oversampling) + 0.5) / oversampling - 0.5
        across = (columns - centre_x) / self.focal_px
        down = (rows - centre_y) / self.focal_px
        right_axis, down_axis, forward_axis = self.axes
        rays: NDArray[np.float32] = (
            forward_axis.astype(np.float32)
            + (across[:, None] * right_axis).astype(np.float32)[None]
            + (down[:, None] * down_axis).astype(np.float32)[:, None]
        )
        return rays
