from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from services.reid.training.crops import training_crops
from services.reid.training.protocols import GRID_PARTITIONS, PROTOCOLS, crops_to_train_on
from shared.errors import Malformed, Missing


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_the_official_gallery_keeps_distractors_and_loses_junk(tmp_path):
    touch(tmp_path / "query", "0001_c1s1_000001_00.jpg")
    gallery = ("-1_c2s1_000001_00.jpg", "0000_c2s1_000002_00.jpg", "0001_c2s1_000003_00.jpg")
    touch(tmp_path / "bounding_box_test", *gallery)
    (trial,) = PROTOCOLS["market"](tmp_path)
    assert [crop.person for crop in trial.gallery] == [0, 1]


def test_viper_asks_one_view_for_random_halves_of_the_other(tmp_path):
    for view in ("cam_a", "cam_b"):
        touch(tmp_path / view, *(f"{person:03}_90.png" for person in range(10)))
    trials = PROTOCOLS["viper"](tmp_path)
    assert len(trials) == 10
    for trial in trials:
        assert [crop.person for crop in trial.query] == [crop.person for crop in trial.gallery]
        assert len({crop.person for crop in trial.query}) == 5
        assert {crop.path.parent.name for crop in trial.query} == {"cam_a"}
    assert len({tuple(crop.person for crop in trial.query) for trial in trials}) > 1


@pytest.mark.parametrize("name", ["Thumbs_db.bmp", "001b.png"])
def test_a_file_that_is_none_of_the_benchmarks_is_told_by_its_path(tmp_path, name):
    for view in ("cam_a", "cam_b"):
        touch(tmp_path / view, "000_45.bmp", "001.bmp")
    assert len(PROTOCOLS["viper"](tmp_path)) == 10
    touch(tmp_path / "cam_a", name)
    with pytest.raises(Malformed, match=f"cam_a/{name}"):
        PROTOCOLS["viper"](tmp_path)


def test_who_is_tested_in_a_trial_of_viper_is_not_trained_on_for_it(tmp_path):
    for view in ("cam_a", "cam_b"):
        touch(tmp_path / view, *(f"{person:03}_90.png" for person in range(20)))
    for n, trial in enumerate(PROTOCOLS["viper"](tmp_path)):
        trained = crops_to_train_on(tmp_path, n)
        assert {crop.person for crop in trained} | {crop.person for crop in trial.query} == {
            *range(1, 21)
        }
        assert all(crop.person > 0 for crop in trained)
        assert not {crop.path for crop in trained} & {crop.path for crop in trial.gallery}
        assert len(trained) == 20
    with pytest.raises(Missing, match="0 to 9"):
        crops_to_train_on(tmp_path, 10)
    with pytest.raises(Malformed, match="which trial"):
        crops_to_train_on(tmp_path, None)


@pytest.mark.parametrize("below", ["", "single_shot"])
def test_prid_has_people_whom_one_camera_alone_saw_and_whose_numbers_mean_nothing(tmp_path, below):
    touch(tmp_path / below / "cam_a", *(f"person_{n:04}.png" for n in range(1, 386)))
    touch(tmp_path / below / "cam_b", *(f"person_{n:04}.png" for n in range(1, 750)))
    trials = PROTOCOLS["prid"](tmp_path)
    assert len(trials) == 10
    for trial in trials:
        asked = {crop.person for crop in trial.query}
        assert len(trial.query) == 100
        assert max(asked) <= 200
        assert len(trial.gallery) == 100 + 549
        assert {crop.person for crop in trial.gallery} == asked | {0}
        assert {crop.camera for crop in trial.query} != {crop.camera for crop in trial.gallery}


def write_grid(root, partitions):
    touch(root / "probe", *(f"{person:04}_1_25004_1_2_3_4.jpeg" for person in range(1, 9)))
    touch(root / "gallery", *(f"{person:04}_2_25005_1_2_3_4.jpeg" for person in range(1, 9)))
    touch(root / "gallery", *(f"0000_5_{n}_1_2_3_4.jpeg" for n in range(3)))
    cells = np.empty((1, len(partitions)), dtype=object)
    for n, people in enumerate(partitions):
        # The official file: cells of structs, of whose fields the third names the people.
        cells[0, n] = {"probe": np.zeros(4), "gallery": np.zeros(4), "people": np.array(people)}
    savemat(root / GRID_PARTITIONS, {"trainIdxAll": cells})


def test_grid_tests_whom_its_official_partitions_do_not_train_on(tmp_path):
    write_grid(tmp_path, [[1, 2, 3, 4], [5, 6, 7, 8]])
    first, second = PROTOCOLS["grid"](tmp_path)
    assert {crop.person for crop in first.query} == {5, 6, 7, 8}
    assert sorted(crop.person for crop in first.gallery) == [0, 0, 0, 5, 6, 7, 8]
    assert {crop.person for crop in second.query} == {1, 2, 3, 4}
    assert {crop.camera for crop in first.gallery} == {2, 5}


def test_partitions_that_are_not_grids_are_malformed(tmp_path):
    write_grid(tmp_path, [[1, 2]])
    savemat(tmp_path / GRID_PARTITIONS, {"something": np.zeros(3)})
    with pytest.raises(Malformed, match="partitions"):
        PROTOCOLS["grid"](tmp_path)


def test_grid_without_its_partitions_is_missing(tmp_path):
    write_grid(tmp_path, [[1, 2]])
    (tmp_path / GRID_PARTITIONS).unlink()
    with pytest.raises(Missing, match="features_and_partitions"):
        PROTOCOLS["grid"](tmp_path)


def test_the_own_split_of_market_has_the_stated_sizes(data):
    (trial,) = PROTOCOLS["market"](data("Market-1501-train"))
    assert len(trial.query) == 1089
    assert len({crop.person for crop in trial.gallery}) == 251
    trained = {crop.person for crop in training_crops(data("Market-1501-train"))}
    assert not trained & {crop.person for crop in trial.query}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_folder_without_the_protocols_files_is_missing(tmp_path, protocol):
    with pytest.raises(Missing):
        PROTOCOLS[protocol](tmp_path)
