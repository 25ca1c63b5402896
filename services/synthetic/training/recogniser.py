"""Characters and their classes -> a network that reads them, and how well as it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 64
AT_ONCE = 16
"""Batches drawn together: augmenting many images costs less than as often a few."""
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
ASKED_AT_ONCE = 1000


class Characters(NamedTuple):
    """images: (N, 1, H, W) in [0, 1]. labels: (N,), from 0."""

    images: Tensor
    labels: Tensor

    def chosen(self, rows: Tensor) -> Characters:
        return Characters(self.images[rows], self.labels[rows])

    def joined(self, other: Characters) -> Characters:
        return Characters(
            torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels])
        )


class Recogniser(nn.Sequential):
    """(B, 1, H, W) -> (B, classes), logits. Small (ours): strides instead of pooling, for two
    cores must train dozens of them."""

    def __init__(self, height: int, width: int, classes: int, *, features: int = 24) -> None:
        area = -(-height // 4) * -(-width // 4)
        super().__init__(
            nn.Conv2d(1, features, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(),
            nn.Conv2d(features, 3 * features, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(3 * features),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(3 * features * area, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )

    @torch.no_grad()
    def beliefs(self, images: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, classes), adding up to 1."""
        was, _ = self.training, self.eval()
        logits = torch.cat([self(part) for part in torch.split(images, ASKED_AT_ONCE)])
        self.train(was)
        return logits.softmax(dim=1)

    def errors(self, asked: Characters) -> Tensor:
        """-> (N,) bool: which are misread."""
        return self.beliefs(asked.images).argmax(dim=1) != asked.labels


class Learnt(NamedTuple):
    """curve: (iterations, share of the watched that is read rightly), in order."""

    recogniser: Recogniser
    curve: list[tuple[int, float]]


def learn(
    draw: Callable[[int, torch.Generator], Characters],
    classes: int,
    *,
    steps: int,
    seed: int,
    watched: Characters | None = None,
    looks: int = 1,
) -> Learnt:
    """draw: so many images to learn from. watched: is read `looks` times in the course of it, and
    decides nothing."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    pool = draw(BATCH * AT_ONCE, random)
    height, width = pool.images.shape[2:]
    network = Recogniser(height, width, classes)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    curve = []
    for step in range(1, steps + 1):
        place = step % AT_ONCE
        if place == 0:
            pool = draw(BATCH * AT_ONCE, random)
        batch = pool.chosen(torch.arange(place * BATCH, (place + 1) * BATCH))
        loss = cross_entropy(network(batch.images), batch.labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if watched is not None and (step * looks // steps) > ((step - 1) * looks // steps):
            curve.append((step, 1 - float(network.errors(watched).float().mean())))
    return Learnt(network, curve)
