"""Multi-length hashing: binary codes of several lengths learnt together (JMH, AAAI 2019).

Its formulas and weights could not be had. This is a reconstruction from the three terms that it
names: each length's codes must be predictable from the features (L), from the labels (M) and from
the codes of the other lengths (Q). All updates are closed forms, bits one after the other, so that
none makes the objective worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int


@dataclass(frozen=True, kw_only=True)
class JointSettings:
    """Ours. labels, lengths: weights of M and Q against L. ridge: of the regression on features;
    small_ridge: of the others. rounds: over all updates."""

    labels: float = 1.0
    lengths: float = 0.1
    ridge: float = 1.0
    small_ridge: float = 1e-2
    rounds: int = 8
    seed: int = 0


class JointHashing:
    """Codes of every length for N training vectors, and what makes codes of new ones.

    codes: by length r, (r, N) of -1 and 1. projections: by length, (r, D + 1); the last column is
    the offset.
    """

    def __init__(
        self,
        features: Float[Tensor, "N D"],
        people: Int[Tensor, " N"],
        lengths: Sequence[int],
        settings: JointSettings,
    ) -> None:
        self._settings = settings
        self._features = torch.cat([features, torch.ones(len(features), 1)], dim=1).T
        _, self._people, self._counts = torch.unique(
            people, return_inverse=True, return_counts=True
        )
        size = self._features.shape[0]
        gram = self._features @ self._features.T + settings.ridge * torch.eye(size)
        self._solve = torch.linalg.inv(gram)
        # Each length begins as it would alone: what the others are must not matter without Q.
        self.codes = {
            r: _signs(_random(r, size - 1, settings.seed) @ self._features[:-1]) for r in lengths
        }
        self.projections: dict[int, Tensor] = {}
        self._of_people: dict[int, Tensor] = {}
        self._across: dict[tuple[int, int], Tensor] = {}
        self._regress()

    def learn(self) -> list[float]:
        """The objective after each round."""
        found = []
        for _ in range(self._settings.rounds):
            for length in self.codes:
                self._update_bits(length)
            self._regress()
            found.append(self.objective())
        return found

    def objective(self) -> float:
        """L + M + Q, ridge terms included: what every update lowers or leaves."""
        settings, total = self._settings, 0.0
        for r, codes in self.codes.items():
            total += float((codes - self.projections[r] @ self._features).square().sum())
            total += settings.ridge * float(self.projections[r].square().sum())
            predicted = self._of_people[r][:, self._people]
            m_term = (codes - predicted).square().sum()
            m_term = m_term + settings.small_ridge * self._of_people[r].square().sum()
            total += settings.labels * float(m_term)
        for (r, other), across in self._across.items():
            q_term = (self.codes[r] - across @ self.codes[other]).square().sum()
            q_term = q_term + settings.small_ridge * across.square().sum()
            total += settings.lengths * float(q_term)
        return total

    def encode(self, features: Float[Tensor, "N D"], length: int) -> Float[Tensor, "N length"]:
        """New vectors -> their codes of one length, -1 and 1."""
        projection = self.projections[length]
        return _signs(features @ projection[:, :-1].T + projection[:, -1])

    def _regress(self) -> None:
        """P, G and R for the codes as they are."""
        small = self._settings.small_ridge
        for r, codes in self.codes.items():
            self.projections[r] = codes @ self._features.T @ self._solve
            sums = torch.zeros(r, len(self._counts)).index_add_(1, self._people, codes)
            self._of_people[r] = sums / (self._counts + small)
        if self._settings.lengths == 0:
            return
        for other, codes in self.codes.items():
            solve = torch.linalg.inv(codes @ codes.T + small * torch.eye(other))
            for r in self.codes:
                if r != other:
                    self._across[r, other] = self.codes[r] @ codes.T @ solve

    def _update_bits(self, r: int) -> None:
        """Discrete cyclic coordinate descent: each bit of all vectors, given the other bits."""
        settings, codes = self._settings, self.codes[r]
        wanted = self.projections[r] @ self._features
        wanted = wanted + settings.labels * self._of_people[r][:, self._people]
        among = torch.zeros(r, r)
        for (one, other), across in self._across.items():
            if one == r:
                wanted = wanted + settings.lengths * across @ self.codes[other]
            elif other == r:
                wanted = wanted + settings.lengths * across.T @ self.codes[one]
                among = among + settings.lengths * across.T @ across
        among.fill_diagonal_(0.0)
        for bit in range(r):
            codes[bit] = _signs(wanted[bit] - among[bit] @ codes)


def _random(rows: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + rows)
    return torch.randn(rows, columns, generator=generator)


def _signs(values: Tensor) -> Tensor:
    """-1 and 1, and never 0."""
    return torch.where(values > 0, 1.0, -1.0)
