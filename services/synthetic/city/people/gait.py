"""Phase of the stride -> the joints of a walking, running, standing, or falling body."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Joint3 = tuple[float, float, float]


class Joint(IntEnum):
    """Rows of a posture. The last three are directions, not places: forward, left, up.

    Along a limb the numbers grow by two: hip, knee, ankle, toe; shoulder, elbow, hand.
    """

    PELVIS = 0
    HIP_LEFT = 1
    HIP_RIGHT = 2
    KNEE_LEFT = 3
    KNEE_RIGHT = 4
    ANKLE_LEFT = 5
    ANKLE_RIGHT = 6
    TOE_LEFT = 7
    TOE_RIGHT = 8
    SHOULDER_LEFT = 9
    SHOULDER_RIGHT = 10
    ELBOW_LEFT = 11
    ELBOW_RIGHT = 12
    HAND_LEFT = 13
    HAND_RIGHT = 14
    NECK = 15
    HEAD = 16
    FORWARD = 17
    LEFT = 18
    UP = 19


@dataclass(frozen=True)
class Gait:
    """How the limbs swing. Angles in radians; stride in metres for two steps."""

    thigh: float
    knee: float
    arm: float
    elbow: float
    lean: float
    stride_m: float


# Rounded from what walking and running people look like from a street camera; the numbers are ours.
WALK = Gait(thigh=0.39, knee=0.85, arm=0.42, elbow=0.22, lean=0.03, stride_m=1.45)
RUN = Gait(thigh=0.66, knee=1.7, arm=0.95, elbow=1.45, lean=0.16, stride_m=2.6)
STAND = Gait(thigh=0.0, knee=0.0, arm=0.0, elbow=0.12, lean=0.0, stride_m=1.0)

# Lengths in body heights, after the usual drawing canon.
THIGH, SHANK, FOOT = 0.245, 0.235, 0.115
UPPER_ARM, FOREARM = 0.17, 0.175
TORSO, NECK, HEAD = 0.29, 0.035, 0.085
HIP_HALF, SHOULDER_HALF = 0.048, 0.098
SOLE = 0.022

STEPS = 96
"""Into how many postures a stride is divided."""


@dataclass(frozen=True)
class Posture:
    """A moment of the body. phase: radians of the stride, 2 pi for two steps.

    fallen: 0 upright to 1 flat on the ground, tipped forwards over the feet.
    """

    gait: Gait
    phase: float
    fallen: float = 0.0

    def joints(self) -> NDArray[np.float64]:
        """(20, 3) in body heights: forward, left, up from the point on the ground below it.

        The phase is rounded to a step of the stride, so that all walkers share their joints.
        """
        step = round(self.phase / (2 * math.pi) * STEPS) % STEPS
        upright = _upright(self.gait, step * (2 * math.pi / STEPS))
        return _tipped(upright, self.fallen) if self.fallen > 0 else upright


@lru_cache(maxsize=8 * STEPS)
def _upright(gait: Gait, phase: float) -> NDArray[np.float64]:
    rows: list[Joint3] = [(0.0, 0.0, 0.0)] * len(Joint)
    for side, hip, swing in (
        (1.0, Joint.HIP_LEFT, phase),
        (-1.0, Joint.HIP_RIGHT, phase + math.pi),
    ):
        rows[hip], rows[hip + 2], rows[hip + 4], rows[hip + 6] = _leg(gait, swing, side)
    top = (TORSO * math.sin(gait.lean), 0.0, TORSO * math.cos(gait.lean))
    twist = 0.02 * math.sin(phase)
    for side, shoulder, swing in (
        (1.0, Joint.SHOULDER_LEFT, phase + math.pi),
        (-1.0, Joint.SHOULDER_RIGHT, phase),
    ):
        socket = (top[0] - side * twist, side * SHOULDER_HALF, top[2] - 0.015)
        rows[shoulder], rows[shoulder + 2], rows[shoulder + 4] = _arm(gait, swing, socket)
    rows[Joint.NECK] = (top[0] + 0.004, 0.0, top[2] + 0.012)
    rows[Joint.HEAD] = (top[0] + 0.012 + 0.5 * HEAD * gait.lean, 0.0, top[2] + NECK + HEAD * 0.8)
    joints = np.array(rows)
    joints[: Joint.FORWARD, 2] += SOLE - joints[Joint.ANKLE_LEFT : Joint.TOE_RIGHT + 1, 2].min()
    joints[Joint.FORWARD :] = np.eye(3)
    joints.flags.writeable = False
    return joints


def _leg(gait: Gait, swing: float, side: float) -> tuple[Joint3, Joint3, Joint3, Joint3]:
    """Hip, knee, ankle, toe, relative to the pelvis."""
    thigh = gait.thigh * math.sin(swing)
    # The knee bends most while the leg swings forwards, and is almost straight on the ground.
    bend = 0.06 + gait.knee * max(0.0, math.cos(swing + 0.35)) ** 1.5
    y = side * HIP_HALF
    hip = (0.0, y, 0.0)
    knee = (THIGH * math.sin(thigh), y, -THIGH * math.cos(thigh))
    shank = thigh - bend
    ankle = (knee[0] + SHANK * math.sin(shank), y, knee[2] - SHANK * math.cos(shank))
    pitch = 0.45 * max(thigh, 0.0) - 0.6 * bend if gait.thigh else 0.0
    heel = (ankle[0] - 0.02, y * 1.1, ankle[2])
    toe = (heel[0] + FOOT * math.cos(pitch), y * 1.35, heel[2] + FOOT * math.sin(pitch) - 0.006)
    return hip, knee, heel, toe


def _arm(gait: Gait, swing: float, shoulder: Joint3) -> tuple[Joint3, Joint3, Joint3]:
    """Shoulder, elbow, hand."""
    outward = math.copysign(0.022, shoulder[1])
    upper = gait.arm * math.sin(swing)
    elbow = (
        shoulder[0] + UPPER_ARM * math.sin(upper),
        shoulder[1] + outward,
        shoulder[2] - UPPER_ARM * math.cos(upper),
    )
    lower = upper + gait.elbow * (1.0 + 0.5 * math.sin(swing))
    hand = (
        elbow[0] + FOREARM * math.sin(lower),
        elbow[1] + outward * 0.2,
        elbow[2] - FOREARM * math.cos(lower),
    )
    return shoulder, elbow, hand


def _tipped(joints: NDArray[np.float64], fallen: float) -> NDArray[np.float64]:
    """The body turned forwards about its ankles, and laid down so that nothing sinks in."""
    angle = fallen * math.pi / 2
    turn = np.array(
        [
            [math.cos(angle), 0.0, math.sin(angle)],
            [0.0, 1.0, 0.0],
            [-math.sin(angle), 0.0, math.cos(angle)],
        ]
    )
    tipped: NDArray[np.float64] = joints @ turn.T
    # Someone who trips lands where they walked: the centre of the body stays, the feet slide back.
    tipped[: Joint.FORWARD, 0] -= 0.45 * math.sin(angle)
    lift = 0.07 * math.sin(angle) ** 4 + SOLE - tipped[: Joint.FORWARD, 2].min()
    tipped[: Joint.FORWARD, 2] += max(lift, 0.0)
    return tipped
