"""A data set's pixel masks -> which pixels of which frames are abnormal.

Test/pixel_masks_packbits.npz   per clip (F, H, W / 8) uint8, as np.packbits packs the last axis
Test/CLIP_gt/*.bmp              UCSD's own: a picture per frame, not black where abnormal
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.training.footage import frame_files, read_frame
from shared.errors import Malformed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from services.anomaly.training.footage import Recording

PACKED = "pixel_masks_packbits.npz"


def pixel_masks(folder: Path, recording: Recording) -> NDArray[np.bool_] | None:
    """(F, H, W) of a test clip, of any size; None where it has no masks.

    Raises Malformed (`masks_mismatch`) where there is not one mask per frame.
    """
    masks = _from_pictures(folder / "Test" / f"{recording.name}_gt")
    if masks is None:
        masks = _from_packed(folder / "Test" / PACKED, recording.name)
    if masks is not None and len(masks) != len(recording):
        raise Malformed(
            f"{recording.name} has {len(masks)} masks for {len(recording)} frames",
            code="masks_mismatch",
        )
    return masks


def _from_pictures(folder: Path) -> NDArray[np.bool_] | None:
    files = frame_files(folder) if folder.is_dir() else ()
    if not files:
        return None
    return np.stack([read_frame(file) > 0 for file in files])


def _from_packed(file: Path, name: str) -> NDArray[np.bool_] | None:
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as packed:
        if name not in packed:
            return None
        return np.unpackbits(packed[name], axis=-1).astype(np.bool_)
