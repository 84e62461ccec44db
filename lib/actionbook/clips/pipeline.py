"""Feeding clips: a thread pool that reads, decodes and transforms, in an order that hangs on the seed alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from actionbook.clips.sampling import centre_window, random_clip, test_windows, window_clip
from actionbook.clips.transforms import draw_crop, test_clip, train_clip
from actionbook.core.errors import BookError
from actionbook.core.recipe import Clips, Recipe
from actionbook.video.frame_folder import FrameFolder, open_frames
from actionbook.video.store import FrameStore

if TYPE_CHECKING:
    import mindspore.dataset

Item = TypeVar("Item")
Result = TypeVar("Result")
Frames = FrameStore | FrameFolder


def store_path(store: Path, label: str, video: str) -> Path:
    """The frame store file of one video: ``<store>/<label>/<video>.zip``.

    Where there is a folder of that name without ``.zip``, made by the original programs, `open_frames` reads that.
    """
    return store / label / f"{video}.zip"


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int
) -> Iterator[Result]:
    """``map`` over a thread pool: results in the order of `items`, at most `ahead` of them in memory.

    Threads suffice because JPEG decoding, OpenCV and NumPy release Python's global lock; they beat worker processes,
    which must copy every clip (and fight the training for the cores).
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def read_train_clip(store: Frames, clips: Clips, rng: np.random.Generator) -> np.ndarray:
    """Draw one training clip of a video: float32 (C, T, size, size). All draws come from `rng`.

    Raises BookError where the frames are in colour and the clips of flow, or the other way round.
    """
    _check_modality(store, clips)
    indices = random_clip(len(store), clips.frames, clips.stride, rng, last_start=clips.last_start)
    crop = draw_crop(*store.frame_size, clips, rng)
    frames = store.frames(indices.tolist(), min_size=math.ceil(clips.size / crop.side), fast=True)
    return train_clip(frames, crop, clips)


def read_test_clip(store: Frames, indices: np.ndarray, clips: Clips) -> np.ndarray:
    """The clip of the given frames with the authors' test transform: float32 (C, T, size, size).

    Raises BookError as `read_train_clip`.
    """
    _check_modality(store, clips)
    different, place = np.unique(indices, return_inverse=True)  # a looped clip repeats frames: decode each once
    frames = store.read(different.tolist())
    return test_clip([frames[i] for i in place], clips)


def _check_modality(store: Frames, clips: Clips) -> None:
    """Red and green would pass for a displacement."""
    found = "flow" if len(store.components) == 2 else "rgb"
    if found != clips.modality:
        raise BookError(
            f"{store.path}: holds frames of {found}, clips.modality is {clips.modality!r}; "
            "give every kind of frames a folder of its own"
        )


@dataclass
class TrainingSource:
    """Batches of training clips, epoch after epoch: (clips float32 (B, C, T, H, W), targets int32 (B,)).

    The order of videos is a permutation drawn from (seed, epoch); every clip's draws come from (seed, epoch, video,
    repeat). Neither the number of workers nor what happened before an epoch has any influence, so an epoch can be
    repeated or resumed alone. Of `ranks` devices, number `rank` gets its share of every global batch. An epoch holds
    every clip once; its last global batch is filled up with the clips that the epoch began with.
    """

    index: pd.DataFrame
    store: Path
    clips: Clips
    batch_size: int
    seed: int
    clips_per_video: int = 1
    workers: int = 1
    rank: int = 0
    ranks: int = 1
    epoch: int = 0
    """The epoch that the next iteration gives; it counts up by itself."""
    first: int = 0
    """Batches of that epoch to leave out, because an interrupted training has seen them."""

    def __post_init__(self) -> None:
        if self.batch_size % self.ranks:
            raise BookError(f"training.batch_size {self.batch_size} is not a multiple of the {self.ranks} devices")
        if not len(self.index):
            raise BookError("there are no training videos: look at the failures in notebook 01_data")

    def __len__(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.index) * self.clips_per_video / self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Clip numbers of an epoch in order; clip k is repeat ``k // videos`` of video ``k % videos``."""
        rng = np.random.default_rng([self.seed, epoch])
        return np.resize(rng.permutation(len(self.index) * self.clips_per_video), len(self) * self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        first, self.first = self.first, 0
        share = self.batch_size // self.ranks
        mine = self.order(epoch).reshape(-1, self.ranks, share)[first:, self.rank]
        clips = ordered_map(lambda number: self._clip(epoch, int(number)), mine.ravel(), self.workers, 3 * share)
        targets = self.index.target.to_numpy(np.int32)
        for numbers in mine:
            yield np.stack([next(clips) for _ in numbers]), targets[numbers % len(self.index)]

    def _clip(self, epoch: int, number: int) -> np.ndarray:
        row = self.index.iloc[number % len(self.index)]
        rng = np.random.default_rng([self.seed, epoch, number])
        with open_frames(store_path(self.store, row.label, row.video)) as store:
            return read_train_clip(store, self.clips, rng)


def training_dataset(source: TrainingSource) -> mindspore.dataset.GeneratorDataset:
    """`source` as a MindSpore dataset with the columns ``clip`` and ``target``, already batched."""
    from mindspore.dataset import GeneratorDataset  # noqa: PLC0415 (slow to import)

    # Its iterations, not the source itself: an epoch that goes on in its middle has fewer batches than the source says.
    return GeneratorDataset(source.__iter__, ["clip", "target"], shuffle=False, num_parallel_workers=1)


def window_table(index: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """All tested clips, video by video, in time order: columns video, label, target, start, stop (frames from 0).

    Every window of a video or the one in its middle, as ``evaluation.clips`` says.
    Raises BookError naming videos too short for a window (they have one frame or none).
    """
    if recipe.evaluation.clips == "centre":
        return centre_table(index, recipe.tested)
    rows = [
        (row.video, row.label, row.target, window.start, window.stop)
        for row, frames in zip(index.itertuples(), index.frames.tolist(), strict=True)
        for window in test_windows(frames, recipe.clips.window)
    ]
    table = pd.DataFrame(rows, columns=["video", "label", "target", "start", "stop"])
    without = sorted(set(index.video) - set(table.video))
    if without:
        raise BookError(f"{len(without)} test videos are too short for a window: {', '.join(without[:10])}")
    return table


def centre_table(index: pd.DataFrame, clips: Clips) -> pd.DataFrame:
    """The clip in the middle of every video, with the columns of `window_table`."""
    middle = [centre_window(frames, clips.frames * clips.stride) for frames in index.frames.tolist()]
    columns = {"start": [window.start for window in middle], "stop": [window.stop for window in middle]}
    return index[["video", "label", "target"]].assign(**columns)


def test_clips(table: pd.DataFrame, store: Path, clips: Clips, workers: int = 1) -> Iterator[tuple[str, np.ndarray]]:
    """(video, clip float32 (C, T, size, size)) of every row of a `window_table`, in its order.

    `clips` is the recipe's `tested`: a window shorter than its clip is repeated from the start.
    """

    def read(row: tuple[str, str, int, int]) -> tuple[str, np.ndarray]:
        video, label, start, stop = row
        indices = window_clip(range(start, stop), clips.frames, clips.stride)
        with open_frames(store_path(store, label, video)) as frames:
            return video, read_test_clip(frames, indices, clips)

    rows = zip(table.video, table.label, table.start, table.stop, strict=True)
    return ordered_map(read, rows, workers, ahead=4 * workers + 16)


def batched(clips: Iterable[tuple[str, np.ndarray]], size: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Group (id, clip) pairs: (ids, array (B, C, T, H, W)); the last group may be smaller, nothing is dropped."""
    group: list[tuple[str, np.ndarray]] = []
    for item in clips:
        group.append(item)
        if len(group) == size:
            yield [i for i, _ in group], np.stack([c for _, c in group])
            group = []
    if group:
        yield [i for i, _ in group], np.stack([c for _, c in group])
