"""One process, or several that learn together: torch's own launcher tells which.

    torchrun --nproc-per-node 2 -m services.synthetic.training train ...

A phase moves some networks and leaves others still, which torch's wrapper for data-parallel
training is not made for; so gradients are averaged here, which is all that it would do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from collections.abc import Iterable


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Fleet:
    """rank: of this process among `size`."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @classmethod
    def joined(cls) -> Self:
        """As the environment says; alone where it says nothing."""
        gpu = torch.cuda.is_available()
        if not distributed.is_torchelastic_launched():
            return cls(device=torch.device("cuda" if gpu else "cpu"))
        distributed.init_process_group("nccl" if gpu else "gloo")
        local = int(os.environ["LOCAL_RANK"])
        device = torch.device("cuda", local) if gpu else CPU
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    @property
    def leads(self) -> bool:
        """Whether this process saves and speaks."""
        return self.rank == 0

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Every process must come here with the same weights, in the same order."""
        if self.size == 1:
            return
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            distributed.all_reduce(weight.grad)
            weight.grad /= self.size

    def leave(self) -> None:
        if self.size > 1:
            distributed.destroy_process_group()
