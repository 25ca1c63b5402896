"""What an alert is about."""

from __future__ import annotations

from enum import StrEnum

from services.gateway.core.alarm import Severity


class AlertKind(StrEnum):
    ANOMALY = "anomaly"
    CAMERA_OFFLINE = "camera_offline"
    CAMERA_COVERED = "camera_covered"
    CAMERA_DEFOCUSED = "camera_defocused"
    CAMERA_FROZEN = "camera_frozen"
    CAMERA_MOVED = "camera_moved"


TAMPERING = {
    "covered": AlertKind.CAMERA_COVERED,
    "defocused": AlertKind.CAMERA_DEFOCUSED,
    "frozen": AlertKind.CAMERA_FROZEN,
    "moved": AlertKind.CAMERA_MOVED,
}
"""The kind of alert for each sign of tampering."""

SEVERITIES = {
    AlertKind.CAMERA_COVERED: Severity.HIGH,
    AlertKind.CAMERA_DEFOCUSED: Severity.MEDIUM,
    AlertKind.CAMERA_FROZEN: Severity.HIGH,
    AlertKind.CAMERA_MOVED: Severity.HIGH,
}
"""How grave each is (ours): one that sees nothing of its scene now is blind; one out of focus still
sees that something moves."""
