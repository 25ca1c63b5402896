"""Labels -> the batches of an epoch, and the pairs that a batch's losses compare."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.reid.training.settings import TrainingSettings


def epoch_batches(
    people: NDArray[np.int64], *, per_batch: int, crops: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Index arrays, each of `per_batch` different people with `crops` crops; every crop is seen
    about once. A person with too few crops repeats some; what fills no batch waits for the next
    epoch's shuffle."""
    groups = _groups(people, crops, rng)
    waiting: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
    for group in groups:
        waiting[int(people[group[0]])].append(group)
    batches = []
    while len(waiting) >= per_batch:
        # Whoever has most groups left goes first, or the last batches would lack people.
        left = np.array([len(waiting[person]) for person in waiting])
        order = np.argsort(-(left + rng.random(len(left))))[:per_batch]
        chosen = [list(waiting)[n] for n in order]
        batches.append(np.concatenate([waiting[person].pop() for person in chosen]))
        for person in chosen:
            if not waiting[person]:
                del waiting[person]
    rng.shuffle(batches)
    return batches


def _groups(
    people: NDArray[np.int64], crops: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    groups = []
    for person in rng.permutation(np.unique(people)):
        rows = rng.permutation(np.flatnonzero(people == person))
        short = -len(rows) % crops
        rows = np.concatenate([rows, rng.choice(rows, short)])
        groups.extend(np.split(rows, len(rows) // crops))
    return groups


@dataclass(frozen=True)
class Pairs:
    """P pairs by their places in the batch, and whether both are one person."""

    left: torch.Tensor
    right: torch.Tensor
    same: torch.Tensor


def draw_pairs(
    similarity: torch.Tensor,
    people: torch.Tensor,
    sources: torch.Tensor,
    settings: TrainingSettings,
    rng: torch.Generator,
) -> Pairs:
    """For every anchor of the batch one positive and some negatives of its own source: people of
    two different sources are told apart by their cameras alone, which teaches nothing. The anchors
    come in any order: the first few, which the low-level loss compares, are of several people.

    similarity: (B, B) cosine of the features, which `nearest` negatives are chosen by.
    """
    size = len(people)
    same = people[:, None] == people[None, :]
    positives = same & ~torch.eye(size, dtype=torch.bool)
    negatives = ~same & (sources[:, None] == sources[None, :])
    count = settings.negatives_per_anchor
    anchors = torch.nonzero(positives.any(1) & (negatives.sum(1) >= count)).flatten()
    anchors = anchors[torch.randperm(len(anchors), generator=rng)]
    chance = torch.rand((size, size), generator=rng)
    wanted = similarity if settings.negatives == "nearest" else chance
    positive = chance.masked_fill(~positives, -1.0)[anchors].argmax(1, keepdim=True)
    negative = wanted.masked_fill(~negatives, -2.0)[anchors].topk(count, dim=1).indices
    right = torch.cat([positive, negative], dim=1)
    is_same = torch.zeros_like(right, dtype=torch.bool)
    is_same[:, 0] = True
    left = anchors[:, None].expand_as(right)
    return Pairs(left.flatten(), right.flatten(), is_same.flatten())
