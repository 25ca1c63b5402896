"""The map of the bus: every stream, who reads it, and the name of every Redis key.

All keys of one camera carry its partition as hash tag, `clips.v1:{3}`, so that one script may touch
them together and a Redis Cluster keeps them in one slot.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """Consumer groups. Each emits exactly one outcome for every clip it is owed."""

    ANOMALY = "anomaly"
    REID = "reid"
    GALLERY = "gallery"
    COMPOSER = "composer"


REQUIRED_GROUPS = (Group.ANOMALY,)
"""Their lag is the system's lag: intake widens the stride, then answers 429."""

SHEDDABLE_GROUPS = (Group.REID,)
"""Their oldest clips are dropped and counted when they lag; they never hold up the others."""

CLIP_GROUPS = REQUIRED_GROUPS + SHEDDABLE_GROUPS


@dataclass(frozen=True)
class Topic:
    """A stream. `fuse` bounds its entries where nothing else does (0: its readers' lag does)."""

    name: str
    partitioned: bool = True
    fuse: int = 0

    def key(self, partition: int = 0) -> str:
        return f"{self.name}:{{{partition}}}" if self.partitioned else self.name


CLIPS = Topic("clips.v1")
SCORES = Topic("scores.v1")
TRACKLETS = Topic("tracklets.v1", fuse=50_000)
SIGHTINGS = Topic("sightings.v1")
MODELS = Topic("models.v1", partitioned=False, fuse=1_000)
EVENTS = Topic("events.v1", partitioned=False, fuse=100_000)
DEAD = Topic("dead.v1", partitioned=False, fuse=10_000)


def jobs(service: str) -> Topic:
    """The stream that wakes the workers of one service; the job itself is a row."""
    return Topic(f"jobs.v1.{service}", partitioned=False, fuse=1_000)


def partition_of(camera_id: str, partitions: int) -> int:
    """The partition of a camera: CRC-32 of its id, modulo the number fixed at deployment."""
    return zlib.crc32(camera_id.encode()) % partitions


@dataclass(frozen=True)
class PartitionKeys:
    """Keys that all cameras of one partition share."""

    partition: int

    def _key(self, noun: str) -> str:
        return f"{noun}:{{{self.partition}}}"

    def open(self, group: Group) -> str:
        """Sorted set of the clips that a group still owes an outcome, by time of publication."""
        return self._key(f"open.{group}")

    @property
    def holders(self) -> str:
        """Hash: clip entry -> how many readers still need its frames."""
        return self._key("holders")

    @property
    def due(self) -> str:
        """Sorted set: camera -> Redis time in ms at which its waiting frames are published."""
        return self._key("due")

    @property
    def bytes_in_flight(self) -> str:
        return self._key("bytes")

    @property
    def faults(self) -> str:
        """Hash: stream entry -> the last error its handler raised."""
        return self._key("faults")


@dataclass(frozen=True)
class CameraKeys:
    """Keys of one camera."""

    camera_id: str
    partition: int

    def _key(self, noun: str) -> str:
        return f"{noun}:{{{self.partition}}}:{self.camera_id}"

    @property
    def window(self) -> str:
        """Hash: epoch, seq, watermark and the other numbers of the camera's window."""
        return self._key("window")

    @property
    def ring(self) -> str:
        """Sorted set of the analysed frames in the window, by time slot."""
        return self._key("ring")

    @property
    def seen(self) -> str:
        """Sorted set of recent frames by capture time: the memory that answers retries."""
        return self._key("seen")

    @property
    def refs(self) -> str:
        """Hash: frame key -> how many windows and clips still need its bytes."""
        return self._key("refs")

    @property
    def account(self) -> str:
        """Hash of counters: accepted, thinned, refused by reason, clips, owned, shed."""
        return self._key("account")

    @property
    def snapshot(self) -> str:
        """The newest frame's bytes, for the camera's tile (on the frames server)."""
        return self._key("snapshot")

    def memory(self, noun: str) -> str:
        """A versioned value that outlives clips, such as the background model."""
        return self._key(f"memory.{noun}")

    def frame(self, captured_us: int, digest: str, size_bytes: int) -> str:
        """The bytes of one frame (on the frames server). Its name tells its size."""
        return self._key(f"frame.{captured_us}.{digest}.{size_bytes}")
