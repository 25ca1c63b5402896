"""Eight Gaussians on a ring: which loss, with which bound, covers all of them.

The usual small test of mode collapse (Metz et al., "Unrolled Generative Adversarial Networks", ICLR
2017). Networks, steps and what counts as covered are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

from services.synthetic.losses.adversarial import ADVERSARIAL_LOSSES
from services.synthetic.losses.penalties import (
    R1,
    GradientPenalty,
    Penalty,
    WassersteinDivergence,
    clip_weights,
)
from services.synthetic.regularisers.spectral import normalise_spectrally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MODES, RADIUS, SPREAD = 8, 2.0, 0.05
SAMPLES = 4096
ENOUGH = 20
"""Samples within three standard deviations of a mode's centre that cover it."""

NOISE, WIDTH, BATCH = 2, 128, 128
CLIP = 0.05
PANELS_A_ROW = 4


@dataclass(frozen=True)
class Contender:
    """loss: by its name in ADVERSARIAL_LOSSES. steps: of the generator."""

    loss: str
    penalty: Penalty | None = None
    clips: bool = False
    spectral: bool = False
    critic_steps: int = 1
    steps: int = 2000
    betas: tuple[float, float] = (0.5, 0.999)


CONTENDERS = {
    "minimax": Contender("minimax"),
    "non-saturating": Contender("non-saturating"),
    "least squares": Contender("least-squares"),
    "non-saturating, R1": Contender("non-saturating", penalty=R1(1.0)),
    "hinge, spectral": Contender("hinge", spectral=True, betas=(0.0, 0.9)),
    "Wasserstein, clipped": Contender(
        "wasserstein", clips=True, critic_steps=5, steps=1000, betas=(0.0, 0.9)
    ),
    "Wasserstein, gradient penalty": Contender(
        "wasserstein", penalty=GradientPenalty(1.0), critic_steps=3, steps=1500, betas=(0.0, 0.9)
    ),
    "Wasserstein divergence": Contender(
        "wasserstein", penalty=WassersteinDivergence(), critic_steps=3, steps=1500, betas=(0.0, 0.9)
    ),
}


def ring(count: int, random: torch.Generator) -> Tensor:
    """(count, 2) points of the eight Gaussians."""
    angles = torch.randint(MODES, (count,), generator=random) * (2 * math.pi / MODES)
    centres = RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)
    return centres + SPREAD * torch.randn(count, 2, generator=random)


def covered(points: NDArray[np.floating]) -> int:
    """Modes with enough of the points, (N, 2), within three standard deviations."""
    angles = np.arange(MODES) * (2 * math.pi / MODES)
    centres = RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    far = np.linalg.norm(points[:, None] - centres[None], axis=2)
    return int(((far < 3 * SPREAD).sum(axis=0) >= ENOUGH).sum())


def compete(
    names: Sequence[str], say: Callable[[str], None], *, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Trains each contender; returns what it makes of SAMPLES draws, (N, 2)."""
    made = {}
    for name in names:
        made[name] = _trained(CONTENDERS[name], seed)
        say(f"{name}: {covered(made[name])} of {MODES} modes")
    return made


def draw_ring(made: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """One panel a contender. Writes a PNG."""
    rows = -(-len(made) // PANELS_A_ROW)
    figure, panels = plt.subplots(
        rows, PANELS_A_ROW, figsize=(2.6 * PANELS_A_ROW, 2.8 * rows), squeeze=False
    )
    for panel in panels.ravel():
        panel.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    real = ring(1000, torch.Generator().manual_seed(0)).numpy()
    for panel, (name, points) in zip(panels.ravel(), made.items(), strict=False):
        panel.scatter(*real.T, s=2, color="0.8")
        panel.scatter(*points[:1000].T, s=2, color="tab:red")
        panel.set_title(f"{name}: {covered(points)}/{MODES}", fontsize=8)
    for panel in panels.ravel()[len(made) :]:
        panel.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def _trained(one: Contender, seed: int) -> NDArray[np.float32]:
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    generator, critic = _perceptron(NOISE, 2), _perceptron(2, 1)
    if one.spectral:
        normalise_spectrally(critic)
    loss = ADVERSARIAL_LOSSES[one.loss]
    adam = partial(torch.optim.Adam, lr=1e-3, betas=one.betas)
    moving: dict[nn.Module, torch.optim.Optimizer] = {
        network: adam(network.parameters()) for network in (generator, critic)
    }

    def made(count: int) -> Tensor:
        points: Tensor = generator(torch.randn(count, NOISE, generator=random))
        return points

    def move(network: nn.Module, cost: Tensor) -> None:
        moving[network].zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]
        moving[network].step()

    for _ in range(one.steps):
        for _ in range(one.critic_steps):
            real, fake = ring(BATCH, random), made(BATCH).detach()
            cost = loss.discriminator(critic(real), critic(fake))
            if one.penalty is not None:
                cost = cost + one.penalty(critic, real, fake, random)
            move(critic, cost)
            if one.clips:
                clip_weights(critic, CLIP)
        move(generator, loss.generator(critic(made(BATCH))))
    with torch.no_grad():
        return made(SAMPLES).numpy()


def _perceptron(size_in: int, size_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(size_in, WIDTH),
        nn.LeakyReLU(0.2),
        nn.Linear(WIDTH, WIDTH),
        nn.LeakyReLU(0.2),
        nn.Linear(WIDTH, WIDTH),
        nn.LeakyReLU(0.2),
        nn.Linear(WIDTH, size_out),
    )
