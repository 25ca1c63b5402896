"""What the jobs do: learn, stop, go on, make; and what they say where they cannot."""

from __future__ import annotations

import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from redis import Redis

from services.synthetic.generating import GenerationParams
from services.synthetic.learning import StyleParams, TrainingParams
from services.synthetic.settings import SyntheticSettings
from services.synthetic.shelf import Shelf
from services.synthetic.training.generating import generate
from services.synthetic.training.learning import _provenance, learn, pictures_of
from shared.errors import Conflict, Corrupt, Malformed, Missing, Unavailable
from shared.jobs import JobCancelled
from shared.mark import is_marked
from shared.model_store import CLAIM, ModelStore
from shared.topics import Group, PartitionKeys
from tests.dummy_models import noise_painter
from tests.unit.synthetic.studio import Watched, picture, write_data

LETTERS, ONE, ODD, JOB = (f"0000000000000000000000000{n}" for n in range(4))
STEPS = 8


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Shelf:
    """Of a service, by its environment."""
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("MODELS_FOLDER", str(tmp_path / "shipped"))
    shelf = Shelf(SyntheticSettings().datasets_folder)
    write_data(
        shelf, LETTERS, [f"{'ab'[n % 2]}/{n}.png" for n in range(8)], ("a", "b"), kind="characters"
    )
    yield shelf
    torch.set_num_threads(1)


def watched(folder, stop_at: int | None = None) -> Watched:
    return Watched(folder, JOB, "never" if stop_at is None else f"step {stop_at}/")


def order(dataset: str = LETTERS, **changes) -> TrainingParams:
    usual = {"system": "gan", "dataset_id": dataset, "model": "tiny", "steps": STEPS, "batch": 4}
    return TrainingParams(**(usual | {"settings": {"features": 4, "noise": 4}} | changes))


def losses_of(folder) -> list[str]:
    return (folder / "work" / "log.jsonl").read_text().splitlines()


def test_a_training_that_is_stopped_between_two_steps_goes_on_as_if_it_had_not_been(
    shelf, tmp_path
):
    with pytest.raises(JobCancelled):
        learn(order(), watched(tmp_path / "job", 3))
    assert ModelStore(tmp_path / "models").names == (), "no half of a model stays"
    assert len(losses_of(tmp_path / "job")) == 3
    assert is_marked((tmp_path / "job" / "sheet.png").read_bytes())
    with pytest.raises(JobCancelled):
        learn(order(), on := watched(tmp_path / "job", 6))
    assert [note[:7] for note in on.notes[1:]] == ["step 4/", "step 5/", "step 6/"]
    assert "generator.generator" in on.notes[-1]
    with pytest.raises(JobCancelled):
        learn(order(), watched(tmp_path / "other", 6))
    assert losses_of(tmp_path / "job") == losses_of(tmp_path / "other")


def test_a_training_that_was_killed_logs_no_step_twice(shelf, tmp_path):
    with pytest.raises(JobCancelled):
        learn(order(), watched(tmp_path / "job", 3))
    with (tmp_path / "job" / "work" / "log.jsonl").open("a") as log:
        log.write('{"step": 4}\n{"st')  # behind its last checkpoint, and in the middle of a line
    with pytest.raises(JobCancelled):
        learn(order(), watched(tmp_path / "job", 5))
    assert [json.loads(line)["step"] for line in losses_of(tmp_path / "job")] == [1, 2, 3, 4, 5]


def refused(shelf, tmp_path, error, code, **changes) -> str:
    with pytest.raises(error) as told:
        learn(order(**changes), watched(tmp_path / "job"))
    assert told.value.code == code
    return str(told.value)


def test_bad_input_ends_a_training_with_its_reason(shelf, tmp_path):
    write_data(shelf, ONE, ["only.png"], kind="pictures")
    write_data(
        shelf, ODD, ["a/1.png", "b/2.png"], ("a", "b"), kind="characters", width=10, height=9
    )
    refused(shelf, tmp_path, Missing, "unknown_system", system="magic")
    refused(shelf, tmp_path, Missing, "unknown_dataset", dataset=JOB)
    refused(shelf, tmp_path, Malformed, "too_few_pictures", dataset=ONE)
    refused(shelf, tmp_path, Malformed, "unknown_class", classes=("z",))
    few = {"system": "stargan", "settings": {}, "classes": ("a",)}
    refused(shelf, tmp_path, Malformed, "too_few_classes", **few)
    refused(shelf, tmp_path, Malformed, "unknown_setting", settings={"depth": 3})
    refused(shelf, tmp_path, Malformed, "bad_setting", settings={"noise": "many"})
    refused(shelf, tmp_path, Malformed, "bad_setting", settings={"loss": "none"})
    assert "10x9" in refused(shelf, tmp_path, Malformed, "bad_size", dataset=ODD)
    refused(shelf, tmp_path, Malformed, "bad_size", dataset=ODD, system="stargan", settings={})
    (shelf.folder / LETTERS / "images" / "a" / "0.png").write_bytes(picture(9))
    refused(shelf, tmp_path, Corrupt, "file_checksum")


@pytest.fixture
def full_disk():
    """Files may grow to a kilobyte from now on: writing beyond fails in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_a_training_fails_and_keeps_its_last_checkpoint(shelf, tmp_path, full_disk):
    with pytest.raises(JobCancelled):
        learn(order(), watched(tmp_path / "job", 3))
    kept = (tmp_path / "job" / "work" / "checkpoint.pt").read_bytes()
    full_disk()
    refused(shelf, tmp_path, Unavailable, "disk_full")
    left = [path.name for path in (tmp_path / "job" / "work").iterdir()]
    assert sorted(left) == ["checkpoint.pt", "log.jsonl"]
    assert (tmp_path / "job" / "work" / "checkpoint.pt").read_bytes() == kept


def test_a_model_is_never_overwritten_by_a_job_that_comes_later_to_its_name(shelf, tmp_path):
    with pytest.raises(JobCancelled):
        learn(order(), watched(tmp_path / "job", 3))
    store = ModelStore(tmp_path / "models")
    store.claim("tiny", "another")
    assert "another" in refused(shelf, tmp_path, Conflict, "model_exists")
    store.release("tiny", "another")
    theirs = noise_painter(tmp_path / "models", "tiny").digest
    refused(shelf, tmp_path, Conflict, "model_exists")
    assert store.load("tiny").digest == theirs
    store.claim("other", JOB)
    with pytest.raises(JobCancelled):
        learn(order(model="other"), watched(tmp_path / "other", 1))
    store.claim("other", "another")


class FullWhileItExports(Watched):
    """From that moment on files may grow to a kilobyte."""

    def report(self, done, total, note=""):
        super().report(done, total, note)
        if note.startswith("exports"):
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))


def test_one_that_dies_while_it_exports_leaves_the_model_before_as_it_was(
    shelf, tmp_path, full_disk
):
    """A job that was killed behind its export begins that again, over a model that may serve."""
    drawn, store = noise_painter(tmp_path / "drawn", "tiny"), ModelStore(tmp_path / "models")
    store.save(drawn.card.model_copy(update={"file": "gan.onnx"}), drawn.path)
    (store.folder / "tiny" / CLAIM).write_text(JOB)
    with pytest.raises(Unavailable):
        learn(order(steps=1), FullWhileItExports(tmp_path / "job", JOB))
    assert store.load("tiny").digest == drawn.digest
    left = sorted(path.name for path in (store.folder / "tiny").iterdir())
    assert left == ["card.json", "gan.onnx"]


def test_pictures_of_another_size_can_be_brought_to_one_that_suits(shelf, tmp_path):
    write_data(shelf, ODD, ["1.png", "2.png"], kind="pictures", width=10, height=9)
    with pytest.raises(JobCancelled):
        learn(order(dataset=ODD, height=8, width=16), on := watched(tmp_path / "job", 1))
    assert on.progress > 0


def test_a_model_knows_the_classes_that_it_has_learnt_and_not_those_of_the_manifest(shelf):
    write_data(shelf, ODD, ["a/1.png", "c/2.png"], ("a", "b", "c"), kind="characters")
    data = shelf.get(ODD)
    for asked, known in (((), ("a", "c")), (("c", "a"), ("c", "a"))):
        wanted = order(ODD, classes=asked)
        assert _provenance(wanted, data, pictures_of(data, asked)).classes == known


def generation() -> GenerationParams:
    return GenerationParams(model="paints", n=2, name="made")


@pytest.mark.parametrize(("job", "params"), [(learn, order), (generate, generation)])
def test_a_job_stands_still_while_clips_wait_for_their_scores(
    job, params, shelf, tmp_path, redis_server, monkeypatch
):
    noise_painter(tmp_path / "models")
    monkeypatch.setenv("BUS_URL", redis_server.url)
    monkeypatch.setenv("TRAINING_WAITS_AT", "2")
    context = Watched(tmp_path / "job", JOB)
    waiting = PartitionKeys(0).open(Group.ANOMALY)
    with Redis.from_url(redis_server.url) as redis, ThreadPoolExecutor() as pool:
        redis.zadd(waiting, {"1-1": 1, "1-2": 2})
        working = pool.submit(job, params(), context)
        while not context.note.startswith("stands still") and not working.done():
            time.sleep(0.05)
        assert not working.done()
        context.stop.set()
        with pytest.raises(JobCancelled):
            working.result(60)
        redis.delete(waiting)


def test_a_style_is_a_training_of_a_translator_on_some_cameras():
    style = StyleParams(dataset_id=LETTERS, model="seen", cameras=("c1", "c3"), steps=5)
    asked = style.training()
    assert (asked.system, asked.classes, asked.steps) == ("stargan", ("c1", "c3"), 5)
