"""Samples of several inputs: two pathways, boxes that go where the crop takes what is in them, masks, keyframes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from actionbook.clips.pipeline import TrainingSource, tested, training_dataset
from actionbook.clips.samples import Sample, Samples, batched, stacked
from actionbook.clips.sampling import keyframe_clip
from actionbook.clips.transforms import tested_clip
from actionbook.core.errors import BookError
from actionbook.core.recipe import Recipe
from actionbook.core.spec import BOXES
from actionbook.datasets.dataset import store_path
from actionbook.datasets.index import BOX, Index, make_index
from actionbook.video.store import StoreInfo, write_store

SIZE, ROOM = (48, 64), 3
FRAMES = {"a": 20, "b": 12}
"""Videos of 96 x 128 pixels."""
PLACES = {"a@4": [(16, 24, 56, 72), (72, 8, 120, 88)], "a@18": [(32, 16, 96, 80)], "b@0": [(8, 8, 64, 48)]}
"""Boxes of the keyframes in pixels: x1, y1, x2, y2."""
SECTIONS: dict[str, Any] = {
    "chapter": "tiny",
    "name": "tiny",
    "title": "Tiny",
    "task": {"name": "detection", "boxes": ROOM},
    "data": {"manifest": "mini_ucf101"},
    "sampling": {"name": "keyframe", "frames": 8, "stride": 1, "pathways": {"slow": 4, "fast": 2}},
    "transforms": {"size": SIZE, "mean": (0.0, 0.0, 0.0)},
    "model": {"name": "tiny"},
    "training": {"epochs": 1, "batch_size": 2, "lr": 0.1},
}


def recipe_of(**changes: Any) -> Recipe:
    return Recipe.model_validate({**SECTIONS, **changes})


def frame_of(video: str, number: int) -> np.ndarray:
    """Keyframes and frames around them have their boxes painted white; the background says which frame it is."""
    frame = np.full((96, 128, 3), 3 * number, np.uint8)
    for item, boxes in PLACES.items():
        name, keyframe = item.split("@")
        if name == video and abs(int(keyframe) - number) <= 6:
            for x1, y1, x2, y2 in boxes:
                frame[y1:y2, x1:x2] = 255
    return frame


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    for video, count in FRAMES.items():
        jpegs = [
            simplejpeg.encode_jpeg(np.ascontiguousarray(frame_of(video, number)), 98, colorsubsampling="444")
            for number in range(count)
        ]
        info = StoreInfo(source=f"{video}.avi", source_bytes=1, fps=25.0, height=96, quality=98, ffmpeg="none")
        write_store(store_path(folder, video), jpegs, info)
    return folder


@pytest.fixture(scope="module")
def index() -> Index:
    rows = [
        {
            "video": item[0],
            "item": item,
            "frame": int(item[2:]),
            "frames": FRAMES[item[0]],
            "store": item[0],
            "label": "AB"[target],
            "target": target,
            "subset": "train",
            "path": "",
            **dict(zip(BOX, np.array(box) / [128, 96, 128, 96], strict=True)),
        }
        for item, boxes in PLACES.items()
        for box in boxes
        for target in ([0, 1] if box[0] == 16 else [1])
    ]
    return make_index(rows)


def assert_painted(clip: np.ndarray, boxes: np.ndarray) -> None:
    """The white part of the first frame of a clip (3, T, H, W) is what the boxes in pixels hold together."""
    white = clip[0, 0] > 160
    inside = np.zeros(white.shape, bool)
    rows, columns = np.mgrid[: white.shape[0], : white.shape[1]] + 0.5
    for x1, y1, x2, y2 in boxes:
        inside |= (columns > x1) & (columns < x2) & (rows > y1) & (rows < y2)
    # Rims of a pixel and a half to either side may be this or that.
    assert (white != inside).sum() <= 3 * sum((x2 - x1) + (y2 - y1) for x1, y1, x2, y2 in boxes) + 4
    assert white.sum() > 0


def test_a_training_sample_has_its_boxes_where_their_content_is(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(), 2)
    flipped = set()
    for number in range(len(samples)):
        for seed in range(12):
            sample = samples.train(number, np.random.default_rng(seed))
            count = len(PLACES[sample.item])
            boxes = sample.inputs[BOXES]
            assert (boxes.shape, boxes.dtype) == ((ROOM, 4), np.float32)
            assert not boxes[count:].any()
            assert (boxes[:count, 2:] >= boxes[:count, :2]).all()
            assert sample.mask is not None
            assert sample.mask.tolist() == [1.0] * count + [0.0] * (ROOM - count)
            if (boxes[:count, 2:] - boxes[:count, :2] > 3).all():  # else the crop has left it out, or all but a rim
                assert_painted(sample.inputs["fast"], boxes[:count])
            if count == 2 and boxes[:count].any(axis=1).all():
                flipped.add(bool(boxes[0, 0] > boxes[1, 0]))
    assert flipped == {False, True}  # mirrored clips were among them


def test_a_tested_sample_has_its_boxes_where_their_content_is(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(), 2)
    for sample in tested(samples, samples.tests):
        count = len(PLACES[sample.item])
        assert_painted(sample.inputs["fast"], sample.inputs[BOXES][:count])
        # 128 x 96 becomes 64 x 48 and nothing is cut off: exactly half.
        np.testing.assert_allclose(sample.inputs[BOXES][:count], np.array(PLACES[sample.item]) / 2, atol=1e-4)


def test_targets_belong_to_their_boxes(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(), 2)
    targets = {sample.item: sample.target.tolist() for sample in tested(samples, samples.tests)}
    assert targets["a@4"] == [[1, 1], [0, 1], [0, 0]]
    assert targets["a@18"] == targets["b@0"] == [[0, 1], [0, 0], [0, 0]]


def test_pathways_see_the_same_clip_at_their_own_rates(index: Index, store: Path) -> None:
    recipe = recipe_of(transforms={**SECTIONS["transforms"], "flip": 0.0})
    samples = Samples(index, store, recipe, 2)
    spec = recipe.spec(2)
    for sample in (samples.train(0, np.random.default_rng(0)), *tested(samples, samples.tests)):
        assert {name: array.shape for name, array in sample.inputs.items()} == dict(spec.inputs)
        assert list(sample.inputs) == list(spec.inputs)
        np.testing.assert_array_equal(sample.inputs["slow"], sample.inputs["fast"][:, [0, 3]])


def test_keyframes_of_one_video_are_samples_around_themselves(index: Index, store: Path) -> None:
    recipe = recipe_of(sampling={"name": "keyframe", "frames": 8, "stride": 2, "pathways": {"image": 1}})
    samples = Samples(index, store, recipe, 2)
    assert samples.tests["item"].tolist() == list(PLACES)
    assert samples.middles(4).number.tolist() == [0, 1, 2]
    for sample, item in zip(tested(samples, samples.tests), PLACES, strict=True):
        numbers = keyframe_clip(int(item[2:]), FRAMES[item[0]], 8, 2)
        expected = tested_clip([frame_of(item[0], number) for number in numbers], recipe.transforms)
        assert np.abs(sample.inputs["image"] - expected).mean() < 4  # JPEG, and nothing else
        # The corner that no box covers tells each frame's number.
        np.testing.assert_allclose(sample.inputs["image"][0, :, -1, 0], 3 * numbers, atol=4)


def test_windows_of_a_video_mean_nothing_for_keyframes(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(sampling={"name": "windows"}), 2)
    for use in (lambda: samples.tests, lambda: samples.middles(4), lambda: samples.train(0, np.random.default_rng(0))):
        with pytest.raises(BookError, match=r"such as a@4 are keyframes: their sampling\.name must be 'keyframe'"):
            use()


def test_items_of_several_classes_are_no_matter_of_classification(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(task={"name": "classification"}), 2)
    with pytest.raises(BookError, match=r"no class or several, expected one each: a@4.*the task is detection"):
        samples.train(0, np.random.default_rng(0))


def test_more_boxes_than_there_is_room_for(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(task={"name": "detection", "boxes": 1}), 2)
    assert len(list(tested(samples, samples.tests.iloc[1:]))) == 2
    with pytest.raises(BookError, match=r"item a@4: 2 boxes, the recipe has room for 1 \(task\.boxes\)"):
        list(tested(samples, samples.tests))


def test_an_item_without_a_box(index: Index, store: Path) -> None:
    samples = Samples(Index(index.items, index.labels[index.labels["item"] != "b@0"]), store, recipe_of(), 2)
    sample = samples.test(2, np.arange(8))
    assert (sample.item, sample.inputs[BOXES].any(), sample.target.any()) == ("b@0", False, False)
    assert (sample.target.shape, sample.mask.tolist()) == ((ROOM, 2), [0.0] * ROOM)  # type: ignore[union-attr]


def test_batches_are_what_the_step_takes(index: Index, store: Path) -> None:
    """Inputs in the spec's order, targets, mask; and through MindSpore the same columns."""
    samples = Samples(index, store, recipe_of(), 2)
    expected = list(TrainingSource(samples, batch_size=2, seed=1))
    assert len(expected) == 2
    shapes = [array.shape for array in expected[0]]
    assert shapes == [(2, 3, 2, *SIZE), (2, 3, 4, *SIZE), (2, ROOM, 4), (2, ROOM, 2), (2, ROOM)]
    assert {array.dtype for array in expected[0]} == {np.dtype(np.float32)}
    dataset = training_dataset(TrainingSource(samples, batch_size=2, seed=1))
    assert dataset.get_col_names() == ["slow", "fast", BOXES, "target", "mask"]
    for found, batch in zip(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True), expected, strict=True):
        for one, other in zip(found, batch, strict=True):
            np.testing.assert_array_equal(one, other)


def test_of_classification_there_is_no_mask() -> None:
    made = [Sample("v", {"image": np.full((3, 2), i, np.float32)}, np.int32(i)) for i in range(3)]
    clips, targets = stacked(made)
    assert (clips.shape, targets.tolist(), targets.dtype) == ((3, 3, 2), [0, 1, 2], np.int32)


def test_batched_keeps_all_inputs_together(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(), 2)
    every = list(tested(samples, samples.tests))
    (first, batch), (last, rest) = batched(every, 2)
    assert (first, last) == (["a@4", "a@18"], ["b@0"])
    for name in samples.recipe.spec(2).inputs:
        np.testing.assert_array_equal(batch[name], [sample.inputs[name] for sample in every[:2]])
        assert len(rest[name]) == 1


SEGMENTS: dict[str, Any] = {
    "task": {"name": "classification"},
    "sampling": {"name": "segments", "frames": 4},
    "transforms": {
        "size": 48,
        "crop": "tsn",
        "scales": (1.0, 0.875, 0.75, 0.66),
        "mean": (0.0, 0.0, 0.0),
        "channel_order": "bgr",
    },
}


def whole_videos(**frames: int) -> Index:
    """One item for each video, with so many frames by the index."""
    rows = [
        {"video": video, "frames": count, "label": "A", "target": 0, "subset": "train", "path": ""}
        for video, count in frames.items()
    ]
    return make_index(rows)


def shown_numbers(clip: np.ndarray) -> list[int]:
    """Which frames a clip (3, T, H, W) has: the corner that no box covers says so."""
    return [round(float(value) / 3) for value in clip[0, :, -1, 0]]


def test_segments_are_frames_from_all_over_the_video(store: Path) -> None:
    samples = Samples(whole_videos(**FRAMES), store, recipe_of(**SEGMENTS), 1)
    table = samples.tests
    assert table["frames"].map(list).tolist() == [[2, 7, 12, 17], [1, 4, 7, 10]]
    assert table[["item", "start", "stop"]].to_numpy().tolist() == [["a", 2, 18], ["b", 1, 11]]
    for sample, row in zip(tested(samples, table), table["frames"], strict=True):
        assert sample.inputs["image"].shape == (3, 4, 48, 48)
        assert shown_numbers(sample.inputs["image"]) == list(row)
        np.testing.assert_array_equal(sample.frames, row)  # what film strips show
    assert samples.middles(4)["frames"].map(list).tolist() == table["frames"].map(list).tolist()
    longer = Samples(samples.index, store, samples.recipe.with_test_frames(8), 1)
    assert longer.tests["frames"].map(len).tolist() == [8, 8]
    seen = set()
    for seed in range(40):
        drawn = samples.train(0, np.random.default_rng(seed))
        assert drawn.frames is not None
        assert (drawn.frames // 5).tolist() == [0, 1, 2, 3]
        seen.update(drawn.frames.tolist())
    assert seen == set(range(20))


def test_superframes_are_neighbours_from_all_over_the_video(store: Path) -> None:
    sampling = {"name": "superframes", "frames": 3, "segments": 2, "test_frames": 9}
    samples = Samples(whole_videos(**FRAMES), store, recipe_of(**{**SEGMENTS, "sampling": sampling}), 1)
    table = samples.tests
    assert table["frames"].map(list).tolist() == [[1, 2, 3, 7, 8, 9, 13, 14, 15], [0, 1, 2, 4, 5, 6, 8, 9, 10]]
    for sample, row in zip(tested(samples, table), table["frames"], strict=True):
        assert sample.inputs["image"].shape == (3, 9, 48, 48)
        assert shown_numbers(sample.inputs["image"]) == list(row)
    assert samples.middles(6)["frames"][0].tolist() == [3, 4, 5, 13, 14, 15]
    drawn = [samples.train(0, np.random.default_rng(seed)).frames for seed in range(40)]
    assert {tuple(np.diff(clip.reshape(2, 3)).ravel()) for clip in drawn} == {(1, 1, 1, 1)}
    assert {int(clip[3]) for clip in drawn} == set(range(10, 18))


def test_pathways_share_the_segments(store: Path) -> None:
    sampling = {"name": "segments", "frames": 8, "pathways": {"slow": 4, "fast": 1}}
    samples = Samples(whole_videos(**FRAMES), store, recipe_of(**{**SEGMENTS, "sampling": sampling}), 1)
    (sample, _) = tested(samples, samples.tests)
    assert shown_numbers(sample.inputs["fast"]) == [1, 3, 6, 8, 11, 13, 16, 18]
    assert shown_numbers(sample.inputs["slow"]) == [1, 11]


def test_keyframes_have_no_segments(index: Index, store: Path) -> None:
    samples = Samples(index, store, recipe_of(sampling={"name": "segments"}), 2)
    with pytest.raises(BookError, match=r"such as a@4 are keyframes: their sampling\.name must be 'keyframe'"):
        samples.train(0, np.random.default_rng(0))


@pytest.mark.parametrize("sampling", [{"name": "segments", "frames": 4}, {"name": "centre", "frames": 4}])
@pytest.mark.parametrize("counted", [1, 11, 30])
def test_an_index_that_counts_other_frames_than_the_store_holds(
    store: Path, sampling: dict[str, Any], counted: int
) -> None:
    """With too few, every segment would show the same part of a video, if not its first frame alone."""
    recipe = recipe_of(**{**SEGMENTS, "sampling": sampling})
    samples = Samples(whole_videos(a=counted, b=FRAMES["b"]), store, recipe, 1)
    said = rf"a\.zip: holds 20 frames, the index says {counted}.*run notebook 01_data again"
    for use in (lambda: samples.train(0, np.random.default_rng(0)), lambda: list(tested(samples, samples.tests))):
        with pytest.raises(BookError, match=said):
            use()
    assert samples.train(1, np.random.default_rng(0)).item == "b"


@pytest.mark.parametrize("sampling", [{"name": "segments", "frames": 4}, {"name": "centre", "frames": 4}])
def test_a_split_of_single_frames(store: Path, sampling: dict[str, Any]) -> None:
    def made(frames: int = 4, **counts: int) -> Samples:
        recipe = recipe_of(**{**SEGMENTS, "sampling": {**sampling, "frames": frames}})
        return Samples(whole_videos(**counts), store, recipe, 1)

    still = made(a=1, b=1, c=20)
    said = r"boxes0: 2 of 3 videos have one frame, which all 4 frames of a clip would be: a, b; .*notebook 01_data"
    for use in (lambda: still.tests, lambda: still.middles(4), lambda: still.train(2, np.random.default_rng(0))):
        with pytest.raises(BookError, match=said):
            use()
    assert len(made(a=1, b=20, c=20).tests) == 3  # one may be so
    assert len(made(a=0, b=0, c=20).tests) == 1  # what is missing has no frame, which is said elsewhere
    assert len(made(a=1, b=1, frames=1).tests) == 2  # single frames were asked for
