"""Feeding clips: the order hangs on the seed alone, every clip comes once, none is dropped in evaluation."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from actionbook.clips.pipeline import (
    TrainingSource,
    batched,
    centre_table,
    ordered_map,
    read_test_clip,
    read_train_clip,
    store_path,
    training_dataset,
    window_table,
)
from actionbook.clips.pipeline import test_clips as clips_of_windows
from actionbook.clips.transforms import test_clip as transform_test_clip
from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Clips, Recipe
from actionbook.datasets.index import subset
from actionbook.video.store import FrameStore

CLIPS = Clips(frames=4, stride=2, window=8, size=16)
FLOW = CLIPS.model_copy(update={"modality": "flow", "mean": (127.5, 127.5), "std": (127.5, 127.5)})
Batches = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def source(prepared: Any) -> Any:
    """A function that makes a source over the 14 test videos of the tiny data set, which are more than the 6 others."""

    def make(**changes: Any) -> TrainingSource:
        options = {"batch_size": 4, "seed": 3} | changes
        return TrainingSource(subset(prepared.index, "test"), prepared.store, CLIPS, **options)

    return make


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
    order = made.order(0)
    assert np.concatenate([targets for _, targets in made]).tolist() == made.index.target.to_numpy()[order].tolist()


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
    assert (one._clip(0, number) != two._clip(0, number)).any()
    assert (one._clip(0, number) != one._clip(1, number)).any()
    np.testing.assert_array_equal(one._clip(0, number), source(seed=3)._clip(0, number))


def test_devices_share_the_global_batch(source: Any) -> None:
    whole = list(source())
    parts = [list(source(rank=rank, ranks=2, workers=2)) for rank in (0, 1)]
    together = [
        (np.concatenate([a, b]), np.concatenate([s, t])) for (a, s), (b, t) in zip(parts[0], parts[1], strict=True)
    ]
    assert_same(together, whole)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(("batch_size", "clips_per_video"), [(4, 1), (8, 1), (16, 1), (4, 3), (40, 2)])
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
    assert any((made._clip(0, video) != made._clip(0, video + 14)).any() for video in range(3))


def test_a_set_that_does_not_fill_a_batch_is_repeated(source: Any) -> None:
    made = source(batch_size=30)
    assert len(made) == 1
    assert np.bincount(made.order(0)).tolist().count(3) == 2


def test_no_videos_at_all(source: Any) -> None:
    made = source()
    with pytest.raises(BookError, match=r"^there are no training videos: look at the failures in notebook 01_data"):
        TrainingSource(made.index.head(0), made.store, made.clips, batch_size=4, seed=1)


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
    made.store = tmp_path
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


@pytest.mark.parametrize(("last_start", "starts"), [(False, {0, 1}), (True, {0, 1, 2})])
def test_training_clips_begin_where_the_recipe_says(last_start: bool, starts: set[int]) -> None:
    clips = CLIPS.model_copy(update={"mean": (0.0, 0.0, 0.0), "last_start": last_start})
    store: Any = Memory(10, channels=3)
    drawn = [read_train_clip(store, clips, np.random.default_rng(seed)) for seed in range(60)]
    assert {int(clip[0, 0, 0, 0]) for clip in drawn} == starts
    assert all((clip[:, 1:] - clip[:, :-1] == 2).all() for clip in drawn)


def test_training_clips_of_flow_have_two_channels_and_mirror_the_first() -> None:
    clips = FLOW.model_copy(update={"frames": 1, "stride": 1, "flip": 1.0})
    store: Any = Memory(1, channels=2)
    clip = read_train_clip(store, clips, np.random.default_rng(0))
    assert clip.shape == (2, 1, 16, 16)
    assert (clip[0] == 1).all()
    assert (clip[1] == -1).all()


@pytest.mark.parametrize(("channels", "clips", "found"), [(3, FLOW, "rgb"), (2, CLIPS, "flow")])
def test_frames_of_the_other_kind_are_refused(channels: int, clips: Clips, found: str) -> None:
    store: Any = Memory(10, channels)
    message = rf"memory: holds frames of {found}, clips\.modality is '{clips.modality}'"
    with pytest.raises(BookError, match=message):
        read_train_clip(store, clips, np.random.default_rng(0))
    with pytest.raises(BookError, match=message):
        read_test_clip(store, np.arange(4), clips)


def test_flow_in_folders_of_the_original_programs(tmp_path: Path) -> None:
    """Training and test clips of plain grey: x is 200 (or mirrored 55), y the frame's number times ten."""
    index = index_of(a=8, b=8)
    for video in index.video:
        folder = tmp_path / "Wave" / video
        folder.mkdir(parents=True)
        for number in range(1, 9):
            cv2.imwrite(str(folder / f"image_{number:05d}x.jpg"), np.full((24, 32), 200, np.uint8))
            cv2.imwrite(str(folder / f"image_{number:05d}y.jpg"), np.full((24, 32), 10 * number, np.uint8))
    clips = FLOW.model_copy(update={"mean": (0.0, 0.0), "std": (1.0, 1.0)})
    tested = list(clips_of_windows(centre_table(index, clips), tmp_path, clips))
    for _, clip in tested:
        assert clip.shape == (2, 4, 16, 16)
        np.testing.assert_allclose(clip[0], 200, atol=1)
        np.testing.assert_allclose(clip[1, :, 0, 0], [10, 30, 50, 70], atol=1)
    for flip, x in ((0.0, 200), (1.0, 55)):
        source = TrainingSource(index, tmp_path, clips.model_copy(update={"flip": flip}), batch_size=2, seed=1)
        ((batch, _),) = list(source)
        assert batch.shape == (2, 2, 4, 16, 16)
        np.testing.assert_allclose(batch[:, 0], x, atol=1)
        np.testing.assert_allclose(batch[:, 1, :, 0, 0], [[10, 30, 50, 70]] * 2, atol=1)


def index_of(**frames: int) -> pd.DataFrame:
    rows = [(video, "Wave", 0, "test", f"{video}.avi", count) for video, count in frames.items()]
    return pd.DataFrame(rows, columns=["video", "label", "target", "subset", "path", "frames"])


def recipe_of(**sections: Any) -> Recipe:
    """A recipe with clips of 16 frames, windows of 16, and these changes."""
    clips = {"frames": 16, "stride": 1, "window": 16, "size": 16} | sections.pop("clips", {})
    return Recipe.load(NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml", {"clips": clips, **sections})


def test_window_table() -> None:
    table = window_table(index_of(b=34, a=17, c=18), recipe_of())
    assert table[["video", "start", "stop"]].to_numpy().tolist() == [
        ["b", 0, 16], ["b", 16, 32], ["b", 32, 34], ["a", 0, 16], ["c", 0, 16], ["c", 16, 18],
    ]  # fmt: skip


def test_window_table_names_videos_that_are_too_short() -> None:
    with pytest.raises(BookError, match="2 test videos are too short for a window: a, c"):
        window_table(index_of(a=1, b=16, c=0), recipe_of())


def test_windows_do_not_change_with_the_number_of_tested_frames() -> None:
    index = index_of(b=34, a=17)
    changed = recipe_of(evaluation={"frames": 40}, clips={"frames": 4, "stride": 2})
    pd.testing.assert_frame_equal(window_table(index, changed), window_table(index, recipe_of()))


@pytest.mark.parametrize(
    ("stride", "tested", "expected"),
    [
        # Videos shorter than the clip, as long as it, and longer by an even and an odd number of frames.
        (1, None, {"short": (0, 9), "equal": (0, 16), "even": (12, 28), "odd": (12, 28), "one": (0, 1)}),
        (2, None, {"short": (0, 9), "equal": (0, 16), "even": (4, 36), "odd": (4, 36), "one": (0, 1)}),
        (1, 30, {"short": (0, 9), "equal": (0, 16), "even": (5, 35), "odd": (5, 35), "one": (0, 1)}),
        (1, 8, {"short": (0, 8), "equal": (4, 12), "even": (16, 24), "odd": (16, 24), "one": (0, 1)}),
    ],
)
def test_centre_protocol_takes_one_clip_of_every_video(
    stride: int, tested: int | None, expected: dict[str, tuple[int, int]]
) -> None:
    index = index_of(short=9, equal=16, even=40, odd=41, one=1)
    recipe = recipe_of(clips={"stride": stride}, evaluation={"clips": "centre", "frames": tested})
    table = window_table(index, recipe)
    assert {row.video: (row.start, row.stop) for row in table.itertuples()} == expected
    assert table.video.tolist() == index.video.tolist()
    assert list(table.columns) == list(window_table(index_of(a=17), recipe_of()).columns)


@pytest.mark.parametrize(("frames", "stride"), [(4, 2), (40, 1), (11, 3)])
def test_centre_clips_are_the_middle_frames_or_the_whole_video_again_and_again(
    prepared: Any, frames: int, stride: int
) -> None:
    recipe = recipe_of(clips={"stride": stride}, evaluation={"clips": "centre", "frames": frames})
    index = subset(prepared.index, "test").iloc[:4]
    assert recipe.clips.frames != recipe.tested.frames
    found = list(clips_of_windows(window_table(index, recipe), prepared.store, recipe.tested, workers=2))
    assert [video for video, _ in found] == index.video.tolist()
    for (_, clip), row in zip(found, index.to_dict("records"), strict=True):
        start = max(0, row["frames"] // 2 - frames * stride // 2)
        numbers = np.resize(np.arange(start, min(start + frames * stride, row["frames"])), frames * stride)[::stride]
        with FrameStore(store_path(prepared.store, row["label"], row["video"])) as store:
            np.testing.assert_array_equal(clip, transform_test_clip(store.read(numbers.tolist()), recipe.tested))


def test_clips_of_all_windows_come_in_the_tables_order(prepared: Any) -> None:
    windows = window_table(subset(prepared.index, "test"), recipe_of(clips={"window": 8}))
    found = list(clips_of_windows(windows, prepared.store, CLIPS, workers=3))
    assert [video for video, _ in found] == windows.video.tolist()
    for (_, clip), row in list(zip(found, windows.to_dict("records"), strict=True))[::5]:
        indices: np.ndarray = np.resize(np.arange(row["start"], row["stop"]), 8)[::2]
        with FrameStore(store_path(prepared.store, row["label"], row["video"])) as store:
            np.testing.assert_array_equal(clip, transform_test_clip(store.read(indices.tolist()), CLIPS))


def test_centre_clips_come_in_the_indexs_order(prepared: Any) -> None:
    index = subset(prepared.index, "train")
    found = list(clips_of_windows(centre_table(index, CLIPS), prepared.store, CLIPS, workers=2))
    assert [video for video, _ in found] == index.video.tolist()
    row = index.iloc[-1]
    with FrameStore(store_path(prepared.store, row.label, row.video)) as store:
        assert len(store) == row.frames
        start = row.frames // 2 - 4
        expected = transform_test_clip(store.read(list(range(start, start + 8, 2))), CLIPS)
    np.testing.assert_array_equal(found[-1][1], expected)


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_batched_drops_nothing(count: int, sizes: list[int]) -> None:
    clips = [(f"v{i}", np.full((3, 2, 4, 4), i, np.float32)) for i in range(count)]
    found = list(batched(clips, 4))
    assert [len(ids) for ids, _ in found] == [len(batch) for _, batch in found] == sizes
    assert [video for ids, _ in found for video in ids] == [video for video, _ in clips]
    assert [float(clip[0, 0, 0, 0]) for _, batch in found for clip in batch] == list(range(count))
