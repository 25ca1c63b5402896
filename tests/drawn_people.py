"""People in shirts and trousers of their own, through cameras of different light: data sets and a
model that has learnt nothing of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import torch

from services.reid.models.msp_cnn import MspCnn
from services.reid.training.folding import fold
from shared.made_data import DataKind, LabelPolicy, MadeAbout, MadeFolder
from shared.model_store import ModelStore, StoredModel, sha256_of

SHIPPED = ModelStore(Path(__file__).parents[1] / "models")
HEIGHT, WIDTH = 32, 16
SHRINK = 4
LIGHTS = np.array([[1.0, 1.0, 1.0], [0.55, 0.7, 1.0], [1.0, 0.75, 0.5]])
"""What each camera makes of rgb."""


def drawn(person: int, camera: int, n: int) -> bytes:
    """A PNG. camera: 1 to 3."""
    look, noise = np.random.default_rng(person), np.random.default_rng((person, camera, n))
    shirt, trousers = look.integers(20, 236, (2, 3))
    pixels = np.full((HEIGHT, WIDTH, 3), noise.integers(60, 160), np.float64)
    pixels[6:18, 3:13], pixels[18:31, 4:12] = shirt, trousers
    pixels = pixels * LIGHTS[camera - 1] + noise.normal(0, 8, pixels.shape)
    pixels = np.roll(pixels, noise.integers(-1, 2), axis=1)
    return cv2.imencode(".png", np.clip(pixels, 0, 255).astype(np.uint8)[..., ::-1])[1].tobytes()


def write_people(
    folder: Path, people, *, cameras=(1, 2), crops: int = 2, policy: LabelPolicy | None = None
) -> str:
    """A data set of persons, registered, or made with a label policy; its id."""
    data = MadeFolder(folder, synthetic=policy is not None)
    for person in people:
        for camera in cameras:
            for n in range(crops):
                data.add(f"images/{person:04}_c{camera}s1_{n:06}_00.png", drawn(person, camera, n))
    data.close(
        MadeAbout(
            name=folder.name[-4:].lower(),
            kind=DataKind.PERSONS,
            synthetic=policy is not None,
            system=policy and "colour_transfer",
            label_policy=policy or LabelPolicy.NONE,
            epsilon=0.1 if policy is LabelPolicy.LSR else None,
            counts={"pictures": len(people) * len(cameras) * crops},
            licence="of the test",
        )
    )
    return folder.name


def untaught(folder: Path, name: str = "untaught") -> StoredModel:
    """MSP-CNN as chance has made it, seeing crops at a quarter of their size."""
    shipped = SHIPPED.load("msp-cnn")
    torch.manual_seed(3)
    file = folder / f"{name}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    fold(MspCnn(identities=2), "fc8", shipped.path, file)
    _shrink(file, SHRINK)
    settings = {**shipped.card.settings, "stages": [{"epochs": 1, "shrink": SHRINK}]}
    changes = {"name": name, "file": file.name, "sha256": sha256_of(file), "settings": settings}
    return ModelStore(folder).save(shipped.card.model_copy(update=changes), file)


def _shrink(file: Path, factor: int) -> None:
    """Has the network's first layer average by another factor than it did."""
    model = onnx.load(file)
    first = next(node for node in model.graph.node if node.op_type == "AveragePool")
    for attribute in first.attribute:
        if attribute.name in ("kernel_shape", "strides"):
            attribute.ints[:] = [factor, factor]
    onnx.save(model, file)
