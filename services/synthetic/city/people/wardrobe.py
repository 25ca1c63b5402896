"""A stream of random numbers -> people who can be told apart by what they wear, some only just."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.synthetic.city.drawing.sprite import Rgb


T = TypeVar("T")


class Pattern(StrEnum):
    PLAIN = "plain"
    STRIPES = "stripes"
    TWO_TONE = "two_tone"
    PRINT = "print"
    OPEN_JACKET = "open_jacket"


class Top(StrEnum):
    SHIRT = "shirt"
    """Short sleeves."""
    PULLOVER = "pullover"
    COAT = "coat"
    """Down to the knees."""


class Bottom(StrEnum):
    TROUSERS = "trousers"
    SHORTS = "shorts"
    SKIRT = "skirt"


class Hair(StrEnum):
    SHORT = "short"
    LONG = "long"
    BALD = "bald"


class Bag(StrEnum):
    NONE = "none"
    BACKPACK = "backpack"
    SHOULDER = "shoulder"
    HAND = "hand"


@dataclass(frozen=True)
class Outfit:
    """What someone wears. Colours are true colours, before any camera sees them."""

    top: Top
    top_colour: Rgb
    pattern: Pattern
    accent: Rgb
    bottom: Bottom
    bottom_colour: Rgb
    shoes: Rgb
    bag: Bag
    bag_colour: Rgb
    hat: Rgb | None


@dataclass(frozen=True)
class Appearance:
    """A body and its clothes. build: 1 is average, more is broader."""

    height_m: float
    build: float
    skin: Rgb
    hair: Hair
    hair_colour: Rgb
    outfit: Outfit


TOP_COLOURS: tuple[Rgb, ...] = (
    (34, 34, 38), (92, 96, 104), (168, 170, 172), (236, 234, 228), (28, 42, 84), (58, 104, 176),
    (128, 178, 220), (190, 44, 48), (122, 30, 52), (232, 120, 44), (240, 190, 62), (62, 92, 58),
    (70, 160, 92), (30, 130, 136), (136, 82, 160), (226, 136, 166), (206, 180, 142), (116, 76, 50),
)  # fmt: skip
BOTTOM_COLOURS: tuple[Rgb, ...] = (
    (30, 30, 36), (38, 52, 92), (72, 100, 148), (126, 150, 186), (104, 104, 108), (178, 174, 166),
    (184, 156, 112), (92, 68, 50), (82, 90, 62), (228, 222, 212), (110, 40, 46),
)  # fmt: skip
BAG_COLOURS: tuple[Rgb, ...] = (
    (26, 26, 30), (96, 62, 38), (168, 52, 44), (44, 78, 132), (190, 160, 104), (74, 96, 70),
    (214, 206, 196), (222, 142, 40),
)  # fmt: skip
SHOE_COLOURS: tuple[Rgb, ...] = ((28, 28, 32), (70, 48, 34), (226, 224, 220), (150, 40, 40))
HAIR_COLOURS: tuple[Rgb, ...] = (
    (24, 20, 20), (40, 30, 26), (70, 46, 30), (112, 76, 44), (150, 146, 144),
)  # fmt: skip
SKIN_COLOURS: tuple[Rgb, ...] = (
    (244, 208, 178), (232, 188, 152), (216, 168, 130), (178, 128, 92), (122, 82, 58),
)  # fmt: skip


@dataclass(frozen=True)
class Wardrobe:
    """How people are dressed. All numbers are ours.

    lookalikes: share of people who wear almost what someone before them wears.
    apart: least distance (see `outfit_distance`) between the others and those before them.
    memory: how many people before are looked at.
    """

    lookalikes: float = 0.15
    apart: float = 0.30
    memory: int = 60

    def dress(self, rng: np.random.Generator, before: Sequence[Appearance]) -> Appearance:
        """The next person, given those who came before."""
        recent = before[-self.memory :]
        if recent and rng.random() < self.lookalikes:
            twin = recent[int(rng.integers(len(recent)))]
            return replace(someone(rng), outfit=almost(rng, twin.outfit), hair=twin.hair)
        for _ in range(40):
            person = someone(rng)
            if all(outfit_distance(person.outfit, other.outfit) >= self.apart for other in recent):
                return person
        return someone(rng)


def someone(rng: np.random.Generator) -> Appearance:
    long_hair = rng.random() < 0.42
    hair = Hair.LONG if long_hair else (Hair.BALD if rng.random() < 0.08 else Hair.SHORT)
    height = rng.normal(1.66, 0.05) if long_hair else rng.normal(1.75, 0.06)
    return Appearance(
        height_m=float(np.clip(height, 1.52, 1.92)),
        build=float(np.clip(rng.normal(1.0, 0.11), 0.82, 1.28)),
        skin=tinted(rng, SKIN_COLOURS[rng.choice(5, p=(0.3, 0.3, 0.22, 0.1, 0.08))], 0.02),
        hair=hair,
        hair_colour=tinted(rng, HAIR_COLOURS[rng.choice(5, p=(0.38, 0.28, 0.16, 0.1, 0.08))], 0.02),
        outfit=clothes(rng),
    )


def clothes(rng: np.random.Generator) -> Outfit:
    top = Top(rng.choice([*Top], p=(0.34, 0.48, 0.18)))
    patterns = (0.42, 0.14, 0.16, 0.14, 0.14) if top is not Top.COAT else (0.72, 0, 0.1, 0, 0.18)
    first, second = rng.choice(len(TOP_COLOURS), 2, replace=False)
    return Outfit(
        top=top,
        top_colour=tinted(rng, TOP_COLOURS[first]),
        pattern=Pattern(rng.choice([*Pattern], p=patterns)),
        accent=tinted(rng, TOP_COLOURS[second]),
        bottom=Bottom(rng.choice([*Bottom], p=(0.74, 0.13, 0.13))),
        bottom_colour=tinted(rng, pick(rng, BOTTOM_COLOURS)),
        shoes=tinted(rng, pick(rng, SHOE_COLOURS)),
        bag=Bag(rng.choice([*Bag], p=(0.46, 0.22, 0.18, 0.14))),
        bag_colour=tinted(rng, pick(rng, BAG_COLOURS)),
        hat=tinted(rng, pick(rng, TOP_COLOURS)) if rng.random() < 0.14 else None,
    )


def almost(rng: np.random.Generator, outfit: Outfit) -> Outfit:
    """The same clothes but for one thing: another bottom, another accent, or another bag."""
    change = rng.integers(3)
    if change == 0:
        return replace(outfit, bottom_colour=tinted(rng, pick(rng, BOTTOM_COLOURS)))
    if change == 1:
        others = [bag for bag in Bag if bag is not outfit.bag]
        return replace(
            outfit, bag=pick(rng, others), bag_colour=tinted(rng, pick(rng, BAG_COLOURS))
        )
    other = Pattern.STRIPES if outfit.pattern is Pattern.PLAIN else Pattern.PLAIN
    return replace(outfit, pattern=other, accent=tinted(rng, pick(rng, TOP_COLOURS)))


def outfit_distance(one: Outfit, other: Outfit) -> float:
    """0 for the same clothes; about 1 where both top and bottom are quite another colour."""
    top = np.linalg.norm(np.subtract(worn_colour(one), worn_colour(other))) / 255
    bottom = np.linalg.norm(np.subtract(one.bottom_colour, other.bottom_colour)) / 255
    cut = (one.top is not other.top) + (one.bottom is not other.bottom) + (one.bag is not other.bag)
    return float(top + 0.8 * bottom + 0.06 * cut + 0.1 * (one.pattern is not other.pattern))


def worn_colour(outfit: Outfit) -> Rgb:
    """What the top looks like from far away."""
    share = {Pattern.PLAIN: 0.0, Pattern.PRINT: 0.1, Pattern.OPEN_JACKET: 0.2}.get(
        outfit.pattern, 0.45
    )
    red, green, blue = (
        (1 - share) * a + share * b for a, b in zip(outfit.top_colour, outfit.accent, strict=True)
    )
    return red, green, blue


def tinted(rng: np.random.Generator, colour: Rgb, amount: float = 0.045) -> Rgb:
    """A shade beside the colour: no two garments of a city are dyed quite alike."""
    hue, light, saturation = colorsys.rgb_to_hls(*(value / 255 for value in colour))
    hue = (hue + rng.normal(0, amount / 3)) % 1.0
    light = float(np.clip(light + rng.normal(0, amount), 0.06, 0.95))
    saturation = float(np.clip(saturation + rng.normal(0, amount), 0, 1))
    red, green, blue = colorsys.hls_to_rgb(hue, light, saturation)
    return red * 255, green * 255, blue * 255


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]
