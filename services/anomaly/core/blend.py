"""What the reconstruction says and what the motion says -> one error: the scorer STAE+.

Each part is divided by its range on normal footage, and the parts are added, so that no part
outweighs another by its unit (as Reiss and Hoshen, 2022, do). A reconstruction's error is squared
and a distance is not: its root is taken, lest one glaring frame drown all that moves oddly (ours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt
from scipy.ndimage import uniform_filter1d

from services.anomaly.core.density import Mixture
from services.anomaly.core.motion import MotionSettings, motion_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.anomaly.core.error_map import FrameErrors, Maps
    from services.anomaly.core.flow import Flow


class Blend(BaseModel):
    """How STAE+ makes one error of two. A card keeps it in its settings, as `blend`.

    mixture: of the traits of motion on normal footage. motion_frames: over which the distances of
    each place are averaged. steady: frames over which each part is. reconstruction_unit,
    motion_unit: each part's range when all is normal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    motion: MotionSettings
    mixture: Mixture
    motion_frames: PositiveInt = 9
    steady: PositiveInt = 9
    reconstruction_unit: PositiveFloat = 1.0
    motion_unit: PositiveFloat = 1.0

    def unusual_motion(self, flow: Flow, rows: int, columns: int) -> Maps:
        """-> (T, rows, columns): how far the motion of each place is from all normal motion, on the
        grid of the reconstruction's errors."""
        motion = motion_of(flow, self.motion)
        maps = motion.spread(self.mixture.distances(motion.traits))
        maps = uniform_filter1d(maps, self.motion_frames, axis=0, mode="nearest")
        # The largest of the cells that a patch touches: a thing is never made smaller.
        resized = [
            cv2.resize(_widened(one), (columns, rows), interpolation=cv2.INTER_NEAREST)
            for one in maps
        ]
        return np.stack(resized)

    def maps(self, reconstruction: Maps, motion: Maps) -> Maps:
        """Squared errors and distances, both (T, R, K) -> their sum, each in its unit."""
        drawn = np.sqrt(reconstruction) / self.reconstruction_unit
        blended: Maps = drawn + motion / self.motion_unit
        return blended

    def parts(self, reconstruction: FrameErrors, motion: Maps) -> dict[str, FrameErrors]:
        """Squared errors (T,), distances (T, R, K) -> by name what adds up to a frame's error."""
        parts = {
            "reconstruction": np.sqrt(reconstruction) / self.reconstruction_unit,
            "motion": motion.max(axis=(1, 2)) / self.motion_unit,
        }
        return {
            name: uniform_filter1d(values, self.steady, mode="nearest")
            for name, values in parts.items()
        }


def _widened(one: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.dilate(one, np.ones((3, 3), np.uint8)), np.float32)
