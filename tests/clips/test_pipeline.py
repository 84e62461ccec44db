"""Feeding clips: the order hangs on the seed alone, every clip comes once, none is dropped in evaluation."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from actionbook.clips import samples as samples_module
from actionbook.clips.pipeline import TrainingSource, ordered_map, tested, training_dataset
from actionbook.clips.samples import Sample, Samples, batched
from actionbook.clips.sampling import Sampler
from actionbook.clips.transforms import Crop, tested_clip, train_clip
from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.core.transforms import Transforms
from actionbook.datasets.dataset import store_path
from actionbook.datasets.index import Index, make_index
from actionbook.video.store import FrameStore

FLOW = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}
Batches = list[tuple[np.ndarray, ...]]


def recipe_of(sampling: dict[str, Any] | None = None, **transforms: Any) -> Recipe:
    """A recipe with clips of 4 frames, every other one of 8, windows of 8, and these changes."""
    chosen = {"frames": 4, "stride": 2, **(sampling or {})}
    if chosen.get("name") != "centre":
        chosen = {"window": 8, **chosen}
    sections = {
        "sampling": chosen,
        "transforms": {"size": 16, "flip": 0.5, **transforms},
        "training": {"runs": [{"name": "clip"}]},
    }
    return Recipe.load(NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml", sections)


@pytest.fixture
def source(prepared: Any) -> Any:
    """A function that makes a source over the 14 test videos of the tiny data set, which are more than the 6 others."""

    def make(**changes: Any) -> TrainingSource:
        options = {"batch_size": 4, "seed": 3} | changes
        samples = Samples(prepared.index.subset("test"), prepared.store, recipe_of(), 2)
        return TrainingSource(samples, **options)

    return make


def clip_of(source: TrainingSource, epoch: int, number: int) -> np.ndarray:
    return source._sample(epoch, number).inputs["image"]


def assert_same(found: Batches, expected: Batches) -> None:
    assert len(found) == len(expected)
    for (clips, targets), (other_clips, other_targets) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(clips, other_clips)
        np.testing.assert_array_equal(targets, other_targets)


def test_batches(source: Any) -> None:
    made = source()
    batches = list(made)
    assert len(batches) == len(made) == 4  # 14 videos, batches of 4
    for clips, targets in batches:
        assert (clips.shape, clips.dtype) == ((4, 3, 4, 16, 16), np.float32)
        assert (targets.shape, targets.dtype) == ((4,), np.int32)
        assert np.ptp(clips) > 20
    assert made.epoch == 1


def test_targets_belong_to_their_clips(source: Any) -> None:
    made = source()
    expected = made.samples.index.truth.to_numpy()[made.order(0)]
    np.testing.assert_array_equal(np.concatenate([targets for _, targets in made]), expected)


def test_crops_lie_all_over_the_frames_which_are_decoded_no_smaller_than_these_need(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JPEGs may be read at half their 43 x 32 pixels; crops of 16 then still have a pixel for each of theirs."""
    crops: list[Crop] = []
    heights: list[int] = []

    def seen(frames: Any, crop: Crop, transforms: Transforms, length: int) -> np.ndarray:
        kept = [frame.copy() for frame in frames]
        crops.append(crop)
        heights.extend(crop.place(*frame.shape[:2], transforms)[2] for frame in kept)
        return train_clip(kept, crop, transforms, length)

    monkeypatch.setattr(samples_module, "train_clip", seen)
    for epoch in range(3):
        list(replace(source(), epoch=epoch))
    assert min(heights) == 16
    assert len(set(heights)) > 1
    whole = [crop.place(32, 43, recipe_of().transforms) for crop in crops if crop.height == 1]
    assert {(top, rows, columns) for top, _, rows, columns in whole} == {(0, 32, 32)}
    lefts = {left for _, left, _, _ in whole}
    assert min(lefts) <= 2
    assert max(lefts) >= 9


def test_workers_have_no_influence(source: Any) -> None:
    assert_same(list(source(workers=3)), list(source(workers=1)))


def test_an_epoch_does_not_hang_on_those_before(source: Any) -> None:
    running = source()
    first, second = list(running), list(running)
    assert_same(list(source(epoch=1)), second)
    assert any((a != b).any() for (a, _), (b, _) in zip(first, second, strict=True))
    interrupted = source()
    next(iter(interrupted))  # one batch, then stopped
    assert_same(list(interrupted), second)


def test_seeds_give_other_orders_and_other_clips(source: Any) -> None:
    one, two = source(seed=3), source(seed=4)
    assert one.order(0).tolist() != two.order(0).tolist()
    number = 5
    assert (clip_of(one, 0, number) != clip_of(two, 0, number)).any()
    assert (clip_of(one, 0, number) != clip_of(one, 1, number)).any()
    np.testing.assert_array_equal(clip_of(one, 0, number), clip_of(source(seed=3), 0, number))


def test_devices_share_the_global_batch(source: Any) -> None:
    whole = list(source())
    parts = [list(source(rank=rank, ranks=2, workers=2)) for rank in (0, 1)]
    together = [
        (np.concatenate([a, b]), np.concatenate([s, t])) for (a, s), (b, t) in zip(parts[0], parts[1], strict=True)
    ]
    assert_same(together, whole)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(("batch_size", "clips_per_video"), [(4, 1), (8, 1), (32, 1), (4, 3), (40, 2)])
def test_every_clip_once_an_epoch_whatever_the_number_of_devices(
    source: Any, batch_size: int, clips_per_video: int, ranks: int
) -> None:
    made = source(batch_size=batch_size, clips_per_video=clips_per_video, ranks=ranks)
    total = 14 * clips_per_video
    for epoch in range(3):
        order = made.order(epoch)
        assert len(order) == len(made) * batch_size == -(-total // batch_size) * batch_size
        # What all devices see together: every clip, and at the end the first ones again to fill the batch.
        shares = order.reshape(-1, ranks, batch_size // ranks)
        seen = np.concatenate([shares[:, rank].ravel() for rank in range(ranks)])
        assert set(seen.tolist()) == set(range(total))
        assert sorted(order[:total].tolist()) == list(range(total))
        assert order[total:].tolist() == np.resize(order[:total], len(order))[total:].tolist()
    assert made.order(0).tolist() != made.order(1).tolist()


def test_an_epoch_goes_on_in_its_middle(source: Any) -> None:
    whole = source(epoch=2)
    expected = [*whole, *whole]  # epochs 2 and 3
    resumed = source(epoch=2, first=3)
    assert_same([*resumed, *resumed], expected[3:])


def test_repeats_of_a_video_are_other_clips(source: Any) -> None:
    made = source(clips_per_video=2)
    assert any((clip_of(made, 0, video) != clip_of(made, 0, video + 14)).any() for video in range(3))


def test_no_videos_at_all(source: Any) -> None:
    made = source()
    with pytest.raises(BookError, match=r"^there are no training videos: look at the failures in notebook 01_data"):
        TrainingSource(replace(made.samples, index=made.samples.index.of_subset("validation")), batch_size=4, seed=1)


def test_batches_that_devices_cannot_share(source: Any) -> None:
    with pytest.raises(BookError, match=r"training\.batch_size 4 is not a multiple of the 3 devices"):
        source(ranks=3)


def test_through_mindspore_two_epochs_are_the_sources_own(source: Any) -> None:
    expected = source(workers=2)
    iterator = training_dataset(source()).create_tuple_iterator(num_epochs=2, output_numpy=True)
    for _ in range(2):
        assert_same([(clips, targets) for clips, targets in iterator], list(expected))


def test_a_missing_store_file_reaches_the_caller(source: Any, tmp_path: Path) -> None:
    made = source(workers=2)
    made.samples = replace(made.samples, store=tmp_path)
    with pytest.raises(BookError, match=r"cannot be read .*run the data stage again"):
        list(made)


def test_ordered_map_keeps_the_order_under_uneven_delays() -> None:
    def slow_if_even(number: int) -> int:
        time.sleep(0.003 * (number % 2 == 0))
        return number * number

    for workers in (1, 4):
        assert list(ordered_map(slow_if_even, range(20), workers, ahead=6)) == [n * n for n in range(20)]


def test_ordered_map_really_uses_its_workers() -> None:
    together = threading.Barrier(3, timeout=20)
    assert list(ordered_map(lambda n: (together.wait(), n)[1], range(6), 3, ahead=6)) == list(range(6))


def test_ordered_map_passes_errors_on_in_their_place() -> None:
    def fails_at_three(number: int) -> int:
        if number == 3:
            raise BookError("the third")
        return number

    results = ordered_map(fails_at_three, range(10), 2, ahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(BookError, match="the third"):
        next(results)


def test_ordered_map_looks_ahead_no_further_than_told() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = ordered_map(lambda n: n, items(), 2, ahead=5)
    assert next(results) == 0
    assert len(taken) == 5
    results.close()  # type: ignore[attr-defined]
    assert len(taken) == 5


class Memory:
    """Frames that lie in memory, where a store is expected; each frame's pixels are its number."""

    frame_size = (20, 16)

    def __init__(self, count: int, channels: int) -> None:
        self.path, self.components = "memory", ("x", "y") if channels == 2 else ("",)
        self.pixels = [np.full((16, 20, channels), number, np.uint8) for number in range(count)]

    def __len__(self) -> int:
        return len(self.pixels)

    def frames(self, indices: list[int], **_: Any) -> Iterator[np.ndarray]:
        return (self.pixels[index] for index in indices)

    def read(self, indices: list[int]) -> list[np.ndarray]:
        return list(self.frames(indices))

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes the samples of one video of so many frames and channels that lies in memory."""

    def make(count: int, channels: int, recipe: Recipe) -> Samples:
        monkeypatch.setattr(samples_module, "open_frames", lambda _: Memory(count, channels))
        return Samples(index_of(a=count), Path("nowhere"), recipe, 1)

    return make


@pytest.mark.parametrize(("last_start", "starts"), [(False, {0, 1}), (True, {0, 1, 2})])
def test_training_clips_begin_where_the_recipe_says(in_memory: Any, last_start: bool, starts: set[int]) -> None:
    samples = in_memory(10, 3, recipe_of({"last_start": last_start}, mean=[0.0, 0.0, 0.0]))
    drawn = [samples.train(0, np.random.default_rng(seed)).inputs["image"] for seed in range(60)]
    assert {int(clip[0, 0, 0, 0]) for clip in drawn} == starts
    assert all((clip[:, 1:] - clip[:, :-1] == 2).all() for clip in drawn)


def test_training_clips_of_flow_have_two_channels_and_mirror_the_first(in_memory: Any) -> None:
    samples = in_memory(1, 2, recipe_of({"frames": 1, "stride": 1}, **FLOW, flip=1.0))
    clip = samples.train(0, np.random.default_rng(0)).inputs["image"]
    assert clip.shape == (2, 1, 16, 16)
    assert (clip[0] == 1).all()
    assert (clip[1] == -1).all()


@pytest.mark.parametrize(("channels", "transforms", "found"), [(3, FLOW, "rgb"), (2, {}, "flow")])
def test_frames_of_the_other_kind_are_refused(
    in_memory: Any, channels: int, transforms: dict[str, Any], found: str
) -> None:
    recipe = recipe_of(**transforms)
    samples = in_memory(10, channels, recipe)
    message = rf"memory: holds frames of {found}, transforms\.modality is '{recipe.transforms.modality}'"
    with pytest.raises(BookError, match=message):
        samples.train(0, np.random.default_rng(0))
    with pytest.raises(BookError, match=message):
        samples.test(0, np.arange(4))


def test_flow_in_folders_of_the_original_programs(tmp_path: Path) -> None:
    """Training and test clips of plain grey: x is 200 (or mirrored 55), y the frame's number times ten."""
    index = index_of(a=8, b=8)
    for store in index.items.store:
        folder = tmp_path / store
        folder.mkdir(parents=True)
        for number in range(1, 9):
            cv2.imwrite(str(folder / f"image_{number:05d}x.jpg"), np.full((24, 32), 200, np.uint8))
            cv2.imwrite(str(folder / f"image_{number:05d}y.jpg"), np.full((24, 32), 10 * number, np.uint8))
    flow = {**FLOW, "mean": [0.0, 0.0], "std": [1.0, 1.0]}
    samples = Samples(index, tmp_path, recipe_of({"name": "centre"}, **flow), 1)
    for sample in tested(samples, samples.tests):
        clip = sample.inputs["image"]
        assert clip.shape == (2, 4, 16, 16)
        np.testing.assert_allclose(clip[0], 200, atol=1)
        np.testing.assert_allclose(clip[1, :, 0, 0], [10, 30, 50, 70], atol=1)
    for flip, x in ((0.0, 200), (1.0, 55)):
        samples = Samples(index, tmp_path, recipe_of(**flow, flip=flip), 1)
        ((batch, _),) = list(TrainingSource(samples, batch_size=2, seed=1))
        assert batch.shape == (2, 2, 4, 16, 16)
        np.testing.assert_allclose(batch[:, 0], x, atol=1)
        np.testing.assert_allclose(batch[:, 1, :, 0, 0], [[10, 30, 50, 70]] * 2, atol=1)


def index_of(**frames: int) -> Index:
    """Videos of one class with so many frames each."""
    rows = [
        {
            "video": video,
            "label": "Wave",
            "target": 0,
            "subset": "test",
            "path": f"{video}.avi",
            "store": f"Wave/{video}",
            "frames": count,
        }
        for video, count in frames.items()
    ]
    return make_index(rows)


def samples_of(index: Index, **sampling: Any) -> Samples:
    """Of clips of 16 frames in windows of 16 unless said otherwise."""
    windows = {} if sampling.get("name") == "centre" else {"window": 16}
    wanted = {"frames": 16, "stride": 1, **windows, **sampling}
    return Samples(index, Path("nowhere"), recipe_of(wanted), 1)


def tests_of(index: Index, **sampling: Any) -> Any:
    """The table of tested clips."""
    return samples_of(index, **sampling).tests


def test_table_of_windows() -> None:
    table = tests_of(index_of(b=34, a=17, c=18))
    assert table[["item", "number", "start", "stop"]].to_numpy().tolist() == [
        ["b", 0, 0, 16], ["b", 0, 16, 32], ["b", 0, 32, 34], ["a", 1, 0, 16], ["c", 2, 0, 16], ["c", 2, 16, 18],
    ]  # fmt: skip
    assert table.frames[2].tolist() == [32, 33] * 8


@pytest.mark.parametrize(("sampling", "short"), [({}, ("a", "c")), ({"name": "centre"}, ("c",))])
def test_items_that_are_too_short_have_no_clip_and_are_named(sampling: dict[str, Any], short: tuple[str, ...]) -> None:
    """A window is made of two frames at least; a clip of the middle, and one of training, repeats what there is."""
    samples = samples_of(index_of(a=1, b=16, c=0), **sampling)
    assert samples.too_short == short
    assert set(samples.tests["item"]) == {"a", "b", "c"} - set(short)
    drawn = Sampler(samples.recipe.sampling).train(samples.index.items.iloc[0], np.random.default_rng(0))
    assert drawn.tolist() == [0] * 16


def test_windows_do_not_change_with_the_number_of_tested_frames() -> None:
    """Where they begin, that is: a clip may be shorter than its window, and is repeated where it is longer."""
    index, columns = index_of(b=34, a=17), ["item", "number", "start"]
    plain = tests_of(index)
    for changes in ({"test_frames": 40}, {"frames": 4, "stride": 2}, {"test_frames": 6}):
        changed = tests_of(index, **changes)
        assert changed[columns].equals(plain[columns])
        assert {len(frames) for frames in changed.frames} == {changes.get("test_frames", changes.get("frames"))}
        assert (changed.stop <= plain.stop).all()


@pytest.mark.parametrize(
    ("stride", "tested_frames", "expected"),
    [
        # Videos shorter than the clip, as long as it, and longer by an even and an odd number of frames.
        (1, None, {"short": (0, 9), "equal": (0, 16), "even": (12, 28), "odd": (12, 28), "one": (0, 1)}),
        (2, None, {"short": (0, 9), "equal": (0, 15), "even": (4, 35), "odd": (4, 35), "one": (0, 1)}),
        (1, 30, {"short": (0, 9), "equal": (0, 16), "even": (5, 35), "odd": (5, 35), "one": (0, 1)}),
        (1, 8, {"short": (0, 8), "equal": (4, 12), "even": (16, 24), "odd": (16, 24), "one": (0, 1)}),
    ],
)
def test_centre_protocol_takes_one_clip_of_every_video(
    stride: int, tested_frames: int | None, expected: dict[str, tuple[int, int]]
) -> None:
    """Start and stop are the first and one past the last frame that is taken."""
    index = index_of(short=9, equal=16, even=40, odd=41, one=1)
    table = tests_of(index, name="centre", stride=stride, test_frames=tested_frames)
    assert {row.item: (row.start, row.stop) for row in table.itertuples()} == expected
    assert table["item"].tolist() == index.items["item"].tolist()
    assert list(table.columns) == list(tests_of(index_of(a=17)).columns)


@pytest.mark.parametrize(("frames", "stride"), [(4, 2), (40, 1), (11, 3)])
def test_centre_clips_are_the_middle_frames_or_the_whole_video_again_and_again(
    prepared: Any, frames: int, stride: int
) -> None:
    recipe = recipe_of({"name": "centre", "frames": 16, "stride": stride, "test_frames": frames})
    test = prepared.index.subset("test")
    samples = Samples(test.with_items(test.items.iloc[:4]), prepared.store, recipe, 2)
    found = list(tested(samples, samples.tests, workers=2))
    assert [sample.item for sample in found] == samples.index.items["item"].tolist()
    for sample, row in zip(found, samples.index.items.to_dict("records"), strict=True):
        start = max(0, row["frames"] // 2 - frames * stride // 2)
        numbers = np.resize(np.arange(start, min(start + frames * stride, row["frames"])), frames * stride)[::stride]
        with FrameStore(store_path(prepared.store, row["store"])) as store:
            expected = tested_clip(store.read(numbers.tolist()), recipe.transforms)
        np.testing.assert_array_equal(sample.inputs["image"], expected)


def test_clips_of_all_windows_come_in_the_tables_order(prepared: Any) -> None:
    samples = Samples(prepared.index.subset("test"), prepared.store, recipe_of(), 2)
    table = samples.tests
    found = list(tested(samples, table, workers=3))
    assert [sample.item for sample in found] == table["item"].tolist()
    for sample, row in list(zip(found, table.to_dict("records"), strict=True))[::5]:
        item = samples.index.items.iloc[row["number"]]
        assert sample.target == samples.index.truth[row["item"]]
        start = row["start"]
        indices: np.ndarray = np.resize(np.arange(start, min(start + 8, item.frames)), 8)[::2]
        with FrameStore(store_path(prepared.store, item.store)) as store:
            expected = tested_clip(store.read(indices.tolist()), samples.recipe.transforms)
        np.testing.assert_array_equal(sample.inputs["image"], expected)


def test_middle_clips_come_in_the_indexs_order(prepared: Any) -> None:
    samples = Samples(prepared.index.subset("train"), prepared.store, recipe_of(), 2)
    found = list(tested(samples, samples.middles(4), workers=2))
    assert [sample.item for sample in found] == samples.index.items["item"].tolist()
    row = samples.index.items.iloc[-1]
    with FrameStore(store_path(prepared.store, row.store)) as store:
        assert len(store) == row.frames
        start = row.frames // 2 - 4
        expected = tested_clip(store.read(list(range(start, start + 8, 2))), samples.recipe.transforms)
    np.testing.assert_array_equal(found[-1].inputs["image"], expected)


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_batched_drops_nothing(count: int, sizes: list[int]) -> None:
    made = [Sample(f"v{i}", {"image": np.full((3, 2), i, np.float32)}, np.zeros(())) for i in range(count)]
    found = list(batched(made, 4))
    assert [len(ids) for ids, _ in found] == [len(batch["image"]) for _, batch in found] == sizes
    assert [item for ids, _ in found for item in ids] == [sample.item for sample in made]
    assert [float(clip[0, 0]) for _, batch in found for clip in batch["image"]] == list(range(count))
