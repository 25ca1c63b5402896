"""What of a camera's frames a network sees: gray pixels, colours, or how they move.

Zhao et al. (ACM MM 2017) give STAE gray frames or optical flow; which is better depends on the
footage (Table 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.anomaly.core.clip import WHITE, gray_clip, resized, rgb
from services.anomaly.core.flow import STILL, Flow, FlowSettings, flow_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.anomaly.core.clip import Clip, PixelClip
    from shared.images import Pixels

Colour = Literal["gray", "rgb", "flow"]

CHANNELS: dict[Colour, int] = {"gray": 1, "rgb": 3, "flow": 2}


class Sight(BaseModel):
    """A card keeps it in its settings, as `sight`. flow: how flow is sought, where it is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    colour: Colour = "gray"
    flow: FlowSettings = FlowSettings()

    @property
    def channels(self) -> int:
        return CHANNELS[self.colour]

    @property
    def decodes(self) -> Literal["gray", "rgb"]:
        """What is needed of a frame: flow is sought between gray ones."""
        return "rgb" if self.colour == "rgb" else "gray"

    def pictures(self, frames: Sequence[Pixels], flow: Flow | None = None) -> Sequence[Pixels]:
        """Gray or RGB frames -> one picture each, of any size: (H, W), or (H, W, C).

        flow: of these frames, where the time between them is known or others need it too.
        """
        match self.colour:
            case "gray":
                return frames
            case "rgb":
                return [rgb(frame) for frame in frames]
            case "flow":
                return list(flow_pictures(flow or Flow(frames), self.flow))

    def clip(self, pictures: Sequence[Pixels], *, width: int, height: int) -> PixelClip:
        """Pictures -> the pixels of a clip of one size, (T, height, width) or with C last."""
        to_size = gray_clip if self.colour == "gray" else resized
        return to_size(pictures, width=width, height=height)

    def shown(self, clip: Clip) -> NDArray[np.float32]:
        """(C, T, H, W), pixels in [0, 1] -> (T, H, W), as a person would look at it: brightness,
        or, of flow, the speed (1: `reach`)."""
        if self.colour != "flow":
            return np.asarray(clip.mean(axis=0))
        right, down = (clip * WHITE - STILL) / (STILL - 1)
        speed: NDArray[np.float32] = np.hypot(right, down)
        return speed.clip(max=1.0)
