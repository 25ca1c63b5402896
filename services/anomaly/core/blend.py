"""What the reconstruction says and what the motion says -> one error: the scorer STAE+.

What a part has above its median on normal footage is divided by its range there, and the parts are
added, so that no part outweighs another by its unit (as Reiss and Hoshen, 2022, do). They are added
as logarithms, a reconstruction's squared error as its root: what is certainly abnormal does not
become ten times so, and drowns nothing else that is (ours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.ndimage import uniform_filter1d

from services.anomaly.core.density import Mixture
from services.anomaly.core.motion import MotionSettings, motion_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.anomaly.core.error_map import FrameErrors, Maps
    from services.anomaly.core.flow import Flow


class PartScale(BaseModel):
    """usual: a part's median on normal footage. range: from there to what one normal frame in a
    thousand exceeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usual: NonNegativeFloat = 0.0
    range: PositiveFloat = 1.0

    def excess(self, part: NDArray[np.float32], knee: float) -> NDArray[np.float32]:
        """0 up to the usual, then about linear, and logarithmic above the knee."""
        above = np.maximum(part - np.float32(self.usual), 0.0)
        excess: NDArray[np.float32] = np.log1p(above * np.float32(1.0 / (knee * self.range)))
        return excess


class Blend(BaseModel):
    """How STAE+ makes one error of two. A card keeps it in its settings, as `blend`.

    mixture: of the traits of motion on normal footage. motion_frames: over which the distances of
    each place are averaged. steady: frames over which each part is. knee: in a part's ranges; above
    it a part grows as its logarithm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    motion: MotionSettings
    mixture: Mixture
    motion_frames: PositiveInt = 9
    steady: PositiveInt = 9
    knee: PositiveFloat = 0.25
    reconstruction_scale: PartScale = PartScale()
    motion_scale: PartScale = PartScale()

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
        """Squared errors and distances, both (T, R, K) -> the sum of their excesses."""
        drawn: Maps = self.reconstruction_scale.excess(np.sqrt(reconstruction), self.knee)
        drawn += self.motion_scale.excess(motion, self.knee)
        return drawn

    def parts(self, reconstruction: FrameErrors, motion: Maps) -> dict[str, FrameErrors]:
        """Squared errors (T,), distances (T, R, K) -> by name what adds up to a frame's error."""
        parts = {
            "reconstruction": self.reconstruction_scale.excess(np.sqrt(reconstruction), self.knee),
            "motion": self.motion_scale.excess(motion.max(axis=(1, 2)), self.knee),
        }
        return {
            name: uniform_filter1d(values, self.steady, mode="nearest")
            for name, values in parts.items()
        }


def _widened(one: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.dilate(one, np.ones((3, 3), np.uint8)), np.float32)
