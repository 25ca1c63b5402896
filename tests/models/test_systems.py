"""What every adversarial system must do, whatever it is made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from services.synthetic.models.system import Moment
from services.synthetic.training.making import make
from services.synthetic.training.pictures import Pictures
from services.synthetic.training.registry import SYSTEMS
from services.synthetic.training.settings import TrainingSettings
from services.synthetic.training.shipping import Provenance, ship
from services.synthetic.training.trainer import CHECKPOINT, LOG, Trainer

SMALL = {
    "gan": {"height": 8, "width": 8, "noise": 6, "features": 8},
    "saae": {
        "height": 8,
        "width": 8,
        "classes": 3,
        "features": 8,
        "style": 6,
        "reconstruction_steps": 3,
        "discriminator_steps": 2,
    },
}
STEPS = 8  # more than the phases of any small system take to begin

every_system = pytest.mark.parametrize("name", SYSTEMS)


def stripes(count: int = 24) -> Pictures:
    """Three classes: bright above, bright below, bright in the middle; each of some brightness."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = np.full((count, 1, 8, 8), 30, np.uint8)
    for image, label, light in zip(images, labels, random.integers(120, 250, count), strict=True):
        image[:, 3 * label : 3 * label + 2] = light
    return Pictures("stripes", images, labels.astype(np.int64), ("above", "middle", "below"))


def small(name: str, folder: Path, *, steps: int = STEPS, seed: int = 0, **changes) -> Trainer:
    entry = SYSTEMS[name]
    torch.manual_seed(seed)
    settings = entry.settings_of(SMALL[name] | changes)
    training = TrainingSettings(steps=steps, batch=6, average=0.5, seed=seed)
    identity = {"system": name}
    return Trainer(entry.build(settings), stripes(), training, folder, identity=identity)


def trained(name: str, folder: Path, **changes) -> Trainer:
    trainer = small(name, folder, **changes)
    trainer.run(lambda _: None)
    return trainer


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in trainer.system.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


@every_system
def test_a_phase_moves_its_own_networks_and_no_others(name, tmp_path):
    trainer = small(name, tmp_path)
    system, pictures = trainer.system, stripes()
    for number, phase in enumerate(system.phases):
        own = {id(weight) for network in phase.trains for weight in network.parameters()}
        before = {key: value.clone() for key, value in system.named_parameters()}
        trainer._update(phase, torch.Generator().manual_seed(number))
        moved = {
            id(value) in own
            for key, value in system.named_parameters()
            if not torch.equal(value, before[key])
        }
        assert moved == {True}, phase.name
        losses = phase.losses(pictures.batch(6, torch.Generator()), Moment(0, torch.Generator()))
        assert all(loss.shape == () and torch.isfinite(loss) for loss in losses.values())


@every_system
def test_a_seed_decides_a_training(name, tmp_path):
    one, other = (trained(name, tmp_path / folder) for folder in ("one", "other"))
    assert same(weights_of(one), weights_of(other))
    third = trained(name, tmp_path / "third", seed=1)
    assert not same(weights_of(one), weights_of(third))


@every_system
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(name, tmp_path):
    whole = trained(name, tmp_path / "whole")
    trained(name, tmp_path / "halves", steps=STEPS // 2)
    rest = trained(name, tmp_path / "halves")
    assert rest.step == STEPS
    assert same(weights_of(whole), weights_of(rest))
    assert same(whole.maker.state_dict(), rest.maker.state_dict())
    # One line a run: its last step.
    lines = [json.loads(line) for line in (tmp_path / "halves" / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [STEPS // 2, STEPS]


@every_system
def test_what_is_shipped_makes_what_the_network_makes(name, tmp_path):
    trainer = trained(name, tmp_path / "run")
    model = ship(trainer, tmp_path / "models" / "small", Provenance("stripes", "train", "test"))
    assert model.card.metrics["export_difference"] <= 1e-4
    assert model.card.settings["system"] == name
    images, labels = make(model, 7, seed=3, pictures=stripes())
    again, _ = make(model, 7, seed=3, pictures=stripes())
    others, _ = make(model, 7, seed=4, pictures=stripes())
    assert images.shape == (7, 1, 8, 8)
    assert images.dtype == np.uint8
    assert labels.shape == (7,)
    assert (images == again).all()
    assert (images != others).any()


@every_system
def test_bf16_goes_the_same_way(name, tmp_path):
    entry = SYSTEMS[name]
    settings = TrainingSettings(steps=6, batch=6, precision="bf16")
    trainer = Trainer(
        entry.build(entry.settings_of(SMALL[name])), stripes(), settings, tmp_path, identity={}
    )
    trainer.run(lambda _: None)
    assert (tmp_path / CHECKPOINT).is_file()


def test_a_gan_learns_one_batch_by_heart(tmp_path):
    trainer = trained("gan", tmp_path, steps=300, learning_rate=2e-3)
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        made = trainer.system.maker.eval()(*trainer.system.example(64, random).values())
    real = torch.from_numpy(stripes().images) / 255
    # Nearly every made picture is one of the stripes: far nearer than noise, or gray, would be.
    far = (made[:, None] - real[None]).square().mean(dim=(2, 3, 4)).amin(dim=1)
    gray = (real - 0.3).square().mean()
    assert float(far.mean()) < float(gray) / 3


def test_saae_gives_an_image_back_and_keeps_the_content_it_was_given(tmp_path):
    trainer = trained(
        "saae", tmp_path, steps=300, reconstruction_steps=250, learning_rate=2e-3, adversarial=0.005
    )
    network, pictures = trainer.system.maker.eval(), stripes()
    images = torch.from_numpy(pictures.images) / 255
    contents = torch.from_numpy(pictures.templates[pictures.labels]) / 255
    with torch.no_grad():
        back = network(contents, images)
        turned = network(contents, images.roll(1, dims=0))
    assert float((back - images).square().mean()) < 0.01
    rows = torch.stack([turned[:, 0, top : top + 2].mean(dim=(1, 2)) for top in (0, 3, 6)])
    assert (rows.argmax(dim=0).numpy() == pictures.labels).mean() > 0.9
