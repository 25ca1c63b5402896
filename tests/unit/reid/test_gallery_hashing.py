"""Codes of several lengths learnt together, and what the gallery makes of them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from services.reid.gallery.codes import Coder, codes_file, load_coder, save_coder
from services.reid.gallery.faiss_gallery import FaissGallery
from services.reid.gallery.schema import MIGRATIONS
from services.reid.models.joint_hashing import JointHashing, JointSettings
from services.reid.models.nested_hashing import NestedHashing, nested_loss
from services.reid.training.hashing import LENGTHS, cli, learn_nested, stored_vectors
from shared.database import migrate_once
from shared.errors import Missing
from tests.dummy_models import colour_embedder
from tests.unit.reid.test_gallery_contract import batch
from tests.unit.reid.test_gallery_writer import DIGEST, at, clip, gallery, tracklet

__all__ = ["gallery"]


def people(count: int, each: int = 10, seed: int = 0):
    """(count * each, 256): people of a few dozen dimensions, as real vectors are."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(99).normal(size=(40, 256)) * np.linspace(2, 0.2, 40)[:, None]
    own = (rng.normal(size=(count, 40)) @ basis).repeat(each, axis=0)
    found = own + 0.5 * rng.normal(size=(count * each, 40)) @ basis + 0.1
    found = found.astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def joint(settings: JointSettings, lengths=(8, 16, 24)) -> JointHashing:
    features = torch.from_numpy(people(20)[:, :64].copy())
    return JointHashing(features, torch.arange(200) // 10, lengths, settings)


def test_no_round_of_joint_learning_makes_the_objective_worse():
    model = joint(JointSettings(lengths=0.5))
    objectives = [model.objective(), *model.learn()]
    assert objectives[-1] < 0.9 * objectives[0]
    for before, after in zip(objectives, objectives[1:], strict=False):
        assert after <= before * (1 + 1e-5)


def test_no_single_update_of_bits_makes_it_worse_either():
    model = joint(JointSettings(lengths=0.5))
    for length in (8, 16, 24):
        before = model.objective()
        model._update_bits(length)
        assert model.objective() <= before * (1 + 1e-5)


def test_without_the_term_between_lengths_each_is_learnt_as_if_it_were_alone():
    together = joint(JointSettings(lengths=0.0))
    together.learn()
    for length in (8, 16, 24):
        alone = joint(JointSettings(lengths=0.0), lengths=(length,))
        alone.learn()
        assert torch.equal(alone.codes[length], together.codes[length])


def test_what_is_learnt_jointly_codes_its_own_training_vectors_nearly_as_in_training():
    model = joint(JointSettings())
    model.learn()
    features = torch.from_numpy(people(20)[:, :64].copy())
    same = (model.codes[24] == model.encode(features, 24).T).float().mean()
    assert same > 0.9


def test_the_nested_loss_is_least_where_agreement_is_what_the_angle_gives():
    codes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    cosines = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    assert float(nested_loss(codes, cosines, [2])) == pytest.approx(0, abs=1e-6)
    assert float(nested_loss(codes, cosines, [1])) > 0
    assert float(nested_loss(-codes, cosines, [2])) == pytest.approx(0, abs=1e-6)


def test_bits_pass_gradients_though_they_are_steps():
    network = NestedHashing(torch.randn(8, 4))
    codes = network(torch.randn(5, 8))
    assert set(codes.detach().flatten().round(decimals=5).tolist()) == {-1.0, 1.0}
    codes.square().sum().backward()
    codes = network(torch.randn(5, 8))
    codes.sum().backward()
    assert network.projection.grad.abs().sum() > 0


def found_by_prefix(coder: Coder, stored, queries, bits: int, candidates: int) -> float:
    """Share of the ten nearest among the candidates of a Hamming search."""
    true = np.argsort(-queries @ stored.T, axis=1)[:, :10]
    codes, asked = (
        np.unpackbits(coder.codes(vectors), axis=1)[:, :bits].astype(int)
        for vectors in (stored, queries)
    )
    distance = (asked[:, None] != codes[None]).sum(axis=2)
    near = np.argsort(distance, axis=1, kind="stable")[:, :candidates]
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(true, near, strict=True)]))


def test_learnt_prefixes_find_more_than_the_first_signs_do_on_people_never_seen():
    coder = learn_nested(people(200), steps=150, batch=128)
    stored, queries = people(100, seed=1), people(1000, each=1, seed=1)[:100]
    signs = Coder.of_signs(people(200))
    shares = [found_by_prefix(coder, stored, queries, bits, 20) for bits in LENGTHS]
    assert shares == sorted(shares), "a longer prefix finds more"
    for bits, share in zip(LENGTHS[:3], shares, strict=False):
        assert share > found_by_prefix(signs, stored, queries, bits, 20)


def test_a_coder_is_saved_and_loaded_and_a_damaged_one_is_none(tmp_path):
    coder = Coder(np.arange(256, dtype=np.float32), np.eye(256, dtype=np.float32))
    assert load_coder(tmp_path, DIGEST) is None
    save_coder(codes_file(tmp_path, DIGEST), coder)
    assert load_coder(tmp_path, DIGEST).same_as(coder)
    raw = bytearray(codes_file(tmp_path, DIGEST).read_bytes())
    raw[len(raw) // 2] ^= 1
    codes_file(tmp_path, DIGEST).write_bytes(raw)
    assert load_coder(tmp_path, DIGEST) is None
    save_coder(codes_file(tmp_path, DIGEST), Coder(np.zeros(3, np.float32), np.eye(3)))
    assert load_coder(tmp_path, DIGEST) is None


async def test_codes_that_were_learnt_since_make_the_snapshot_worthless(tmp_path):
    before = FaissGallery(tmp_path, DIGEST)
    await before.put(batch(20), 20)
    await before.save()
    coder = Coder(np.zeros(256, np.float32), np.eye(256, dtype=np.float32))
    after = FaissGallery(tmp_path, DIGEST, coder)
    await after.open(20)
    assert after.revision == 0
    await after.put(batch(20), 20)
    await after.save()
    again = FaissGallery(tmp_path, DIGEST, coder)
    await again.open(20)
    assert again.revision == 20


async def test_codes_are_learnt_from_the_vectors_of_known_people(gallery):
    poor = tracklet(1, "nobody", at(0), x=200, quality=0.05)
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50), poor))
    url = gallery.database.url
    assert (await stored_vectors(url, DIGEST, 100)).shape == (1, 256)
    assert (await stored_vectors(url, "e" * 64, 100)).shape == (0, 256)


async def test_codes_are_learnt_from_the_old_and_the_new_alike(gallery):
    """Of six vectors, where four may be taken, every second one; never the first four."""
    await gallery.take(clip(0, *(tracklet(n, f"{n}", at(0), x=100 * n) for n in range(6))))
    assert len(await stored_vectors(gallery.database.url, DIGEST, 4)) == 3
    assert len(await stored_vectors(gallery.database.url, DIGEST, 6)) == 6


def test_too_few_vectors_teach_nothing(tmp_path):
    colour_embedder(tmp_path / "models")
    url = f"sqlite+aiosqlite:///{tmp_path}/reid.db"
    asyncio.run(migrate_once(url, MIGRATIONS))
    options = ["--database", url, "--model", "colours", "--models", str(tmp_path / "models")]
    result = CliRunner().invoke(cli, [*options, "--out", str(tmp_path)])
    assert isinstance(result.exception, Missing)
    assert not codes_file(tmp_path, DIGEST).exists()
