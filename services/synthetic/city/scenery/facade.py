"""A style of building and its size in metres -> the texture of its front."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.synthetic.city.drawing.sprite import Rgb, scaled
from services.synthetic.city.scenery.paving import Texture, cloudy

if TYPE_CHECKING:
    from collections.abc import Callable

WALL_PX_PER_M = 44


class Facade(StrEnum):
    SHOPS = "shops"
    HOUSES = "houses"
    OFFICE = "office"
    HEDGE = "hedge"


AWNINGS: tuple[Rgb, ...] = (
    (172, 58, 52), (46, 96, 88), (60, 82, 128), (196, 142, 60), (110, 74, 104), (76, 108, 64),
)  # fmt: skip
INTERIORS: tuple[Rgb, ...] = ((214, 178, 122), (186, 170, 140), (150, 168, 176), (198, 150, 112))
FRAME: Rgb = (58, 56, 54)


def facade_texture(
    kind: Facade, rng: np.random.Generator, length_m: float, height_m: float, tint: Rgb
) -> Texture:
    """(rows, columns, 3): row 0 is the top of the wall. tint: the wall's mean colour."""
    rows, columns = round(height_m * WALL_PX_PER_M), round(length_m * WALL_PX_PER_M)
    wall = _Wall(rng, rows, columns, tint)
    STYLES[kind](wall)
    return wall.pixels


class _Wall:
    """A plastered wall to draw on, in metres from its lower left corner."""

    def __init__(self, rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> None:
        self.rng = rng
        self.tint = tint
        self.length_m, self.height_m = columns / WALL_PX_PER_M, rows / WALL_PX_PER_M
        light = 2.0 * rng.normal(0, 1, (rows, columns)) + 3.0 * cloudy(rng, rows, columns, 90)
        self.pixels: Texture = np.asarray(
            np.array(tint, np.float32) + light[..., None].astype(np.float32), np.float32
        )

    def rect(self, left: float, low: float, width: float, height: float, colour: Rgb) -> Texture:
        """Fills a rectangle, and gives its pixels to be drawn on."""
        rows = self.pixels.shape[0]
        top = max(round(rows - (low + height) * WALL_PX_PER_M), 0)
        bottom = max(round(rows - low * WALL_PX_PER_M), 0)
        first = max(round(left * WALL_PX_PER_M), 0)
        last = max(round((left + width) * WALL_PX_PER_M), 0)
        area = self.pixels[top:bottom, first:last]
        area[:] = colour
        return area

    def pane(self, left: float, low: float, width: float, height: float, colour: Rgb) -> None:
        """A window: frame, glass that is darker above, and the sky's reflection as a slant."""
        self.rect(left, low, width, height, FRAME)
        edge = 0.06
        glass = self.rect(left + edge, low + edge, width - 2 * edge, height - 2 * edge, colour)
        if not glass.size:
            return
        rows, columns = glass.shape[:2]
        glass *= np.linspace(0.62, 1.0, rows, dtype=np.float32)[:, None, None]
        slant = (np.arange(columns)[None, :] + np.arange(rows)[:, None] * 0.6) / WALL_PX_PER_M
        phase = self.rng.uniform(0, 2)
        gleam = np.clip(np.sin((slant + phase) * 2.4) - 0.55, 0, 1)
        glass += (gleam[..., None] * np.array((58, 66, 74))).astype(np.float32)

    def choice(self, colours: tuple[Rgb, ...]) -> Rgb:
        return colours[int(self.rng.integers(len(colours)))]


def _shops(wall: _Wall) -> None:
    """Shop fronts with awnings and signs below, windows above."""
    _bricks(wall)
    left = float(-wall.rng.uniform(0, 3))
    while left < wall.length_m:
        width = float(wall.rng.uniform(4.4, 6.4))
        _shop(wall, max(left, 0.0) + 0.12, width - 0.24)
        for n in range(2):
            wall.pane(left + width * (0.2 + 0.4 * n), 4.9, width * 0.2, 1.7, (96, 112, 124))
            wall.rect(left + width * (0.18 + 0.4 * n), 4.78, width * 0.24, 0.12, (196, 190, 180))
        left += width
    wall.rect(0, 4.2, wall.length_m, 0.16, scaled(wall.tint, 1.18))


def _shop(wall: _Wall, left: float, width: float) -> None:
    rng, awning = wall.rng, wall.choice(AWNINGS)
    wall.rect(left, 0, width, 0.5, scaled(wall.tint, 0.7))
    interior = wall.choice(INTERIORS)
    door = 1.1
    door_left = left + (0.15 if rng.random() < 0.5 else width - door - 0.15)
    for share in (0.0, 0.5):
        pane_left = left + 0.1 + share * (width - 0.2)
        wall.pane(pane_left, 0.5, (width - 0.2) / 2 - 0.05, 2.25, interior)
    for _ in range(7):
        goods = float(rng.uniform(left + 0.3, left + width - 0.6))
        height = float(rng.uniform(0.3, 0.95))
        wall.rect(goods, 0.62, 0.26, height, scaled(wall.choice(AWNINGS), 0.8))
    wall.pane(door_left, 0.02, door, 2.55, scaled(interior, 0.72))
    cloth = wall.rect(left, 2.55, width, 0.62, awning)
    stripe = round(0.34 * WALL_PX_PER_M)
    for column in range(0, cloth.shape[1], 2 * stripe):
        cloth[:, column : column + stripe] = (228, 222, 210)
    cloth *= np.linspace(1.08, 0.78, cloth.shape[0], dtype=np.float32)[:, None, None]
    wall.rect(left, 2.45, width, 0.1, (40, 38, 36))
    panel = wall.rect(left + 0.2, 3.36, width - 0.4, 0.66, scaled(awning, 0.62))
    _lettering(rng, panel)


def _lettering(rng: np.random.Generator, panel: Texture) -> None:
    """Strokes that look like characters from across the street, and are none."""
    rows, columns = panel.shape[:2]
    size = round(rows * 0.56)
    signs = max(int(columns / (size * 2.1)), 1)
    start = (columns - round(signs * size * 1.35)) // 2
    for n in range(signs):
        left, top = start + round(n * size * 1.35), (rows - size) // 2
        for _ in range(4):
            at, reach = rng.integers(0, size, 2), int(rng.integers(size // 3, size))
            across = bool(rng.random() < 0.55)
            width, height = (reach, 3) if across else (3, reach)
            x, y = left + min(int(at[0]), size - width), top + min(int(at[1]), size - height)
            panel[max(y, 0) : y + height, max(x, 0) : x + width] = (244, 236, 214)


def _houses(wall: _Wall) -> None:
    """A plastered row of flats with regular windows and a stone base."""
    wall.rect(0, 0, wall.length_m, 0.8, scaled(wall.tint, 0.72))
    left = 0.9
    while left < wall.length_m:
        for low in (1.5, 4.6, 7.7):
            wall.rect(left - 0.1, low - 0.12, 1.5, 0.12, scaled(wall.tint, 1.15))
            wall.pane(left, low, 1.3, 1.75, (104, 122, 138))
        left += 2.9
        if wall.rng.random() < 0.25:
            wall.pane(left - 1.25, 0.02, 0.95, 2.2, (84, 60, 44))
    wall.rect(0, 3.9, wall.length_m, 0.14, scaled(wall.tint, 1.12))


def _office(wall: _Wall) -> None:
    """A curtain wall of glass."""
    width = 1.6
    for low, height in ((0.25, 3.0), (3.5, 1.6), (5.2, 1.6), (6.9, 1.6)):
        for n in range(int(wall.length_m / width) + 1):
            tone = float(wall.rng.uniform(0.86, 1.12))
            lobby = low < 1
            glass = (166, 160, 138) if lobby and wall.rng.random() < 0.4 else (92, 124, 146)
            wall.pane(n * width, low, width - 0.06, height, scaled(glass, tone))
    wall.rect(0, 3.25, wall.length_m, 0.25, scaled(wall.tint, 1.1))
    wall.rect(0, 0, wall.length_m, 0.25, scaled(wall.tint, 0.7))


def _hedge(wall: _Wall) -> None:
    rows, columns = wall.pixels.shape[:2]
    leaves = wall.rng.normal(0, 1, (rows, columns)).astype(np.float32)
    leaves = cv2.GaussianBlur(leaves, (5, 5), 1.3) * 40 + 9 * cloudy(wall.rng, rows, columns, 26)
    top = np.linspace(18, -26, rows, dtype=np.float32)[:, None]
    wall.pixels[:] = np.array(wall.tint, np.float32) + (leaves + top)[..., None] * np.array(
        (0.8, 1.0, 0.6), np.float32
    )


def _bricks(wall: _Wall) -> None:
    rows, columns = wall.pixels.shape[:2]
    high = max(round(0.16 * WALL_PX_PER_M), 3)
    long = round(0.42 * WALL_PX_PER_M)
    for course, row in enumerate(range(0, rows, high)):
        tone = wall.rng.normal(0, 5, columns // long + 2)
        shift = (course % 2) * long // 2
        line = np.repeat(tone, long)[shift : shift + columns].astype(np.float32)
        wall.pixels[row : row + high] += line[None, :, None]
        wall.pixels[row] += 9


STYLES: dict[Facade, Callable[[_Wall], None]] = {
    Facade.SHOPS: _shops,
    Facade.HOUSES: _houses,
    Facade.OFFICE: _office,
    Facade.HEDGE: _hedge,
}
