from __future__ import annotations

import numpy as np
import onnx
import pytest

from services.reid.detectors.background import BackgroundDetector, Memory, clipped
from services.reid.detectors.registry import DETECTORS, open_detector
from services.reid.detectors.silhouettes import (
    Figure,
    figures_by_shape,
    figures_by_stature,
    silhouette,
)
from services.reid.detectors.stature import ENOUGH, Stature
from services.reid.detectors.yolox import YoloxDetector, YoloxSettings, cells, letterbox, suppress
from shared.errors import Corrupt, Malformed, Missing
from shared.inference import Provider, open_session


def stature(slope=0.25, offset=5.0, count=40):
    """A camera at which a person with feet at row r is slope * r + offset tall."""
    feet = np.linspace(60, 170, count)
    return Stature.unknown().seeing(zip(feet, slope * feet + offset, strict=True))


def draw(mask, x, foot, height):
    """Puts a person of the model's own shape into a mask."""
    width = round(0.4 * height)
    shape = silhouette(height, width) > 0.5
    mask[foot - height : foot, x : x + width] |= shape
    return (x, foot - height, width, height)


def overlap(figure, box):
    x, y, width, height = box
    w = min(figure.x + figure.width, x + width) - max(figure.x, x)
    h = min(figure.y + figure.height, y + height) - max(figure.y, y)
    shared = max(0, w) * max(0, h)
    return shared / (figure.width * figure.height + width * height - shared)


def test_a_camera_learns_how_tall_people_are_at_each_row():
    line = stature().line()
    assert line.height(100) == pytest.approx(30.0, abs=0.5)
    assert line.height(160) == pytest.approx(45.0, abs=0.5)


def test_a_quarter_of_wrong_samples_does_not_bend_the_line():
    rng = np.random.default_rng(0)
    wrong = [(float(row), float(height)) for row, height in rng.uniform(20, 160, (13, 2))]
    assert stature().seeing(wrong).line().height(120) == pytest.approx(35.0, rel=0.1)


def test_too_few_samples_and_heights_without_order_claim_nothing():
    assert stature(count=ENOUGH - 1).line() is None
    rng = np.random.default_rng(1)
    chaos = zip(rng.uniform(0, 180, 60), rng.uniform(10, 90, 60), strict=True)
    assert Stature.unknown().seeing(chaos).line() is None


def test_statures_survive_bytes_and_foreign_bytes_are_refused():
    restored = Stature.from_bytes(stature().to_bytes())
    assert np.array_equal(restored.samples, stature().samples)
    with pytest.raises(Corrupt):
        Stature.from_bytes(b"12345")


def test_before_the_stature_is_known_only_whole_shapes_are_people():
    mask = np.zeros((180, 240), bool)
    whole = draw(mask, 60, 120, 40)
    mask[20:40, 120:200] = True
    (found,) = figures_by_shape(mask)
    assert overlap(found, whole) > 0.7


@pytest.mark.parametrize("gap", [9, 12])
def test_people_side_by_side_are_taken_apart(gap):
    mask = np.zeros((180, 240), bool)
    people = [draw(mask, 80 + gap * n, 140, 40) for n in range(3)]
    found = figures_by_stature(mask, stature().line())
    assert len(found) == 3
    assert all(max(overlap(figure, box) for figure in found) > 0.5 for box in people)


def test_somebody_half_hidden_behind_another_is_found():
    mask = np.zeros((180, 240), bool)
    before = draw(mask, 100, 150, 42)
    behind = draw(mask, 108, 128, 37)
    found = figures_by_stature(mask, stature().line())
    assert len(found) == 2
    assert all(max(overlap(figure, box) for figure in found) > 0.5 for box in (before, behind))


def test_specks_are_nobody():
    mask = np.zeros((180, 240), bool)
    mask[::20, ::20] = True
    assert figures_by_stature(mask, stature().line()) == []


def test_who_is_cut_off_by_the_frame_does_not_break_the_search():
    mask = np.zeros((180, 240), bool)
    mask[150:180, 100:130] = True
    mask[0:9, 30:60] = True
    mask[60:100, 0:14] = True
    mask[60:100, 226:240] = True
    line = stature().line()
    assert all(figure.width > 0 and figure.height > 0 for figure in figures_by_stature(mask, line))


def test_a_figure_is_cut_to_the_frame_and_a_sliver_of_one_is_dropped():
    cut = clipped(Figure(-10, 20, 30, 80, 1.0), 320, 240, 0.7)
    assert (cut.x, cut.y, cut.width, cut.height, cut.confidence) == (0, 20, 20, 80, 0.7)
    assert clipped(Figure(-25, 20, 30, 80, 1.0), 320, 240, 0.7) is None
    assert clipped(Figure(400, 20, 30, 80, 1.0), 320, 240, 0.7) is None


def street(rng):
    coarse = rng.integers(70, 180, (15, 20, 3))
    return np.kron(coarse, np.ones((16, 16, 1))).astype(np.uint8)


def test_memory_survives_bytes_and_damaged_memory_is_forgotten_not_fatal():
    rng = np.random.default_rng(2)
    frames = [street(np.random.default_rng(0)) for _ in range(4)]
    detector = BackgroundDetector()
    first = detector.detect(frames, [0], None)
    assert Memory.from_bytes(first.memory).to_bytes() == first.memory
    for damaged in (b"", b"junk", first.memory[: len(first.memory) // 2], rng.bytes(500)):
        assert detector.detect(frames, [0, 3], damaged).memory == first.memory


def test_an_empty_street_has_nobody_and_no_frames_change_nothing():
    frame = street(np.random.default_rng(0))
    detector = BackgroundDetector()
    findings = detector.detect([frame] * 4, [0, 3], None)
    assert findings.boxes == ((), ())
    assert detector.detect([], [], findings.memory).memory == findings.memory


def test_a_camera_that_changes_its_resolution_goes_on():
    rng = np.random.default_rng(0)
    small, large = street(rng), np.repeat(np.repeat(street(rng), 2, 0), 2, 1)
    detector = BackgroundDetector()
    memory = detector.detect([small] * 4, [0], None).memory
    findings = detector.detect([small, large, large], [0, 2], memory)
    assert Memory.from_bytes(findings.memory).background.fits(large)


def test_people_of_a_real_street_are_found_from_the_first_clip_on(data):
    cv2 = pytest.importorskip("cv2")
    video = cv2.VideoCapture(str(data("PETS09_S2L1", "vtest_480x360.mp4")))
    frames = [video.read()[1][..., ::-1] for _ in range(160)][::2]
    lines = data("PETS09_S2L1", "gt", "gt.txt").read_text().split()
    rows = np.array([[float(v) for v in line.split(",")[:6]] for line in lines])
    detector, memory = BackgroundDetector(), None
    found = right = wanted = 0
    for start in range(0, 80, 16):
        findings = detector.detect(frames[start : start + 16], range(0, 16, 4), memory)
        memory = findings.memory
        for look, boxes in zip(range(start, start + 16, 4), findings.boxes, strict=True):
            true = rows[rows[:, 0] == 2 * look + 1][:, 2:6]
            hits = [max((overlap(box, t) for t in true), default=0) > 0.5 for box in boxes]
            found, right, wanted = found + len(boxes), right + sum(hits), wanted + len(true)
    assert right / wanted > 0.75
    assert right / found > 0.75


def raw(box, confidence, side=64):
    """The row and the cell at which a YOLOX with one more class would give this box."""
    x, y, width, height = box
    grid, stride = cells(side, side)
    centre = np.array([x + width / 2, y + height / 2])
    cell = int(
        np.argmin(np.abs((grid + 0.5) * stride - centre).sum(1) + 100 * (stride[:, 0] != 16))
    )
    offset = centre / stride[cell] - grid[cell]
    size = np.log(np.array([width, height]) / stride[cell])
    return cell, np.array([*offset, *size, confidence, 1.0, 0.0], np.float32)


def yolox_file(path, rows, side=64):
    """A graph whose output is those rows whatever it sees."""
    table = np.zeros((1, len(cells(side, side)[0]), 7), np.float32)
    for cell, row in rows:
        table[0, cell] = row
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["table", "nothing"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "yolox",
        [helper.make_tensor_value_info("images", kind, [1, 3, side, side])],
        [helper.make_tensor_value_info("output", kind, list(table.shape))],
        [
            onnx.numpy_helper.from_array(table, "table"),
            onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def yolox(tmp_path, rows, side=64):
    session = open_session(yolox_file(tmp_path / "yolox.onnx", rows), provider=Provider.CPU)
    return YoloxDetector(session, YoloxSettings(height=side, width=side))


def test_yolox_boxes_come_out_in_the_frames_own_pixels(tmp_path):
    detector = yolox(tmp_path, [raw((8, 10, 12, 30), 0.9)])
    frame = np.zeros((96, 128, 3), np.uint8)
    findings = detector.detect([frame, frame], [1], b"kept")
    ((box,),) = findings.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((16, 20, 24, 60), abs=1e-3)
    assert box.confidence == pytest.approx(0.9)
    assert findings.memory == b"kept"


def test_yolox_keeps_the_surer_of_two_boxes_on_one_person(tmp_path):
    rows = [raw((8, 10, 12, 30), 0.9), raw((25, 10, 12, 30), 0.4), raw((8, 27, 12, 30), 0.05)]
    cell, row = raw((8, 10, 12, 30), 0.5)
    row[:2] += 1.0
    rows.append((cell - 5, row))
    ((first, second),) = (
        yolox(tmp_path, rows).detect([np.zeros((64, 64, 3), np.uint8)], [0], None).boxes
    )
    assert (first.x, second.x) == pytest.approx((8, 25), abs=1e-3)


def test_a_file_that_is_no_yolox_of_that_size_is_named_as_such(tmp_path):
    session = open_session(yolox_file(tmp_path / "yolox.onnx", []), provider=Provider.CPU)
    detector = YoloxDetector(session, YoloxSettings(height=64, width=64))
    detector._grid = detector._grid[:-1]
    with pytest.raises(Malformed, match="YOLOX"):
        detector.detect([np.zeros((64, 64, 3), np.uint8)], [0], None)


def test_letterboxing_keeps_the_shape_and_turns_to_bgr():
    frame = np.zeros((50, 100, 3), np.uint8)
    frame[..., 0] = 200
    blob, scale = letterbox(frame, 64, 64)
    assert scale == 0.64
    assert blob[0, :, 10, 10].tolist() == [0.0, 0.0, 200.0]
    assert blob[0, :, 40, 10].tolist() == [114.0] * 3


def test_suppression_agrees_with_a_naive_one():
    rng = np.random.default_rng(4)
    low = rng.uniform(0, 50, (40, 2))
    corners = np.concatenate([low, low + rng.uniform(5, 40, (40, 2))], axis=1).astype(np.float32)
    confidences = (1 + rng.permutation(40).astype(np.float32)) / 40

    def iou(a, b):
        w = min(a[2], b[2]) - max(a[0], b[0])
        h = min(a[3], b[3]) - max(a[1], b[1])
        shared = max(0, w) * max(0, h)
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return shared / (sum(areas) - shared)

    kept = []
    for n in sorted(range(40), key=lambda n: -confidences[n]):
        if all(iou(corners[n], corners[k]) <= 0.4 for k in kept):
            kept.append(n)
    assert suppress(corners, confidences, 0.4) == kept
    assert suppress(corners[:0], confidences[:0], 0.4) == []


def test_every_registered_detector_keeps_the_contract(tmp_path):
    frames = [street(np.random.default_rng(0))] * 3
    files = {"yolox": yolox_file(tmp_path / "yolox.onnx", [], side=640)}
    for name in DETECTORS:
        detector = open_detector(name, model=files.get(name), provider=Provider.CPU)
        findings = detector.detect(frames, [0, 2], None)
        assert len(findings.boxes) == 2
        assert findings.memory is None or isinstance(findings.memory, bytes)


def test_unknown_names_and_absent_files_are_told():
    with pytest.raises(Missing, match="background, yolox"):
        open_detector("oracle")
    with pytest.raises(Missing, match="ONNX file"):
        open_detector("yolox")
