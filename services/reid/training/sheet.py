"""Compared crops -> a picture: a query per row, its ten best answers, right ones framed green.

The people are real and did not ask to be shown: the top of every crop, where a face is, is averaged
into a few patches, which nothing can undo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from services.reid.core.evaluation import answers
from shared import images

if TYPE_CHECKING:
    from pathlib import Path

    from services.reid.training.crops import Crop
    from services.reid.training.evaluate import Compared

ANSWERS = 10
WIDTH, HEIGHT = 64, 128
"""Of a crop in the picture, in pixels."""

FRAME, GAP = 4, 4
HIDDEN_SHARE = 0.25
"""Of a crop's height, from its top. A head takes up an eighth of an upright person."""

PATCHES = (4, 2)
"""Columns and rows that are left of the hidden part."""

RIGHT, WRONG, ASKED, PAPER = (0, 150, 70), (200, 40, 40), (90, 90, 90), (255, 255, 255)


def draw_sheet(compared: Compared, file: Path, *, rows: int = 12) -> None:
    """Writes a PNG. rows: queries, taken at even distances from those that have an answer."""
    asked = _spread(compared, rows)
    across, down = WIDTH + 2 * FRAME + GAP, HEIGHT + 2 * FRAME + GAP
    sheet = Image.new("RGB", (across * (ANSWERS + 1) + 3 * GAP, down * len(asked) + GAP), PAPER)
    for row, (query, best) in enumerate(asked):
        cells = [_framed(compared.trial.query[query], ASKED)]
        person = compared.trial.query[query].person
        for place in best:
            crop = compared.trial.gallery[place]
            cells.append(_framed(crop, RIGHT if crop.person == person else WRONG))
        for column, cell in enumerate(cells):
            # The query stands a little apart.
            sheet.paste(
                cell, (GAP + column * across + (2 * GAP if column else 0), GAP + row * down)
            )
    sheet.save(file, format="PNG")


def _spread(compared: Compared, rows: int) -> list[tuple[int, list[int]]]:
    """(query, the places of its best answers)."""
    query, gallery = compared.query, compared.gallery
    counted = []
    for n, (row, person, camera) in enumerate(
        zip(compared.similarity, query.people, query.cameras, strict=True)
    ):
        order = answers(row, person, camera, gallery)
        if (gallery.people[order] == person).any():
            counted.append((n, order[:ANSWERS].tolist()))
    chosen = np.unique(np.linspace(0, len(counted) - 1, min(rows, len(counted))).astype(int))
    return [counted[n] for n in chosen]


def _framed(crop: Crop, colour: tuple[int, int, int]) -> Image.Image:
    framed = Image.new("RGB", (WIDTH + 2 * FRAME, HEIGHT + 2 * FRAME), colour)
    pixels = images.decode(crop.path.read_bytes(), "rgb")
    framed.paste(without_face(Image.fromarray(pixels).resize((WIDTH, HEIGHT))), (FRAME, FRAME))
    return framed


def without_face(crop: Image.Image) -> Image.Image:
    """The crop with its top averaged into PATCHES."""
    top = (0, 0, crop.width, round(HIDDEN_SHARE * crop.height))
    hidden = crop.copy()
    patches = crop.crop(top).resize(PATCHES, Image.Resampling.BOX)
    hidden.paste(patches.resize((top[2], top[3]), Image.Resampling.NEAREST), top)
    return hidden
