"""Characters in one style a plate -> licence plates, each with its text.

    FOLDER/images/000000.png    the plate
    FOLDER/rec_gt.txt           images/000000.png<TAB>text, as PaddleOCR reads it
    FOLDER/labels.csv           file,text,style: which picture lent the style

Proportions are those of GA 36's blue plate: 440 x 140 mm, characters of 45 x 90 mm, 12 mm between
them, 34 mm behind the second, where the dot is. Texts are drawn evenly and belong to nobody.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.synthetic.training.making import restyle
from shared.errors import Malformed
from shared.made_data import DataKind, LabelPolicy, MadeAbout, MadeFolder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from services.synthetic.training.pictures import Pictures
    from shared.made_data import MadeData
    from shared.model_store import StoredModel

PROVINCES = {
    "zh_cuan": "川", "zh_e": "鄂", "zh_gan": "赣", "zh_gan1": "甘", "zh_gui": "贵",
    "zh_gui1": "桂", "zh_hei": "黑", "zh_hu": "沪", "zh_ji": "冀", "zh_jin": "津",
    "zh_jing": "京", "zh_jl": "吉", "zh_liao": "辽", "zh_lu": "鲁", "zh_meng": "蒙",
    "zh_min": "闽", "zh_ning": "宁", "zh_qing": "青", "zh_qiong": "琼", "zh_shan": "陕",
    "zh_su": "苏", "zh_sx": "晋", "zh_wan": "皖", "zh_xiang": "湘", "zh_xin": "新",
    "zh_yu": "豫", "zh_yu1": "渝", "zh_yue": "粤", "zh_yun": "云", "zh_zang": "藏",
    "zh_zhe": "浙",
}  # fmt: skip
"""Names of classes to what a plate shows first."""

LENGTH = 7
MM = 0.5
"""Pixels."""
WIDTH, HEIGHT = int(440 * MM), int(140 * MM)
CHARACTER = (round(45 * MM), int(90 * MM))
FIRST, PITCH, BEHIND_SECOND, TOP = 15.5, 57.0, 22.0, 25.0
DOT, DOT_RADIUS = 134.5, 5.0
BLUE, WHITE = (20, 60, 160), (235, 240, 245)
SHADE = (0.6, 1.15)
"""Of a plate's light, drawn evenly."""


@dataclass(frozen=True, eq=False)
class Plates:
    """images: (N, H, W, 3) rgb. texts: what they show. styles: rows of the pictures whose style
    each has."""

    images: NDArray[np.uint8]
    texts: tuple[str, ...]
    styles: NDArray[np.int64]


def make_plates(model: StoredModel, pictures: Pictures, count: int, seed: int) -> Plates:
    """Raises Malformed (`no_plate_classes`) for pictures without provinces, letters and digits, and
    what `restyle` raises."""
    random = np.random.default_rng(seed)
    labels = _drawn(pictures.classes, count, random)
    styles = random.integers(len(pictures), size=count)
    contents = pictures.templates[labels.ravel()]
    made = restyle(model, contents, np.repeat(pictures.images[styles], LENGTH, axis=0))
    lights = random.uniform(*SHADE, size=count)
    characters = made[:, 0].reshape(count, LENGTH, *made.shape[2:])
    images = [_plate(row, light) for row, light in zip(characters, lights, strict=True)]
    names = [[_shown(pictures.classes[label]) for label in row] for row in labels]
    return Plates(np.stack(images), tuple("".join(row) for row in names), styles)


def write_plates(
    plates: Plates, folder: Path, *, model: StoredModel, data: str, seed: int
) -> MadeData:
    """Raises what `MadeFolder` raises."""
    target = MadeFolder(folder)
    names = [f"images/{number:06}.png" for number in range(len(plates.texts))]
    for name, image in zip(names, plates.images, strict=True):
        target.add(name, cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    pairs = zip(names, plates.texts, strict=True)
    target.add("rec_gt.txt", "".join(f"{name}\t{text}\n" for name, text in pairs).encode())
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "text", "style"])
    writer.writerows(zip(names, plates.texts, plates.styles.tolist(), strict=True))
    target.add("labels.csv", table.getvalue().encode())
    return target.close(
        MadeAbout(
            name=folder.name,
            kind=DataKind.PLATES,
            system=model.card.settings["system"],
            model=model.card.name,
            model_sha256=model.digest,
            seed=seed,
            label_policy=LabelPolicy.HARD,
            lineage={"styles_and_contents": data},
            counts={"pictures": len(names), "characters": LENGTH * len(names)},
            licence=model.card.licence,
            width=WIDTH,
            height=HEIGHT,
        )
    )


def _drawn(classes: tuple[str, ...], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """-> (count, 7) labels: a province, a letter, five letters or digits."""
    numbered = list(enumerate(classes))
    provinces = [label for label, name in numbered if name in PROVINCES]
    letters = [label for label, name in numbered if len(name) == 1 and name.isalpha()]
    digits = [label for label, name in numbered if len(name) == 1 and name.isdigit()]
    if not (provinces and letters and digits):
        raise Malformed(
            "a plate needs classes of provinces (zh_*), letters and digits", code="no_plate_classes"
        )
    columns = [provinces, letters, *[letters + digits] * (LENGTH - 2)]
    return np.stack([random.choice(column, count) for column in columns], axis=1)


def _shown(name: str) -> str:
    return PROVINCES.get(name, name)


def _plate(characters: NDArray[np.uint8], light: float) -> NDArray[np.uint8]:
    """(7, H, W), bright on dark -> (HEIGHT, WIDTH, 3)."""
    ink = np.zeros((HEIGHT, WIDTH), np.uint8)
    width, height = CHARACTER
    top = int(TOP * MM)
    for place, character in enumerate(characters):
        left = round((FIRST + place * PITCH + (BEHIND_SECOND if place > 1 else 0)) * MM)
        large = cv2.resize(character, CHARACTER, interpolation=cv2.INTER_CUBIC)
        ink[top : top + height, left : left + width] = large
    middle = (round(DOT * MM), HEIGHT // 2)
    cv2.circle(ink, middle, round(DOT_RADIUS * MM), 255, cv2.FILLED, cv2.LINE_AA)
    share = ink[..., None] / 255
    painted = share * np.array(WHITE) + (1 - share) * np.array(BLUE)
    lit: NDArray[np.uint8] = np.clip(painted * light, 0, 255).astype(np.uint8)
    return lit
