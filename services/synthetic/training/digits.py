"""A stored system and MNIST -> how likely it makes the test digits, and whether they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.synthetic.training.judge import Judge
from services.synthetic.training.making import make
from services.synthetic.training.parzen import Likelihood, parzen_likelihood
from services.synthetic.training.pictures import TEST, of_idx
from shared.errors import Conflict

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from shared.model_store import StoredModel

VALIDATION_FROM, VALIDATION = 50_000, 1_000
"""Of the training images, the last ten thousand choose sigma, by their first thousand."""

SHOWN = 50


@dataclass(frozen=True, eq=False)
class Digits:
    """made, nearest: (N, C, H, W); the real training image nearest to each of the first made ones.
    read: the share of made digits that a judge trained on real ones reads as what was asked for,
    read_of_real: of the test's; None for a system that is asked for no digit."""

    made: NDArray[np.uint8]
    nearest: NDArray[np.uint8]
    likelihood: Likelihood
    of_real: Likelihood
    read: float | None
    read_of_real: float | None

    @property
    def figures(self) -> dict[str, float | None]:
        return {
            "log_likelihood": self.likelihood.mean,
            "log_likelihood_error": self.likelihood.error,
            "sigma": self.likelihood.sigma,
            "log_likelihood_of_real": self.of_real.mean,
            "read": self.read,
            "read_of_real": self.read_of_real,
        }

    @property
    def table(self) -> str:
        rows = [("made", self.likelihood, self.read), ("real", self.of_real, self.read_of_real)]
        lines = ["images   log-likelihood, nats   sigma   read as asked for"]
        for name, one, read in rows:
            share = "" if read is None else f"{read:.1%}"
            lines.append(
                f"{name:6} {one.mean:10.1f} +- {one.error:.1f} {one.sigma:12.3f} {share:>10}"
            )
        return "\n".join(lines)

    def beside_nearest(self) -> NDArray[np.uint8]:
        """Made and nearest real images in turn."""
        pairs = np.stack([self.made[: len(self.nearest)], self.nearest], axis=1)
        return pairs.reshape(-1, *self.made.shape[1:])


def evaluate_digits(model: StoredModel, folder: Path, *, count: int, seed: int) -> Digits:
    """Contents and styles come of the first 50,000 training images; the test images are scored
    alone.

    Raises Conflict (`knows_validation`) for a model that has learnt from the images that choose
    sigma, and what `read_pictures` and `make` raise."""
    first = model.card.settings.get("first")
    if first is None or first > VALIDATION_FROM:
        raise Conflict(
            f"{model.card.name} may have learnt from the images that choose sigma, of"
            f" {VALIDATION_FROM} on; train it with --first {VALIDATION_FROM}",
            code="knows_validation",
        )
    everything, test = of_idx(folder), of_idx(folder, TEST)
    training = everything.chosen(np.arange(VALIDATION_FROM))
    validation = everything.images[VALIDATION_FROM : VALIDATION_FROM + VALIDATION]
    made, labels = make(model, count, seed, training)
    drawn = np.random.default_rng(seed).choice(len(training), min(count, len(training)), False)
    known, asked = _flat(validation), _flat(test.images)
    read = read_of_real = None
    if model.card.input.name != "noise":
        judge = Judge(training, seed=seed)
        read = judge.accuracy(made, labels)
        read_of_real = judge.accuracy(test.images, test.labels)
    return Digits(
        made,
        nearest(made[:SHOWN], training.images),
        parzen_likelihood(_flat(made), known, asked),
        parzen_likelihood(_flat(training.images[drawn]), known, asked),
        read,
        read_of_real,
    )


def _flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def nearest(made: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, C, H, W), (M, C, H, W) -> (N, C, H, W): of each made image the real one whose pixels are
    nearest."""
    theirs = _flat(real)
    lengths = np.square(theirs).sum(axis=1)
    found: NDArray[np.uint8] = real[(lengths - 2 * _flat(made) @ theirs.T).argmin(axis=1)]
    return found
