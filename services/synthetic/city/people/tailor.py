"""An appearance -> the rounded shapes that make up its figure, hung on the joints of a posture."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from services.synthetic.city.drawing.sprite import ROUND, Rgb, scaled
from services.synthetic.city.people.gait import Joint
from services.synthetic.city.people.wardrobe import (
    Appearance,
    Bag,
    Bottom,
    Hair,
    Outfit,
    Pattern,
    Top,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Range = tuple[float, float]
ALWAYS: Range = (-1.0, 1.0)
FROM_THE_FRONT: Range = (0.12, 1.0)
FROM_BEHIND: Range = (-1.0, -0.12)

Spot = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
"""A place on the body: weights of the joints (20,). It moves as they move."""

Pair = tuple[Spot, Spot]
"""Left and right."""


class Shape(NamedTuple):
    """The hull of some balls.

    number: its place among the costume's shapes. points: its balls' outlines among all placed
    points. seen: how far the body may be turned to the viewer for it to be drawn, as the cosine
    of the angle between its front and the line to the viewer: 1 face to face, -1 from behind.
    """

    number: int
    points: slice
    seen: Range


@dataclass(frozen=True)
class Costume:
    """Balls on joints, and the shapes that they span, limb by limb.

    spots: (N, 20) weights of the joints. radii: (N,) in body heights. limb_of_ball: (N,). nearer:
    (limbs,) metres by which a limb counts as nearer to the viewer than it is. colours: (shapes, 3).
    """

    height_m: float
    spots: NDArray[np.float64]
    radii: NDArray[np.float64]
    limb_of_ball: NDArray[np.intp]
    limbs: tuple[tuple[Shape, ...], ...]
    nearer: NDArray[np.float64]
    colours: NDArray[np.float64]

    @cached_property
    def balls_of_limb(self) -> NDArray[np.intp]:
        """(limbs,): how many balls each limb has."""
        return np.bincount(self.limb_of_ball)


def at(joint: Joint, *, forward: float = 0.0, left: float = 0.0, up: float = 0.0) -> Spot:
    """A spot beside a joint, in body heights along the body's own directions."""
    spot = np.zeros(len(Joint))
    spot[joint] = 1.0
    spot[Joint.FORWARD] += forward
    spot[Joint.LEFT] += left
    spot[Joint.UP] += up
    return spot


def mix(one: Spot, other: Spot, share: float) -> Spot:
    """The spot that lies `share` of the way from one to the other."""
    return (1 - share) * one + share * other


@dataclass
class Tailor:
    """Collects shapes, limb by limb."""

    build: float
    _balls: list[tuple[Spot, float, int]] = field(default_factory=list)
    _limbs: list[list[Shape]] = field(default_factory=list)
    _nearer: list[float] = field(default_factory=list)
    _colours: list[Rgb] = field(default_factory=list)

    def limb(self, nearer: float = 0.0) -> None:
        """Begins a limb: what follows is drawn together, in order."""
        self._limbs.append([])
        self._nearer.append(nearer)

    def hull(self, balls: Iterable[tuple[Spot, float]], colour: Rgb, seen: Range = ALWAYS) -> None:
        first = len(self._balls)
        self._balls += [(spot, radius * self.build, len(self._limbs) - 1) for spot, radius in balls]
        points = slice(first * len(ROUND), len(self._balls) * len(ROUND))
        self._limbs[-1].append(Shape(len(self._colours), points, seen))
        self._colours.append(colour)

    def costume(self, height_m: float) -> Costume:
        spots, radii, limbs = zip(*self._balls, strict=True)
        return Costume(
            height_m=height_m,
            spots=np.stack(spots),
            radii=np.array(radii),
            limb_of_ball=np.array(limbs),
            limbs=tuple(tuple(shapes) for shapes in self._limbs),
            nearer=np.array(self._nearer),
            colours=np.array(self._colours, np.float64),
        )


def dressed(person: Appearance) -> Costume:
    """The figure of a person."""
    tailor = Tailor(build=person.build)
    for hip in (Joint.HIP_LEFT, Joint.HIP_RIGHT):
        _leg(tailor, person, hip)
    _trunk(tailor, person)
    for shoulder in (Joint.SHOULDER_LEFT, Joint.SHOULDER_RIGHT):
        _arm(tailor, person, shoulder)
    _head(tailor, person)
    _bag(tailor, person)
    return tailor.costume(person.height_m)


def _leg(tailor: Tailor, person: Appearance, hip: Joint) -> None:
    outfit = person.outfit
    knee, heel, toe = at(Joint(hip + 2)), at(Joint(hip + 4)), at(Joint(hip + 6))
    tailor.limb(nearer=-0.12)
    cloth = outfit.bottom_colour
    bare = person.skin
    tailor.hull([(heel, 0.024), (toe, 0.019)], outfit.shoes)
    tailor.hull([(knee, 0.039), (heel, 0.027)], cloth if outfit.bottom is Bottom.TROUSERS else bare)
    thigh = at(hip, up=-0.01)
    if outfit.bottom is Bottom.SHORTS:
        tailor.hull([(mix(thigh, knee, 0.6), 0.045), (knee, 0.038)], bare)
        tailor.hull([(thigh, 0.056), (mix(thigh, knee, 0.86), 0.05)], cloth)
    else:
        tailor.hull([(thigh, 0.057), (knee, 0.042)], cloth)


def _trunk(tailor: Tailor, person: Appearance) -> None:
    outfit = person.outfit
    tailor.limb()
    if outfit.bottom is Bottom.SKIRT:
        tailor.hull(_around_thighs(0.88, 0.056, 0.062), outfit.bottom_colour)
    if outfit.top is Top.COAT:
        tailor.hull(_around_thighs(0.8, 0.064, 0.06), outfit.top_colour)
    shoulders = (
        at(Joint.SHOULDER_LEFT, left=-0.017, up=-0.018),
        at(Joint.SHOULDER_RIGHT, left=0.017, up=-0.018),
    )
    waist = (at(Joint.HIP_LEFT, left=0.008, up=0.01), at(Joint.HIP_RIGHT, left=-0.008, up=0.01))
    tailor.hull(
        [*((spot, 0.046) for spot in shoulders), *((spot, 0.058) for spot in waist)],
        outfit.top_colour,
    )
    _pattern(tailor, outfit, shoulders, waist)


def _around_thighs(share: float, waist: float, hem: float) -> list[tuple[Spot, float]]:
    """From the hips to a share of the way to the knees. waist, hem: radii there."""
    balls = []
    for hip, knee in ((Joint.HIP_LEFT, Joint.KNEE_LEFT), (Joint.HIP_RIGHT, Joint.KNEE_RIGHT)):
        balls += [(at(hip), waist), (mix(at(hip), at(knee), share), hem)]
    return balls


def _pattern(tailor: Tailor, outfit: Outfit, shoulders: Pair, waist: Pair) -> None:
    """What is on the front and the back of the top."""
    middle = (mix(*shoulders, 0.5), mix(*waist, 0.5))
    forward = at(Joint.NECK, forward=1.0) - at(Joint.NECK)
    match outfit.pattern:
        case Pattern.STRIPES:
            for share in (0.1, 0.36, 0.62, 0.88):
                tailor.hull(_band(shoulders, waist, share, 0.02, 0.022), outfit.accent)
        case Pattern.TWO_TONE:
            yoke = _band(shoulders, waist, 0.0, 0.046) + _band(shoulders, waist, 0.34, 0.04, 0.008)
            tailor.hull(yoke, outfit.accent)
        case Pattern.PRINT:
            for reach, seen in ((0.05, FROM_THE_FRONT), (-0.05, FROM_BEHIND)):
                tailor.hull([(mix(*middle, 0.4) + reach * forward, 0.042)], outfit.accent, seen)
        case Pattern.OPEN_JACKET:
            top, hem = (mix(*middle, share) + 0.046 * forward for share in (0.06, 1.1))
            tailor.hull([(top, 0.026), (hem, 0.032)], outfit.accent, FROM_THE_FRONT)
        case Pattern.PLAIN:
            pass


def _band(
    shoulders: Pair, waist: Pair, share: float, radius: float, wider: float = 0.0
) -> list[tuple[Spot, float]]:
    """From flank to flank, at a share of the way down from the shoulders to the waist."""
    aside = at(Joint.NECK, left=wider) - at(Joint.NECK)
    left, right = (mix(high, low, share) for high, low in zip(shoulders, waist, strict=True))
    return [(left + aside, radius), (right - aside, radius)]


def _arm(tailor: Tailor, person: Appearance, shoulder: Joint) -> None:
    outfit = person.outfit
    top, elbow, hand = at(shoulder), at(Joint(shoulder + 2)), at(Joint(shoulder + 4))
    tailor.limb(nearer=0.05)
    long_sleeves = outfit.top is not Top.SHIRT
    # A sleeve in front of the trunk is a shade darker, or the two would melt into one.
    sleeve = scaled(outfit.top_colour, 0.86)
    tailor.hull([(top, 0.036), (elbow, 0.031)], sleeve)
    tailor.hull([(elbow, 0.029), (hand, 0.021)], sleeve if long_sleeves else person.skin)
    tailor.hull([(hand, 0.024)], person.skin)
    if outfit.pattern is Pattern.STRIPES:
        tailor.hull([(mix(top, elbow, 0.55), 0.033)], outfit.accent)
    if outfit.bag is Bag.HAND and shoulder is Joint.SHOULDER_RIGHT:
        tailor.hull([(hand, 0.006), (at(Joint.HAND_RIGHT, up=-0.05), 0.02)], outfit.bag_colour)
        tailor.hull(
            [(at(Joint.HAND_RIGHT, forward=forward, up=-0.09), 0.034) for forward in (-0.05, 0.05)],
            outfit.bag_colour,
        )


def _head(tailor: Tailor, person: Appearance) -> None:
    tailor.limb(nearer=0.3)
    head = Joint.HEAD
    skull = [(at(head, forward=-0.012, up=0.014), 0.061), (at(head, up=-0.004), 0.058)]
    face = [(at(head, forward=0.026, up=0.006), 0.046), (at(head, forward=0.022, up=-0.03), 0.04)]
    bald = person.hair is Hair.BALD
    hair_colour = person.skin if bald else person.hair_colour
    mane = [
        (at(head, forward=-0.028, up=0.0), 0.058),
        (at(Joint.NECK, forward=-0.03, up=-0.025), 0.05),
    ]
    if person.hair is Hair.LONG:
        tailor.hull(mane, hair_colour, (0.2, 1.0))
    tailor.hull([(at(Joint.NECK), 0.031), (at(head, up=-0.045), 0.029)], person.skin)
    tailor.hull(face, person.skin, (-1.0, -0.3))
    tailor.hull(skull, hair_colour)
    tailor.hull(face, person.skin, (-0.3, 1.0))
    if person.hair is Hair.LONG:
        tailor.hull(mane, hair_colour, (-1.0, 0.2))
    if person.outfit.hat is not None:
        crown = [(at(head, forward=-0.01, up=0.04), 0.052), (at(head, forward=0.0, up=0.026), 0.06)]
        brim = [(at(head, forward=0.03, up=0.03), 0.03), (at(head, forward=0.075, up=0.02), 0.02)]
        tailor.hull(crown, person.outfit.hat)
        tailor.hull(brim, person.outfit.hat, (-0.5, 1.0))


def _bag(tailor: Tailor, person: Appearance) -> None:
    outfit = person.outfit
    if outfit.bag is Bag.BACKPACK:
        tailor.limb(nearer=0.06)
        tailor.hull(
            [
                (at(Joint.NECK, forward=-0.082, left=side * 0.04, up=up), 0.045)
                for side in (-1, 1)
                for up in (-0.06, -0.2)
            ],
            outfit.bag_colour,
        )
        pocket = [
            (at(Joint.NECK, forward=-0.13, left=side, up=-0.2), 0.022) for side in (-0.04, 0.04)
        ]
        tailor.hull(pocket, scaled(outfit.bag_colour, 0.75), FROM_BEHIND)
        tailor.limb(nearer=0.2)
        for side in (-0.068, 0.068):
            strap = [
                (at(Joint.NECK, forward=0.04, left=side, up=-0.03), 0.011),
                (at(Joint.NECK, forward=0.05, left=side, up=-0.15), 0.011),
            ]
            tailor.hull(strap, outfit.bag_colour, FROM_THE_FRONT)
    if outfit.bag is Bag.SHOULDER:
        tailor.limb(nearer=0.1)
        for forward, seen in ((0.045, FROM_THE_FRONT), (-0.045, FROM_BEHIND)):
            ends = (
                at(Joint.SHOULDER_RIGHT, forward=forward, left=0.04),
                at(Joint.HIP_LEFT, forward=forward, left=0.03),
            )
            tailor.hull([(spot, 0.009) for spot in ends], outfit.bag_colour, seen)
        tailor.limb(nearer=0.02)
        bag = [
            (at(Joint.HIP_LEFT, forward=forward, left=0.045, up=up), 0.03)
            for forward in (-0.05, 0.05)
            for up in (0.015, -0.05)
        ]
        tailor.hull(bag, outfit.bag_colour)
