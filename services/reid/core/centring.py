"""Vectors and the cameras they came from -> vectors without what a camera adds to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Ints = NDArray[np.integer]


def centre_cameras(vectors: Floats, cameras: Ints) -> Floats:
    """vectors: (N, D) of unit length; cameras: (N,) -> the same less the mean vector of their
    camera, at unit length again. Asks for no labels. A camera's only vector stays as it is: its
    mean is itself, and nothing would be left."""
    centred = vectors.astype(np.float64)
    for camera in np.unique(cameras):
        rows = cameras == camera
        if rows.sum() > 1:
            centred[rows] -= centred[rows].mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Floats = (centred / np.maximum(lengths, 1e-12)).astype(vectors.dtype)
    return unit
