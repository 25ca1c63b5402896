"""Data sets are read as pictures with labels, or refused by what they lack."""

from __future__ import annotations

import gzip

import cv2
import numpy as np
import pytest
import torch

from services.synthetic.training.pictures import Pictures, read_pictures
from shared.errors import Malformed, Missing
from tests.unit.synthetic.studio import write_npz


def test_an_npz_is_read_with_its_classes(tmp_path):
    found = read_pictures(write_npz(tmp_path / "letters.npz"))
    assert (found.images.shape, found.classes, found.name) == ((6, 1, 8, 8), ("a", "b"), "letters")
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_a_folder_of_classes_is_read_at_one_size(tmp_path):
    for name, size in (("cat", (10, 8)), ("dog", (20, 16))):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), np.full((*size, 3), 90, np.uint8))
    found = read_pictures(tmp_path)
    assert (found.images.shape, found.classes) == ((2, 3, 10, 8), ("cat", "dog"))
    assert (found.images == 90).all()


def test_crops_named_as_markets_are_of_their_cameras(tmp_path):
    for name in ("0002_c1s1_000451_03.jpg", "0002_c3s2_1_00.jpg", "-1_c3s1_2_00.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((8, 4, 3), 90, np.uint8))
    found = read_pictures(tmp_path)
    assert (found.classes, found.labels.tolist()) == (("c1", "c3"), [1, 0, 1])
    cv2.imwrite(str(tmp_path / "other.jpg"), np.full((8, 4, 3), 90, np.uint8))
    assert read_pictures(tmp_path).classes == ()


def test_mnists_own_files_are_read(tmp_path):
    images = bytes(16) + np.arange(3 * 4, dtype=np.uint8).tobytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(bytes(8) + bytes([1, 0, 1]))
    )
    found = read_pictures(tmp_path)
    assert (found.images.shape, found.labels.tolist()) == ((3, 1, 2, 2), [1, 0, 1])
    assert found.images[2, 0].tolist() == [[8, 9], [10, 11]]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"images": np.zeros((6, 8, 8), np.float32)}, "not_pictures"),
        ({"images": np.zeros((6, 8), np.uint8)}, "not_pictures"),
        ({"labels": np.array([0, 1])}, "not_pictures"),
        ({"labels": np.array([0, 1, 0, 1, 0, 7])}, "not_pictures"),
        ({"labels": np.zeros(6, np.int64)}, "empty_class"),
        ({"images": np.zeros((1, 8, 8), np.uint8), "labels": np.zeros(1, np.int64), "classes": []},
         "too_few_pictures"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "not_pictures"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused_by_what_it_lacks(tmp_path, changes, code):
    with pytest.raises(Malformed) as refused:
        read_pictures(write_npz(tmp_path / "bad.npz", **changes))
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["nowhere", "nowhere.npz", "."])
def test_where_no_pictures_are_it_says_so(tmp_path, name):
    with pytest.raises(Missing) as refused:
        read_pictures(tmp_path / name)
    assert refused.value.code == "no_pictures"


def test_the_first_pictures_are_read_alone(tmp_path):
    path = write_npz(tmp_path / "x.npz")
    assert read_pictures(path, first=4).labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(Malformed) as refused:
        read_pictures(path, first=7)
    assert refused.value.code == "too_few_pictures"


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(Malformed):
        read_pictures(tmp_path / "torn.npz")


def test_a_template_is_the_picture_nearest_to_its_classs_mean():
    images = np.array([0, 100, 110, 240, 7], np.uint8).reshape(5, 1, 1, 1)
    found = Pictures("x", images, np.array([0, 0, 0, 0, 1]), ("a", "b"))
    assert found.templates.ravel().tolist() == [110, 7]


def test_a_batch_is_pixels_labels_and_the_contents_of_the_labels(tmp_path):
    found = read_pictures(write_npz(tmp_path / "x.npz"))
    batch = found.batch(16, torch.Generator().manual_seed(0))
    assert batch["images"].shape == batch["contents"].shape == (16, 1, 8, 8)
    assert float(batch["images"].max()) <= 1
    wanted = found.templates[batch["labels"].numpy()]
    assert torch.allclose(batch["contents"] * 255, torch.from_numpy(wanted).float())
