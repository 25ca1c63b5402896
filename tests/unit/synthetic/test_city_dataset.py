from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest

from services.synthetic.city import City, CityPlan
from services.synthetic.city.dataset import Layout, write_dataset
from services.synthetic.city.layouts.order import DatasetSettings
from shared.errors import Conflict, Invalid
from shared.images import decode

NAME = re.compile(r"(\d{4})_c(\d)s1_(\d{6})_(\d{2})\.jpg")
CLIPS = DatasetSettings(clip_s=4, test_s=30)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    out = tmp_path_factory.mktemp("clips") / "set"
    plan = CityPlan(seed=100, duration_s=9, fps=5, cameras=2)
    write_dataset(Layout.CLIPS, plan, out, CLIPS)
    return out


@pytest.fixture(scope="module")
def persons(tmp_path_factory):
    out = tmp_path_factory.mktemp("persons") / "set"
    plan = CityPlan(seed=100, duration_s=60, fps=1, anomalies=False)
    return out, write_dataset(Layout.PERSONS, plan, out)


def test_clips_have_numbered_frames_of_one_length(clips):
    folders = sorted((clips / "Train").iterdir()) + sorted((clips / "Test").iterdir())
    assert [it.name for it in folders[:4]] == [
        "city-1_000",
        "city-1_001",
        "city-2_000",
        "city-2_001",
    ]
    for folder in folders:
        assert sorted(it.name for it in folder.glob("*.jpg")) == [f"{n:03d}.jpg" for n in range(20)]
    assert decode((folders[0] / "000.jpg").read_bytes(), "rgb").shape == (240, 320, 3)


def test_labels_follow_the_test_clips_in_the_order_of_their_names(clips):
    labels = np.load(clips / "frame_labels.npy")
    folders = sorted((clips / "Test").iterdir())
    assert labels.shape == (20 * len(folders),)
    manifest = json.loads((clips / "manifest.json").read_text())
    assert labels.sum() == manifest["counts"]["abnormal_frames"] > 0
    assert labels[:20].sum() + labels[-20:].sum() < 40
    city = City(
        CityPlan(seed=100 + 1_000_003, duration_s=30, fps=5, cameras=2, anomaly_every_s=8.0)
    )
    expected = [
        any(
            it.covers(folder.name[:6], city.time_s(20 * int(folder.name[-3:]) + n))
            for it in city.anomalies
        )
        for folder in folders
        for n in range(20)
    ]
    assert labels.tolist() == expected


def test_crops_are_named_and_sized_as_in_market_1501(persons):
    out, _ = persons
    for half in ("train", "query", "gallery"):
        files = list((out / half).iterdir())
        assert files
        assert all(NAME.fullmatch(it.name) for it in files)
    assert decode(next((out / "train").iterdir()).read_bytes(), "rgb").shape == (128, 64, 3)


def test_who_trains_is_not_searched_for(persons):
    out, manifest = persons
    people = {
        half: {it.name[:4] for it in (out / half).iterdir()}
        for half in ("train", "query", "gallery")
    }
    assert not people["train"] & (people["query"] | people["gallery"])
    assert people["query"] <= people["gallery"]
    assert manifest.counts["people"] == len(people["train"] | people["gallery"])


def test_every_query_can_be_found_by_another_camera(persons):
    out, _ = persons
    cameras = defaultdict(set)
    for it in (out / "gallery").iterdir():
        cameras[it.name[:4]].add(it.name[6])
    queries = [it.name for it in (out / "query").iterdir()]
    assert len({(name[:4], name[6]) for name in queries}) == len(queries)
    for name in queries:
        assert cameras[name[:4]] - {name[6]}


def test_video_tells_the_truth_of_every_frame(tmp_path):
    plan = CityPlan(seed=3, duration_s=1.5, fps=4, cameras=2)
    write_dataset(Layout.VIDEO, plan, tmp_path / "set")
    lines = [json.loads(it) for it in (tmp_path / "set/truth.jsonl").read_text().splitlines()]
    city = City(plan)
    assert len(lines) == 12
    for line in lines:
        assert (tmp_path / f"set/frames/{line['camera_id']}/{line['frame']:06d}.jpg").is_file()
        truth = city.truth(line["camera_id"], line["frame"])
        assert [it["person_id"] for it in line["people"]] == [it.person_id for it in truth.people]
        assert [it["box"][0] for it in line["people"]] == [it.box.x for it in truth.people]


def test_the_manifest_vouches_for_every_file(persons):
    out, manifest = persons
    listing = (out / "SHA256SUMS").read_bytes()
    assert hashlib.sha256(listing).hexdigest() == manifest.sha256
    lines = listing.decode().splitlines()
    assert len(lines) == manifest.files
    for line in lines[::50]:
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_the_same_plan_writes_the_same_files(tmp_path):
    plan = CityPlan(seed=5, duration_s=6, fps=2, cameras=2)
    for layout in (Layout.PERSONS, Layout.VIDEO):
        manifests = [write_dataset(layout, plan, tmp_path / f"{layout}{n}") for n in range(2)]
        assert manifests[0] == manifests[1]


def test_progress_counts_up_to_the_whole(tmp_path):
    heard = []
    plan = CityPlan(seed=5, duration_s=3, fps=2, cameras=2)
    write_dataset(
        Layout.PERSONS,
        plan,
        tmp_path / "set",
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(n + 1, 24) for n in range(24)]


@pytest.mark.parametrize("layout", [*Layout])
def test_a_cancelled_data_set_has_no_manifest(layout, tmp_path):
    asked = iter(range(100))
    plan = CityPlan(seed=5, duration_s=9, fps=2, cameras=2)
    settings = DatasetSettings(clip_s=4, test_s=9)
    out = tmp_path / "set"
    written = write_dataset(layout, plan, out, settings, cancelled=lambda: next(asked) == 5)
    assert written is None
    assert out.is_dir()
    assert not (out / "manifest.json").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Conflict):
        write_dataset(Layout.VIDEO, CityPlan(seed=1, duration_s=1), tmp_path)
    assert [it.name for it in tmp_path.iterdir()] == ["mine.txt"]


def test_clips_longer_than_the_footage_are_refused(tmp_path):
    plan = CityPlan(seed=1, duration_s=5, fps=5)
    with pytest.raises(Invalid):
        write_dataset(Layout.CLIPS, plan, tmp_path / "set", CLIPS.__class__(clip_s=20))


def test_the_command_line_writes_a_data_set_and_prints_its_manifest(tmp_path):
    out = tmp_path / "set"
    command = [
        sys.executable,
        "-m",
        "services.synthetic.city",
        "--layout",
        "video",
        "--out",
        str(out),
    ]
    run = subprocess.run(
        [*command, "--seconds", "1", "--fps", "2", "--cameras", "1", "--seed", "4"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout.splitlines()[-1])["counts"]["frames"] == 2
    assert (out / "manifest.json").is_file()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode != 0
    assert "not an empty folder" in again.stderr
