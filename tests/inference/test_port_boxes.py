"""The files of SlowFast's port for the Ascend 310: byte by byte, and the way round from samples to a score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.clips.samples import Sample
from actionbook.clips.targets import boxes_of
from actionbook.core.keyframes import Cut
from actionbook.core.sections import Evaluation
from actionbook.core.spec import Spec, SpecError
from actionbook.datasets.index import BOX, BOXES, ITEMS, LABELS, Index, check
from actionbook.evaluation.ava import every_class, mean_average_precision
from actionbook.inference import InferenceError, PortBoxes, read_port_boxes, read_port_scores, write_port_boxes
from actionbook.inference.port_boxes import ARRAYS
from actionbook.inference.port_videos import read_port_time
from actionbook.tasks import Detection, Predictions

M, CLASSES = 4, ("sit", "stand", "walk", "watch", "never")
SPEC = Spec({"slow": (3, 2, 4, 6), "fast": (3, 8, 4, 6), "boxes": (M, 4)}, (M, len(CLASSES)))
CUT = Cut(start=900, rate=30)
VIDEOS = ["other, not asked about", "-5KQ66BBWC4", "视频"]
MISSED, BOXES_FOUND = "视频@0903", 19


def box(rng: np.random.Generator) -> np.ndarray:
    low, size = rng.uniform(0, 0.6, 2), rng.uniform(0.2, 0.4, 2)
    return np.concatenate([low, low + size]).round(3)


@pytest.fixture(scope="module")
def index() -> Index:
    """Eight keyframes of two videos, boxes of people with classes, and what a detector found in seven of them."""
    rng = np.random.default_rng(5)
    items, labels, found = [], [], []
    for number in range(8):
        video, second = VIDEOS[1 + number // 4], 902 + number % 4
        item = f"{video}@{second:04d}"
        items.append((item, video, 30 * (second - 900), "test", "", video, 100))
        for person in range(1 + number % 3):
            corners = box(rng)
            targets = {person, int(rng.integers(4))}
            labels += [(item, CLASSES[k], k, *corners) for k in targets]
            if item != MISSED:
                found.append((item, *np.clip(corners + rng.uniform(-0.03, 0.03, 4), 0, 1).round(3), 0.9))
        if item != MISSED:
            found.append((item, *box(rng), 0.85))  # somebody who is not there
    made = Index(
        pd.DataFrame(items, columns=list(ITEMS)).astype(ITEMS),
        pd.DataFrame(labels, columns=list(LABELS)).astype(LABELS),
        pd.DataFrame(found, columns=list(BOXES)).astype(BOXES),
    )
    check(made)
    return made


@pytest.fixture(scope="module")
def samples(index: Index) -> list[Sample]:
    rng, places, made = np.random.default_rng(6), boxes_of(index, len(CLASSES)), []
    for item in index.items["item"]:
        if item in places:
            count, boxes = len(places[item].places), np.zeros((M, 4), np.float32)
            boxes[:count] = places[item].places * [6, 4, 6, 4]
            clips = {name: rng.standard_normal(SPEC.inputs[name], np.float32) for name in ("slow", "fast")}
            mask = (np.arange(M) < count).astype(np.float32)
            made.append(Sample(item, {**clips, "boxes": boxes}, np.zeros((M, len(CLASSES)), np.float32), mask))
    return made


@pytest.fixture
def files(samples: list[Sample], index: Index, tmp_path: Path) -> PortBoxes:
    """Seven keyframes in batches of three."""
    return write(samples, tmp_path / "preprocess_Result", index)


def write(samples: Iterable[Sample], folder: Path, index: Index, **options: Any) -> PortBoxes:
    given: dict[str, Any] = {"videos": VIDEOS, "batch_size": 3, "progress": False, **options}
    return write_port_boxes(samples, folder, SPEC, index, CUT, **given)


def network(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Logits (B, M, classes) of a known function in which every input has a say."""
    rng = np.random.default_rng(7)
    clips = np.stack([inputs[name].mean(axis=(2, 3, 4)) for name in ("slow", "fast")], 1).reshape(-1, 1, 6)
    logits = 4 * clips @ rng.standard_normal((6, 5)) + np.sin(inputs["boxes"]) @ rng.standard_normal((4, 5))
    return np.asarray(logits, np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))


def program(files: PortBoxes, folder: Path, answer: Callable[[np.ndarray], np.ndarray] = sigmoid) -> Path:
    """What the port's program for the 310 leaves behind."""
    folder.mkdir()
    for number in range(files.runs):
        answer(network(files.load(number))).reshape(-1, 5).tofile(folder / f"ava_val_{number}_0.bin")
    return folder


def as_the_port_writes_them(files: PortBoxes) -> PortBoxes:
    """The same files, the last batch not filled up and nothing behind it."""
    last = len(files) - 1
    for name in ARRAYS:
        (files.folder / name / f"ava_val_{len(files)}.bin").unlink()
        array = np.array(files.array(last, name)[: files.keyframes[last]])
        array.tofile(files.path(last, name))
    return read_port_boxes(files.folder, SPEC, VIDEOS, batch_size=3)


def test_files_byte_by_byte(files: PortBoxes, samples: list[Sample], index: Index) -> None:
    assert {path.name for path in files.folder.iterdir()} == set(ARRAYS)
    first = samples[:3]
    slow, fast, boxes = (np.stack([sample.inputs[name] for sample in first]) for name in SPEC.inputs)
    assert index.boxes is not None
    found = index.boxes[index.boxes["item"] == first[2].item]
    ori_boxes = np.stack([found[side] for side in BOX], 1).astype("<f4")
    assert files.path(0, "slowpath").read_bytes() == slow.astype("<f2").tobytes()
    assert files.path(0, "fastpath").read_bytes() == fast.astype("<f2").tobytes()
    assert files.path(0, "boxes").read_bytes() == boxes.astype("<f4").tobytes()
    assert files.path(0, "labels").read_bytes() == bytes(4 * 3 * M * 5)
    assert files.path(0, "ori_boxes").read_bytes()[2 * 16 * M :] == ori_boxes.tobytes().ljust(16 * M, b"\0")
    assert np.fromfile(files.path(0, "mask"), "<i4").tolist() == [1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1]
    metadata = np.fromfile(files.path(0, "metadata"), "<i4").reshape(3, M, 2)
    assert metadata[1].tolist() == [[1, 903]] * 3 + [[0, 0]]


def test_the_ports_own_sizes(samples: list[Sample], index: Index, tmp_path: Path) -> None:
    spec = Spec({"slow": (3, 8, 256, 384), "fast": (3, 32, 256, 384), "boxes": (28, 4)}, (28, 80))
    mask, boxes = np.zeros(28, np.float32), np.zeros((28, 4), np.float32)
    mask[:2] = 1
    clips = {name: np.broadcast_to(np.float32(1), shape) for name, shape in spec.inputs.items() if name != "boxes"}
    sample = Sample(samples[0].item, {**clips, "boxes": boxes}, np.zeros((28, 80), np.float32), mask)
    made = write_port_boxes([sample], tmp_path, spec, index, CUT, batch_size=1, progress=False)
    sizes = {name: made.path(0, name).stat().st_size for name in ARRAYS}
    assert sizes == {
        "slowpath": 4_718_592,
        "fastpath": 18_874_368,
        "boxes": 448,
        "labels": 8_960,
        "ori_boxes": 448,
        "metadata": 224,
        "mask": 112,
    }


@pytest.mark.parametrize(("size", "dtype"), [(3, np.float16), (7, np.float16), (1, np.float32)])
def test_the_score_is_that_of_the_same_outputs(
    size: int, dtype: type, samples: list[Sample], index: Index, tmp_path: Path
) -> None:
    files = write(samples, tmp_path / "in", index, batch_size=size, dtype=dtype)
    boxes, scores = read_port_scores(program(files, tmp_path / "out"), files)
    assert scores.shape == (BOXES_FOUND, 5)
    detections = every_class(boxes, scores, CLASSES)
    of = index.items.set_index("item").loc[index.labels["item"]].reset_index(drop=True)
    truth = index.labels.assign(video=of.video, second=900 + of.frame / 30)
    found = mean_average_precision(truth, detections, CLASSES[:4])

    clips = {name: np.stack([sample.inputs[name] for sample in samples]).astype(dtype) for name in ("slow", "fast")}
    inputs = {name: clip.astype(np.float32) for name, clip in clips.items()}
    outputs = network({**inputs, "boxes": np.stack([sample.inputs["boxes"] for sample in samples])})
    items = [sample.item for sample in samples]
    direct = Predictions(items, outputs, index, Evaluation(), Detection()).score
    assert (direct.evaluated, direct.expected) == (8, 8)  # nobody was found in one
    assert found.value == pytest.approx(direct.value, abs=1e-9)
    assert {name: found.by_name[name] for name in direct.parts} == pytest.approx(direct.parts, abs=1e-9)
    assert 0.2 < found.value < 0.95
    assert found.counts.detections_keyframes == 7


def test_logits_are_told_from_scores(files: PortBoxes, tmp_path: Path) -> None:
    wanted, scores = read_port_scores(program(files, tmp_path / "scores"), files)
    logits = program(files, tmp_path / "logits", lambda logits: logits)
    with pytest.raises(InferenceError, match=r"0_0\.bin: from -\S+ to \S+, expected scores of 0 to 1: .* logits=True"):
        read_port_scores(logits, files)
    boxes, own = read_port_scores(logits, files, logits=True)
    pd.testing.assert_frame_equal(boxes, wanted)
    np.testing.assert_allclose(own, scores, rtol=1e-6)


def test_nothing_is_left_out(files: PortBoxes, tmp_path: Path) -> None:
    assert (len(files), files.runs, files.left_out, files.keyframes) == (3, 3, 0, (3, 3, 1))
    assert files.sizes == (3, 3, 3)
    assert files.table.shape == (BOXES_FOUND, 6)
    assert files.table.video.unique().tolist() == VIDEOS[1:]
    assert files.table.second[files.table.video == VIDEOS[2]].unique().tolist() == [902, 904, 905]
    times = tmp_path / "test_perform_static.txt"
    times.write_text("NN inference cost average time: 812.5 ms of infer_count 3\n")
    assert read_port_time(times, files.runs) == 812.5


def test_the_ports_own_files_lose_their_last_batch(files: PortBoxes, tmp_path: Path) -> None:
    whole = files.table
    port = as_the_port_writes_them(files)
    assert (port.sizes, port.runs, port.left_out) == ((3, 3, 1), 2, 1)
    pd.testing.assert_frame_equal(port.table, whole)
    message = r"1 of 3 files are missing: ava_val_2_0\.bin\. The port's .* last batch, here of 1 of 7 keyframes: write"
    with pytest.raises(InferenceError, match=message):
        read_port_scores(program(port, tmp_path / "out"), port)


def test_a_full_last_batch_is_lost_as_well(samples: list[Sample], index: Index, tmp_path: Path) -> None:
    port = as_the_port_writes_them(write(samples[:6], tmp_path, index))
    assert (port.sizes, port.runs, port.left_out) == ((3, 3), 1, 3)


def test_fewer_batches_replace_more(files: PortBoxes, samples: list[Sample], index: Index) -> None:
    again = write(samples[:2], files.folder, index)
    assert (again.sizes, again.keyframes, again.runs) == ((3,), (2,), 1)


def test_a_folder_that_was_not_finished_is_none(samples: list[Sample], index: Index, tmp_path: Path) -> None:
    def broken() -> Iterator[Sample]:
        yield from samples[:6]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(broken(), tmp_path, index)
    with pytest.raises(InferenceError, match=r"mask: no files, expected ava_val_0\.bin"):
        read_port_boxes(tmp_path, SPEC, VIDEOS, batch_size=3)


def test_inputs_that_do_not_fit_are_named(files: PortBoxes) -> None:
    folder = files.folder
    with pytest.raises(InferenceError, match=r"slowpath.ava_val_0\.bin: 864 bytes, expected 1728 for float32 \(3, 3"):
        read_port_boxes(folder, SPEC, VIDEOS, batch_size=3, dtype=np.float32)
    with pytest.raises(InferenceError, match=r"slowpath.ava_val_0\.bin: 864 bytes, expected 576 .* batch size"):
        read_port_boxes(folder, SPEC, VIDEOS, batch_size=2)
    with pytest.raises(InferenceError, match=r"metadata.ava_val_0\.bin: a box of video 1, expected 0 to 0: name all"):
        read_port_boxes(folder, SPEC, VIDEOS[:1], batch_size=3).table  # noqa: B018
    with pytest.raises(InferenceError, match=r"output \(5,\): expected two pathways and boxes"):
        read_port_boxes(folder, SPEC.with_output((5,)), VIDEOS)
    (folder / "boxes" / "notes.txt").write_text("the program counts this")
    with pytest.raises(InferenceError, match=r"boxes: 1 files are of no clip that was asked for: notes\.txt"):
        read_port_boxes(folder, SPEC, VIDEOS, batch_size=3)
    (folder / "boxes" / "notes.txt").unlink()
    files.path(1, "fastpath").unlink()
    with pytest.raises(InferenceError, match=r"fastpath: 1 of 3 files are missing: ava_val_1\.bin\. Write the files"):
        read_port_boxes(folder, SPEC, VIDEOS, batch_size=3)
    np.full((3, M), 2, "<i4").tofile(files.path(0, "mask"))
    with pytest.raises(InferenceError, match=r"mask.ava_val_0\.bin: values beside 0 and 1"):
        files.table  # noqa: B018


def test_results_that_do_not_fit_are_named(files: PortBoxes, tmp_path: Path) -> None:
    out = program(files, tmp_path / "out")
    last = out / "ava_val_2_0.bin"
    whole = np.fromfile(last, "<f4")
    whole[:5].tofile(last)
    with pytest.raises(InferenceError, match=r"2_0\.bin: 20 bytes, expected 240 for float32 \(12, 5\)\. Run it with"):
        read_port_scores(out, files)
    whole[-1] = np.nan  # of a keyframe that fills up
    whole.tofile(last)
    read_port_scores(out, files)
    whole[0] = np.nan
    whole.tofile(last)
    with pytest.raises(InferenceError, match=r"2_0\.bin: values that are not finite numbers; run it again"):
        read_port_scores(out, files)
    last.rename(out / "ava_val_3_0.bin")
    with pytest.raises(InferenceError, match=r"1 of 3 files are missing: ava_val_2_0\.bin\. Run the program on"):
        read_port_scores(out, files)
    whole.tofile(last)
    with pytest.raises(InferenceError, match=r"of no clip that was asked for: ava_val_3_0\.bin"):
        read_port_scores(out, files)


def test_samples_that_do_not_fit_are_named(samples: list[Sample], index: Index, tmp_path: Path) -> None:
    assert index.boxes is not None
    fewer = replace(index, boxes=index.boxes.iloc[1:])
    with pytest.raises(InferenceError, match=r"'-5KQ66BBWC4@0902': 2 of 4 boxes, the index has 1 of it: name"):
        write(samples, tmp_path, fewer)
    with pytest.raises(InferenceError, match=r"'-5KQ66BBWC4@0902': expected a video among those named"):
        write(samples, tmp_path, index, videos=VIDEOS[:1])
    between = replace(index, items=index.items.assign(frame=index.items.frame + 15))
    with pytest.raises(InferenceError, match="keyframe at a whole second; the port's files have no place for others"):
        write(samples, tmp_path, between)
    with pytest.raises(InferenceError, match="no keyframes to write"):
        write([], tmp_path, index)
    with pytest.raises(InferenceError, match="clips as float64: expected float16 or float32"):
        write(samples, tmp_path, index, dtype=np.float64)
    short = replace(samples[0], inputs={**samples[0].inputs, "slow": samples[0].inputs["slow"][:, :1]})
    with pytest.raises(SpecError, match=r"'slow' is float32 \(1, 3, 1, 4, 6\), expected"):
        write([short], tmp_path, index)
