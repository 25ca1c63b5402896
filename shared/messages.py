"""What travels on the bus. Facts in the past tense, frozen; times are microseconds since 1970, UTC.

Boxes are pixels of the frame as it was pushed: (x, y) is the upper left corner.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

import ormsgpack
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.topics import Group

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Message(BaseModel):
    """Base of all messages. Unknown fields are ignored, so that a newer sender may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def pack(self) -> bytes:
        return ormsgpack.packb(self.model_dump(mode="python", exclude_none=True))

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """Raises pydantic.ValidationError or ormsgpack.MsgpackDecodeError for foreign bytes."""
        return cls.model_validate(ormsgpack.unpackb(body))


class Box(Message):
    """A rectangle in pixels of the pushed frame, with what its finder thought of it."""

    x: float
    y: float
    width: Annotated[float, Field(gt=0)]
    height: Annotated[float, Field(gt=0)]
    confidence: Fraction = 1.0


class Polygon(Message):
    """A closed region in fractions of the frame's width and height."""

    points: Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=3)]


class FrameRef(Message):
    """Where a frame's bytes are. `boxes` are people that the pushing worker found (None: it did
    not look)."""

    key: str
    captured_us: int
    width: int
    height: int
    boxes: tuple[Box, ...] | None = None


class ClipIdentity(Message):
    """The place of a clip in its camera's life.

    born: second at which the camera's window was made; a lost bus is born again, later.
    epoch: changes when the camera's clock jumps back. seq: contiguous within `born`.
    """

    camera_id: str
    born: int
    epoch: int
    seq: int

    @property
    def clip_id(self) -> str:
        return f"{self.camera_id}/{self.epoch}/{self.seq}"


class ClipReady(ClipIdentity):
    """A window of one camera is due.

    frames: in the order of capture. The last ones, from index `owned_from`, are owned by this
    clip; those before are context. `short`: fewer frames than a full window could be had.
    ready_us, expires_us: server time of publication, and at which its frames' bytes may be gone.
    only: set on a replay, for the one group that it concerns.
    """

    TYPE: ClassVar[str] = "ClipReady"

    frames: tuple[FrameRef, ...]
    owned_from: int
    short: bool = False
    ready_us: int
    expires_us: int
    masks: tuple[Polygon, ...] = ()
    unwatched: tuple[Polygon, ...] = ()
    only: Group | None = None

    @property
    def owned(self) -> tuple[FrameRef, ...]:
        return self.frames[self.owned_from :]


class Outcome(StrEnum):
    """What became of a clip in one consumer group."""

    DONE = "done"
    """Processed; the result may be empty."""
    UNSCORED = "unscored"
    """Could not be scored, for a reason that lies in the footage (short, unreadable)."""
    EXPIRED = "expired"
    """Its frames' bytes were gone before a worker came."""
    SHED = "shed"
    """Dropped because its group lagged."""
    DEAD = "dead"
    """Its handler failed too often; it waits among the dead letters."""


class ClipOutcome(ClipIdentity):
    """What one group made of one clip: the base of everything that answers a ClipReady.

    captured_us: capture times of the owned frames. clip_entry: the clip's entry on its stream.
    replayed: comes from a dead letter, and may replace its `dead`.
    """

    captured_us: tuple[int, ...]
    ready_us: int
    clip_entry: str
    outcome: Outcome
    reason: str | None = None
    replayed: bool = False

    @classmethod
    def of(
        cls,
        clip: ClipReady,
        entry_id: str,
        outcome: Outcome,
        reason: str | None = None,
        **more: Any,
    ) -> Self:
        return cls(
            camera_id=clip.camera_id,
            born=clip.born,
            epoch=clip.epoch,
            seq=clip.seq,
            captured_us=tuple(frame.captured_us for frame in clip.owned),
            ready_us=clip.ready_us,
            clip_entry=entry_id,
            outcome=outcome,
            reason=reason,
            replayed=clip.only is not None,
            **more,
        )


class ScoringContext(Message):
    """With what a clip was scored. Errors of two different contexts may not be compared."""

    model: str
    model_digest: str
    provider: str
    precision: str

    @property
    def key(self) -> str:
        return f"{self.model_digest[:16]}/{self.provider}/{self.precision}"


class FrameScore(Message):
    """The raw error of one owned frame.

    error: the card's score of the frame, in the model's own unit: squared pixel value, pixels in
    [0, 1], for STAE; none for STAE+, which adds up how far each part lies above the usual.
    regions: boxes of what the error map holds against the model card's prior.
    parts: what the error is made of, by name, where the scorer tells; they add up to it.
    """

    captured_us: int
    error: float
    regions: tuple[Box, ...] = ()
    parts: dict[str, float] = Field(default_factory=dict)


class ErrorMap(Message):
    """Error by patch of the clip's worst owned frame, float16, row by row."""

    rows: int
    columns: int
    values: bytes
    captured_us: int


class Prior(Message):
    """Quantiles of the error on the model's own normal footage, from its card.

    Scores begin at q50 and reach 1 at q999: a prior in which these are 0 or one is refused, as no
    scale can be made of it. All infinite: not measured yet.
    """

    q50: Annotated[float, Field(gt=0)]
    q95: float
    q99: float
    q999: float

    @model_validator(mode="after")
    def _rises(self) -> Self:
        quantiles = [self.q50, self.q95, self.q99, self.q999]
        if sorted(quantiles) != quantiles or self.q999 == self.q50 < math.inf:
            raise ValueError(f"the quantiles {quantiles} do not rise")
        return self


class TamperingSigns(Message):
    """How far a clip's view has gone from the camera's usual one, by kind: 0 not at all, 1 as far
    as the kind's threshold. What one kind explains is not said of another too."""

    covered: Annotated[float, Field(ge=0)] = 0.0
    defocused: Annotated[float, Field(ge=0)] = 0.0
    frozen: Annotated[float, Field(ge=0)] = 0.0
    moved: Annotated[float, Field(ge=0)] = 0.0

    @property
    def worst(self) -> float:
        return max(self.covered, self.defocused, self.frozen, self.moved)


class ClipScored(ClipOutcome):
    """What the anomaly service made of a clip.

    frames, masks: the clip's owned frames, and what was blackened in them. error_map: of the worst
    of them. reconstruction: JPEG of that one as the model drew it, gray and of the model's size;
    None for a model that draws none. tampering: None where the camera's usual view is not known
    yet.
    """

    TYPE: ClassVar[str] = "ClipScored"

    context: ScoringContext | None = None
    prior: Prior | None = None
    scores: tuple[FrameScore, ...] = ()
    error_map: ErrorMap | None = None
    reconstruction: bytes | None = None
    frames: tuple[FrameRef, ...] = ()
    masks: tuple[Polygon, ...] = ()
    tampering: TamperingSigns | None = None


class Detection(Message):
    """One person in one frame."""

    captured_us: int
    box: Box


class Tracklet(Message):
    """One person within one clip: where they were, their best crop, and what they look like.

    vector: of the best crops together; float16, unit length, little endian. quality: of the best
    crop, 0 (useless) to 1 (sharp, large, whole).
    detected_us in TrackletsEmbedded names the frames that were looked at.
    """

    n: int
    detections: Annotated[tuple[Detection, ...], Field(min_length=1)]
    crop: str
    quality: Fraction
    vector: bytes


class TrackletsEmbedded(ClipOutcome):
    TYPE: ClassVar[str] = "TrackletsEmbedded"

    model: str | None = None
    model_digest: str | None = None
    detected_us: tuple[int, ...] = ()
    tracklets: tuple[Tracklet, ...] = ()


class Sighting(Message):
    """A tracklet to which the gallery has given a person.

    confidence: the gallery's belief that this tracklet is that person; 1 where a user said so
    (`confirmed`). revision: of the gallery's change that made it so; 0: as it was first told.
    """

    sighting_id: str
    person_id: str
    confidence: Fraction
    detections: tuple[Detection, ...]
    crop: str
    quality: Fraction
    confirmed: bool = False
    revision: int = 0


class PersonsSighted(ClipOutcome):
    TYPE: ClassVar[str] = "PersonsSighted"

    detected_us: tuple[int, ...] = ()
    sightings: tuple[Sighting, ...] = ()


class PersonsRevised(Message):
    """What the gallery has since changed in what it told. An older revision than the one that is
    known of a sighting or a person changes nothing.

    camera_id: of the sightings (None: it is about persons alone). sightings: as they are now.
    forgotten: ids of sightings that nobody may know any longer, whatever comes later. merged:
    persons that are somebody else -> who. unmerged: persons that are themselves again.
    """

    TYPE: ClassVar[str] = "PersonsRevised"

    revision: int
    camera_id: str | None = None
    sightings: tuple[Sighting, ...] = ()
    forgotten: tuple[str, ...] = ()
    merged: dict[str, str] = Field(default_factory=dict)
    unmerged: tuple[str, ...] = ()


class JobWaiting(Message):
    """Wakes a worker: a job's row may be claimed."""

    TYPE: ClassVar[str] = "JobWaiting"

    job_id: str


class ModelsActivated(Message):
    """The activation map has changed; read it again."""

    TYPE: ClassVar[str] = "ModelsActivated"

    service: str


class EventRaised(Message):
    """What dashboards hear. `type`: alert.opened, alert.closed, incident.opened, person.sighted,
    camera.online, camera.offline, ... `data`: the resource as REST would show it."""

    TYPE: ClassVar[str] = "EventRaised"

    type: str
    camera_id: str | None = None
    raised_us: int
    data: dict[str, Any]


class LetterDied(Message):
    """A message that failed too often: where it stood, why it failed, where its frames lie."""

    TYPE: ClassVar[str] = "LetterDied"

    stream: str
    group: Group
    entry_id: str
    deliveries: int
    error: str
    body: bytes
    message_type: str
    frames: dict[str, str] = Field(default_factory=dict)
    died_us: int
