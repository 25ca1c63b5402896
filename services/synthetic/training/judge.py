"""Real images and their classes -> a classifier that says what made ones show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from services.synthetic.training.pictures import Pictures

BATCH = 64
LEARNING_RATE = 2e-3


class Judge:
    """A small convolutional network (ours), trained on real images alone for so many steps."""

    def __init__(self, pictures: Pictures, *, steps: int = 600, seed: int = 0) -> None:
        torch.manual_seed(seed)
        _, channels, height, width = pictures.images.shape
        self._network = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (height // 4) * (width // 4), 128),
            nn.ReLU(),
            nn.Linear(128, max(len(pictures.classes), 1)),
        )
        optimiser = torch.optim.Adam(self._network.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
        random = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            batch = pictures.batch(BATCH, random)
            loss = cross_entropy(self._network(batch["images"]), batch["labels"])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        self._network.eval()

    @torch.no_grad()
    def labels(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(N, C, H, W) -> (N,)."""
        found = [
            self._network(torch.from_numpy(images[start : start + 1000]).float() / 255).argmax(1)
            for start in range(0, len(images), 1000)
        ]
        return torch.cat(found).numpy()

    def accuracy(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """Share of the images that show what they should."""
        return float((self.labels(images) == labels).mean())
