"""What every adversarial system must do, whatever it is made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from services.synthetic.losses.penalties import PENALTIES
from services.synthetic.models.ptgan import standing_person
from services.synthetic.models.spgan import SpGan
from services.synthetic.models.system import Moment, RmsProp
from services.synthetic.models.translation import Translator
from services.synthetic.regularisers.orthogonal import REGULARISERS, regularised
from services.synthetic.training.making import make
from services.synthetic.training.pictures import Pictures
from services.synthetic.training.registry import SYSTEMS
from services.synthetic.training.settings import TrainingSettings
from services.synthetic.training.shipping import Provenance, ship
from services.synthetic.training.trainer import LOG, Trainer

TRANSLATOR = {"channels": 1, "height": 16, "width": 16, "features": 4, "blocks": 1}
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
    "camstyle": TRANSLATOR,
    "ptgan": TRANSLATOR,
    "spgan": TRANSLATOR,
    "stargan": TRANSLATOR | {"classes": 3},
}
STEPS = 8  # more than the phases of any small system take to begin

every_system = pytest.mark.parametrize("name", SYSTEMS)


def stripes(count: int = 24, side: int = 8) -> Pictures:
    """Three classes: bright above, bright in the middle, bright below; each of some brightness."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = np.full((count, 1, side, side), 30, np.uint8)
    for image, label, light in zip(images, labels, random.integers(120, 250, count), strict=True):
        image[:, 3 * side * label // 8 : (3 * label + 2) * side // 8] = light
    return Pictures("stripes", images, labels.astype(np.int64), ("above", "middle", "below"))


def small(
    name: str,
    folder: Path,
    *,
    steps: int = STEPS,
    seed: int = 0,
    average: float = 0.5,
    precision: str = "fp32",
    **changes,
) -> Trainer:
    entry = SYSTEMS[name]
    torch.manual_seed(seed)
    settings = entry.settings_of(SMALL[name] | changes)
    training = TrainingSettings(
        steps=steps, batch=6, average=average, precision=precision, seed=seed
    )
    identity = {"system": name}
    pictures = stripes(side=SMALL[name]["height"])
    return Trainer(entry.build(settings), pictures, training, folder, identity=identity)


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
    system, pictures = trainer.system, stripes(side=SMALL[name]["height"])
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
    side = SMALL[name]["height"]
    pictures = stripes(side=side)
    images, labels = make(model, 7, seed=3, pictures=pictures)
    again, _ = make(model, 7, seed=3, pictures=pictures)
    others, _ = make(model, 7, seed=4, pictures=pictures)
    assert images.shape == (7, 1, side, side)
    assert images.dtype == np.uint8
    assert labels.shape == (7,)
    assert (images == again).all()
    assert (images != others).any()


def go_the_same_way(name, folder, **changes) -> None:
    """In bf16 and in fp32, a few steps: nearly, and not quite."""
    began = weights_of(small(name, folder / "began", **changes))
    fine, coarse = (
        weights_of(trained(name, folder / precision, precision=precision, **changes))
        for precision in ("fp32", "bf16")
    )
    assert not same(fine, coarse)

    def far(one, other) -> float:
        pairs = ((one[key].double(), other[key].double()) for key in one)
        return sum(float((a - b).square().sum()) for a, b in pairs)

    assert far(fine, coarse) < 0.25 * far(fine, began)


@every_system
def test_bf16_goes_the_same_way(name, tmp_path):
    go_the_same_way(name, tmp_path, steps=6 if name == "saae" else 2)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_every_penalty_bears_bf16(penalty, tmp_path):
    go_the_same_way("gan", tmp_path, penalty=penalty, steps=2)


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


def test_a_translator_begins_as_the_identity():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 16, 8) * 0.9 + 0.05
    assert torch.allclose(Translator(3, 4, 1)(images), images, atol=1e-5)


def test_a_translation_takes_the_other_cameras_look_and_keeps_what_is_shown(tmp_path):
    """Camera c2 is darker than c1: what is translated gets darker, its stripe stays where it is."""
    pictures = stripes(48, side=16)
    cameras = np.arange(48) // 24
    images = np.where(cameras[:, None, None, None] == 1, pictures.images // 2, pictures.images)
    pair = Pictures("pair", images.astype(np.uint8), cameras.astype(np.int64), ("c1", "c2"))
    entry = SYSTEMS["camstyle"]
    torch.manual_seed(0)
    system = entry.build(entry.settings_of(TRANSLATOR | {"features": 8, "learning_rate": 2e-3}))
    training = TrainingSettings(steps=80, batch=8, average=0)
    Trainer(system, pair, training, tmp_path, identity={}).run(lambda _: None)
    source = torch.from_numpy(pair.images[:24]).float() / 255
    with torch.no_grad():
        made = system.maker.eval()(source)
    wanted = source / 2
    assert float((made - wanted).abs().mean()) < 0.5 * float((source - wanted).abs().mean())
    bands = torch.stack([made[:, 0, top : top + 4].mean(dim=(1, 2)) for top in (0, 6, 12)])
    assert (bands.argmax(dim=0).numpy() == pictures.labels[:24]).all()


def test_the_person_is_in_the_middle_of_the_mask():
    mask = standing_person(64, 32)
    assert float(mask[32, 16]) > 0.99
    assert float(mask[[0, 0, -1, -1], [0, -1, 0, -1]].max()) < 0.01
    assert 0.3 < float(mask.mean()) < 0.6


def test_ptgans_loss_sees_the_person_and_not_what_is_behind():
    system = SYSTEMS["ptgan"].build(SYSTEMS["ptgan"].settings_of(TRANSLATOR))
    image = torch.full((1, 1, 16, 16), 0.5)
    behind, before = image.clone(), image.clone()
    behind[..., 0, :2] = 1.0
    before[..., 8, 7:9] = 1.0
    losses = [system.also(image, image, image, one)["foreground"] for one in (behind, before)]
    assert losses[0] < 0.05 * losses[1]


def test_spgans_pairs_cost_what_their_distances_say():
    """Unit vectors: the same costs nothing, opposite ones are as far apart as the margin asks."""
    system = SYSTEMS["spgan"].build(SYSTEMS["spgan"].settings_of(TRANSLATOR))
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    system.siamese = torch.nn.Identity()
    assert float(system._pairs(east, -east, -east, east)) == pytest.approx(0.0, abs=1e-5)
    # Both translations are a right angle from what they were of (2 + 2).
    asked = SYSTEMS["spgan"].settings_of
    for negative, far in (("real", 2 * (2 - 2**0.5) ** 2), ("translated", 2 * 2**2)):
        system.settings = asked(TRANSLATOR | {"negative": negative})
        # The sites are a right angle apart, too; what is made for one looks as it does.
        found = float(system._pairs(east, north, east, north))
        assert found == pytest.approx((4 + far) / 3, abs=1e-4), negative


@pytest.mark.parametrize("negative", ["translated", "real"])
def test_spgans_translators_feel_that_they_are_to_be_unlike_only_what_is_translated(negative):
    entry = SYSTEMS["spgan"]
    torch.manual_seed(0)
    system = entry.build(entry.settings_of(TRANSLATOR | {"negative": negative}))
    system.siamese.requires_grad_(False)
    felt = []

    def far(one, other):
        found = SpGan._far(system, one, other)
        felt.append(found.requires_grad)
        return found

    system._far = far
    batch = stripes(side=16).batch(4, torch.Generator().manual_seed(0))
    system.translate(batch, Moment(0, torch.Generator()))
    assert felt == ([True, True] if negative == "translated" else [False])


@pytest.mark.parametrize("discriminator", ["binary", "outliers"])
def test_every_discriminator_of_saae_learns(discriminator, tmp_path):
    changes = {"discriminator": discriminator, "smoothing": 0.1}
    trainer = trained("saae", tmp_path, **changes)
    began = small("saae", tmp_path / "began", **changes)
    assert not same(weights_of(trainer), weights_of(began))
    assert (
        trainer.system.discriminator[-1].out_features == {"binary": 1, "outliers": 3}[discriminator]
    )


@pytest.mark.parametrize("regulariser", REGULARISERS)
def test_a_regularised_generator_stands_straighter(regulariser, tmp_path):
    def bent(trainer: Trainer) -> float:
        return float(regularised(trainer.system.generator, REGULARISERS[regulariser]).detach())

    changes = {"steps": 20, "learning_rate": 1e-3}
    plain = bent(trained("gan", tmp_path / "plain", **changes))
    assert bent(trained("gan", tmp_path / "bound", regulariser=regulariser, **changes)) < plain


def test_with_a_bound_both_networks_learn_by_rmsprop_at_the_rate_that_is_asked_for():
    entry = SYSTEMS["gan"]
    system = entry.build(entry.settings_of({"clip": 0.05, "learning_rate": 5e-5}))
    assert [phase.optimiser for phase in system.phases] == [RmsProp(learning_rate=5e-5)] * 2


def test_the_average_of_a_short_training_has_forgotten_its_beginning(tmp_path):
    trainer = small("saae", tmp_path, steps=40, average=0.999)
    began = [weight.detach().clone() for weight in trainer.system.maker.parameters()]
    trainer.run(lambda _: None)
    averaged = list(trainer.maker.parameters())

    def far(weights) -> float:
        return sum((a - b).square().sum().item() for a, b in zip(averaged, weights, strict=True))

    assert far(trainer.system.maker.parameters()) < 0.5 * far(began)
