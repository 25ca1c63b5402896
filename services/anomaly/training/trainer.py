"""Training windows -> a trained STAE. The last step counts; nothing is chosen by looking back."""

from __future__ import annotations

import time
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from services.anomaly.models.stae import Stae
from services.anomaly.models.stae_loss import StaeLoss
from services.anomaly.training.settings import TrainingSettings
from services.anomaly.training.windows import TrainingWindows, batches
from shared.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from services.anomaly.models.stae_loss import LossParts
    from services.anomaly.training.windows import Sample, Source

CHECKPOINT = "checkpoint.pt"


class Trainer:
    """One training run, kept in a folder: it resumes there from its last checkpoint.

    loaders: processes that read footage, as `batches` has them.
    Raises Conflict (`other_settings`) where the folder holds a run with other settings.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        sources: Sequence[Source],
        workspace: Path,
        *,
        loaders: int = 1,
    ) -> None:
        self.settings = settings
        self.step = 0
        self.minutes = 0.0
        self._checkpoint = workspace / CHECKPOINT
        self._sources = sources
        self._loaders = loaders
        self._loss = StaeLoss(settings.prediction_weights, settings.prediction_lambda)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(settings.seed)
        # channels_last_3d: twice as fast as the default layout on a CPU, from batch 2 on.
        self.network = Stae(
            frame_channels=settings.sight.channels, leaky_slope=settings.leaky_slope
        )
        self.network.to(self._device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._optimiser = torch.optim.Adam(
            self.network.parameters(), weight_decay=settings.weight_decay
        )
        workspace.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()

    def run(
        self, say: Callable[[str], None], *, every_steps: int = 25, save_every: int = 250
    ) -> Stae:
        """Trains to the last step. say: hears a line of progress every so many steps."""
        self.network.train()
        minutes_before, started, first = self.minutes, time.monotonic(), self.step
        recent: list[tuple[float, float]] = []
        for batch in self._remaining():
            losses = self._learn(batch)
            recent.append((losses.reconstruction.item(), losses.prediction.item()))
            self.step += 1
            minutes = (time.monotonic() - started) / 60
            self.minutes = minutes_before + minutes
            last = self.step == self.settings.steps
            if last or self.step % save_every == 0:
                self._save()
            if last or self.step % every_steps == 0:
                left = minutes / (self.step - first) * (self.settings.steps - self.step)
                say(self._progress(recent, left))
                recent.clear()
        self.network.eval()
        return self.network

    def _remaining(self) -> Iterator[Sample]:
        """The batches that are left, stage by stage. Samples are numbered through all stages."""
        settings = self.settings
        stage_begins = sample = 0
        for stage in settings.stages:
            windows = TrainingWindows(
                self._sources,
                sight=settings.sight,
                frames=settings.frames,
                side=settings.side,
                window=stage.window,
                augmentation=settings.augmentation,
                pseudo_anomalies=settings.pseudo_anomalies,
                seed=settings.seed,
            )
            done = min(max(self.step - stage_begins, 0), stage.steps)
            if left := stage.steps - done:
                first = sample + done * stage.batch
                yield from batches(
                    windows, first=first, count=left, batch=stage.batch, loaders=self._loaders
                )
            stage_begins += stage.steps
            sample += stage.steps * stage.batch

    def _learn(self, batch: Sample) -> LossParts:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.learning_rate_at(self.step)
        seen, past, future = (
            clips.to(self._device, memory_format=torch.channels_last_3d) for clips in batch
        )
        bf16 = self.settings.uses_bf16(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bf16):
            output = self.network(seen)
        losses = self._loss(output, past, future)
        self._optimiser.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return losses

    def _progress(self, recent: Sequence[tuple[float, float]], minutes_left: float) -> str:
        """recent: the two losses of the steps since the line before; one batch says little."""
        reconstruction, prediction = (fmean(losses) for losses in zip(*recent, strict=True))
        return (
            f"step {self.step}/{self.settings.steps}  reconstruction {reconstruction:.5f}"
            f"  prediction {prediction:.5f}  {minutes_left:.0f} min left"
        )

    def _save(self) -> None:
        state = {
            "settings": self.settings.model_dump(mode="json"),
            "step": self.step,
            "minutes": self.minutes,
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        part = self._checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._checkpoint)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True, map_location=self._device)
        if TrainingSettings.model_validate(state["settings"]) != self.settings:
            raise Conflict(
                f"{self._checkpoint} comes from other settings; name another workspace",
                code="other_settings",
            )
        self.step, self.minutes = state["step"], state["minutes"]
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
