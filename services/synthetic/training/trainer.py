"""A system and its images -> the trained system: one loop for all of them.

The last step counts. A run that is stopped goes on from its checkpoint as if it had not been: what
a step draws is a function of the seed, the step and the process alone.
"""

from __future__ import annotations

import io
import json
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from services.synthetic.models.system import Moment
from services.synthetic.training.fleet import Fleet
from services.synthetic.training.settings import Precision
from shared.durable_file import write_durably
from shared.errors import Conflict, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from services.synthetic.models.system import Phase, System
    from services.synthetic.training.pictures import Pictures
    from services.synthetic.training.settings import TrainingSettings

    Tensors = tuple[Tensor, ...] | list[Tensor]

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
LEAST_CLASSES = 2


class Trainer:
    """One training, kept in a folder: checkpoint.pt, and log.jsonl with the losses of all phases,
    a line every so many steps (`run`), each step once however often the run was stopped.

    identity: what the run must be the same in to be resumed: its system and settings, as JSON.
    Raises Conflict (`other_settings`) where the folder holds another run, Malformed
    (`too_few_classes`) where the system needs several and the pictures are of one.
    """

    def __init__(
        self,
        system: System,
        pictures: Pictures,
        settings: TrainingSettings,
        folder: Path,
        *,
        identity: Mapping[str, Any],
        fleet: Fleet | None = None,
    ) -> None:
        if system.NEEDS - {"images"} and len(pictures.classes) < LEAST_CLASSES:
            raise Malformed(
                f"{system.NAME} needs pictures of {LEAST_CLASSES} classes or more;"
                f" {pictures.name} has {len(pictures.classes)}",
                code="too_few_classes",
            )
        self._fleet = fleet or Fleet()
        self.system = system.to(self._fleet.device)
        self.settings = settings
        self.step = 0
        self.minutes = 0.0
        self._pictures = pictures
        self._folder = folder
        self._identity = dict(identity)
        self._phases = system.phases
        self._optimisers = {
            phase.name: phase.optimiser.of(_weights(phase)) for phase in self._phases
        }
        self._average = (
            AveragedModel(
                system.maker,
                multi_avg_fn=_average_of(settings.average),
                use_buffers=True,
            )
            if settings.average
            else None
        )
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).exists():
            self._resume()
        if self._fleet.leads:
            self._cut_log()

    @property
    def maker(self) -> nn.Module:
        """What makes images: the moving average, where there is one."""
        return self._average.module if self._average is not None else self.system.maker

    def run(
        self,
        say: Callable[[str], None],
        *,
        every_steps: int = 50,
        save_every: int = 500,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Trains to the last step. say: hears a line of progress every so many steps. between: is
        called after each; what it raises ends the run, which goes on from that very step later.

        Raises Malformed (`diverged`) as soon as a loss is not a number.
        """
        self.system.train()
        before, began, first = self.minutes, time.monotonic(), self.step
        while self.step < self.settings.steps:
            losses = self._take_step()
            self.step += 1
            minutes = (time.monotonic() - began) / 60
            self.minutes = before + minutes
            last = self.step == self.settings.steps
            if last or self.step % save_every == 0:
                self._save()
            if self._fleet.leads and (last or self.step % every_steps == 0):
                self._log(losses)
                left = minutes / (self.step - first) * (self.settings.steps - self.step)
                said = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
                say(f"step {self.step}/{self.settings.steps}  {said}  {left:.0f} min left")
            self._pause(between)
        self.system.eval()

    def _pause(self, between: Callable[[], None]) -> None:
        try:
            between()
        except BaseException:
            self._save()
            raise

    def _take_step(self) -> dict[str, float]:
        told: dict[str, float] = {}
        for number, phase in enumerate(self._phases):
            if not phase.takes_part(self.step):
                continue
            for turn in range(phase.repeat):
                losses = self._update(phase, self._random(number, turn))
                told |= {f"{phase.name}.{name}": value for name, value in losses.items()}
        if self._average is not None:
            self._average.update_parameters(self.system.maker)
        return told

    def _update(self, phase: Phase, random: torch.Generator) -> dict[str, float]:
        settings, device = self.settings, self._fleet.device
        batch = self._pictures.batch(settings.batch, random)
        moment = Moment(self.step, random)
        optimiser = self._optimisers[phase.name]
        weights = _weights(phase)
        bf16 = settings.precision is Precision.BF16
        self.system.requires_grad_(False)
        for weight in weights:
            weight.requires_grad_(True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            losses = phase.losses(batch, moment)
        total: Tensor = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise Malformed(
                f"step {self.step}: {', '.join(losses)} of {phase.name} is not finite;"
                " a lower learning rate may help",
                code="diverged",
            )
        optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._fleet.average_gradients(weights)
        optimiser.step()
        if phase.after is not None:
            phase.after()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _random(self, phase: int, turn: int) -> torch.Generator:
        """On the device, so that noise is drawn where it is needed."""
        place = (self.settings.seed, self.step, phase, turn, self._fleet.rank)
        (seed,) = np.random.SeedSequence(place).generate_state(1)
        return torch.Generator(self._fleet.device).manual_seed(int(seed))

    def _log(self, losses: Mapping[str, float]) -> None:
        with (self._folder / LOG).open("a") as log:
            log.write(json.dumps({"step": self.step, **losses}) + "\n")

    def _cut_log(self) -> None:
        """To where the run goes on: what was logged behind its last checkpoint is done again."""
        path = self._folder / LOG
        if not path.is_file():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) <= self.step]
        if len(kept) < len(lines):
            write_durably(path, b"".join(kept))

    def _save(self) -> None:
        if not self._fleet.leads:
            return
        state = {
            "identity": self._identity,
            "settings": self.settings.model_dump(mode="json"),
            "step": self.step,
            "minutes": self.minutes,
            "system": self.system.state_dict(),
            "average": self._average.state_dict() if self._average is not None else None,
            "optimisers": {name: one.state_dict() for name, one in self._optimisers.items()},
        }
        # torch, writing to a file itself, would hide what is wrong with the disk.
        packed = io.BytesIO()
        torch.save(state, packed)
        write_durably(self._folder / CHECKPOINT, packed.getvalue())

    def _resume(self) -> None:
        path = self._folder / CHECKPOINT
        state = torch.load(path, weights_only=True, map_location=self._fleet.device)
        wanted = self.settings.model_dump(mode="json")
        # More steps are no other training.
        same = state["settings"] | {"steps": 0} == wanted | {"steps": 0}
        if not same or state["identity"] != self._identity:
            raise Conflict(
                f"{path} comes from other settings; name another workspace", code="other_settings"
            )
        self.step, self.minutes = state["step"], state["minutes"]
        self.system.load_state_dict(state["system"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def _step_of(line: bytes) -> float:
    """Of a line of the log; of one that was cut off in the middle, never."""
    try:
        return int(json.loads(line)["step"])
    except ValueError:
        return math.inf


def _average_of(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """decay: of a long training. It grows towards that, as TensorFlow's moving average has it: else
    the weights of the first step would be nearly half of what a thousand steps come to."""

    def average(averaged: Tensors, current: Tensors, updates: Tensor | int) -> None:
        grown = min(decay, (1 + int(updates)) / (10 + int(updates)))
        get_ema_multi_avg_fn(grown)(averaged, current, updates)  # type: ignore[no-untyped-call]

    return average


def _weights(phase: Phase) -> list[nn.Parameter]:
    return [weight for network in phase.trains for weight in network.parameters()]
