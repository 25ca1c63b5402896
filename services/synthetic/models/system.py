"""The contract of an adversarial system: its networks, and the phases in which they learn.

A system is no "generator step and discriminator step": BicycleGAN has three phases, DRIT four, a
Wasserstein critic five for each of its generator. So a system says in which order which of its
networks move, and what each phase minimises; the trainer does the rest, for all of them alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Protocol

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""images: (B, C, H, W) in [0, 1]. labels: (B,). Systems say which of these they need."""

Losses = dict[str, Tensor]
"""By name, already weighted: their sum is minimised, and each is logged."""


Count = Annotated[int, Gt(0)]
Steps = Annotated[int, Ge(0)]
Rate = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]
"""Numbers of a system's settings. Whoever makes settings of words holds them to their bounds."""


class ImageSettings(Protocol):
    """What the settings of every system tell of its images."""

    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Kingma and Ba (ICLR 2015). The defaults are DCGAN's (Radford et al., ICLR 2016)."""

    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)

    def of(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=self.learning_rate, betas=self.betas)


@dataclass(frozen=True, kw_only=True)
class RmsProp:
    """What a Wasserstein critic with clipped weights is trained by (Arjovsky et al., 2017)."""

    learning_rate: float = 5e-5

    def of(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(weights, lr=self.learning_rate)


class Moment(NamedTuple):
    """Of a training. step: counted from 0. random: for whatever the phase draws; the same at this
    step of every training with this seed."""

    step: int
    random: torch.Generator


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One kind of update. trains: the networks that move. losses: what is minimised. repeat: how
    often in a step, each time on a batch of its own. begins, ends: the steps in which it takes part
    (ends: the first in which it does not; None: always on). after: is called after each update."""

    name: str
    trains: tuple[nn.Module, ...]
    losses: Callable[[Batch, Moment], Losses]
    optimiser: Adam | RmsProp = Adam()
    repeat: int = 1
    begins: int = 0
    ends: int | None = None
    after: Callable[[], None] | None = None

    def takes_part(self, step: int) -> bool:
        return self.begins <= step and (self.ends is None or step < self.ends)


class System(nn.Module, ABC):
    """Networks that learn against each other. NAME: in the registry. NEEDS: what batches hold.
    settings: the frozen dataclass it was built of."""

    NAME: ClassVar[str]
    PAPER: ClassVar[str]
    NEEDS: ClassVar[frozenset[str]]
    settings: ImageSettings

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """In their order within a step."""

    @property
    @abstractmethod
    def maker(self) -> nn.Module:
        """The network that makes images (B, C, H, W) in [0, 1], and is exported."""

    @abstractmethod
    def example(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        """Inputs of the maker for so many images, by name and in its order; noise is drawn."""
