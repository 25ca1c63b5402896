"""A stored SAAE and real pictures -> every content in every style, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from services.synthetic.training.digits import nearest
from services.synthetic.training.making import restyle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.synthetic.training.pictures import Pictures
    from shared.model_store import StoredModel

PAPER = 255


class Transfer(NamedTuple):
    """images: row by row, (N, C, H, W). Above, the contents; then a row a style: the style, all
    contents in it, the real picture nearest to the first of them."""

    images: NDArray[np.uint8]
    columns: int


def transfer(
    model: StoredModel, pictures: Pictures, *, styles: int, contents: int, seed: int
) -> Transfer:
    """Contents: the templates of so many classes, styles: pictures, both drawn. Raises what
    `restyle` raises."""
    random = np.random.default_rng(seed)
    classes = len(pictures.templates)
    shown = np.sort(random.choice(classes, min(contents, classes), replace=False))
    above = pictures.templates[shown]
    beside = pictures.images[random.choice(len(pictures), styles, replace=False)]
    made = restyle(
        model, np.tile(above, (styles, 1, 1, 1)), np.repeat(beside, len(above), axis=0)
    ).reshape(styles, len(above), *above.shape[1:])
    paper = np.full((1, *above.shape[1:]), PAPER, np.uint8)
    rows = [np.concatenate([paper, above, paper])]
    rows += [
        np.concatenate([style[None], row, real[None]])
        for style, row, real in zip(beside, made, nearest(made[:, 0], pictures.images), strict=True)
    ]
    return Transfer(np.concatenate(rows), len(above) + 2)
