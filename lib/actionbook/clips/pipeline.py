"""Feeding samples: a thread pool that reads, decodes and transforms, in an order that hangs on the seed alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from actionbook.clips.samples import Sample, Samples, stacked
from actionbook.core.errors import BookError

if TYPE_CHECKING:
    import mindspore.dataset

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Thing], Result], things: Iterable[Thing], workers: int, ahead: int
) -> Iterator[Result]:
    """``map`` over a thread pool: results in the order of `things`, at most `ahead` of them in memory.

    Threads suffice because JPEG decoding, OpenCV and NumPy release Python's global lock; they beat worker processes,
    which must copy every clip (and fight the training for the cores).
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        try:
            for thing in things:
                waiting.append(pool.submit(function, thing))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def share_of(batch_size: int, devices: int) -> int:
    """How many samples of a global batch each device gets. Raises BookError where they are not equally many."""
    if batch_size % devices:
        raise BookError(f"training.batch_size {batch_size} is not a multiple of the {devices} devices")
    return batch_size // devices


@dataclass
class TrainingSource:
    """Batches of training samples, epoch after epoch, as `stacked` gives them.

    The order of items is a permutation drawn from (seed, epoch); every sample's draws come from (seed, epoch, item,
    repeat). Neither the number of workers nor what happened before an epoch has any influence, so an epoch can be
    repeated or resumed alone. Of `ranks` devices, number `rank` gets its share of every global batch. An epoch holds
    every sample once; its last global batch is filled up with the samples that the epoch began with.
    """

    samples: Samples
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
        share_of(self.batch_size, self.ranks)
        if not len(self.samples):
            raise BookError("there are no training videos: look at the failures in notebook 01_data")

    def __len__(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.samples) * self.clips_per_video / self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Sample numbers of an epoch in order; sample k is repeat ``k // items`` of item ``k % items``."""
        rng = np.random.default_rng([self.seed, epoch])
        return np.resize(rng.permutation(len(self.samples) * self.clips_per_video), len(self) * self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        first, self.first = self.first, 0
        share = share_of(self.batch_size, self.ranks)
        mine = self.order(epoch).reshape(-1, self.ranks, share)[first:, self.rank]
        samples = ordered_map(lambda number: self._sample(epoch, int(number)), mine.ravel(), self.workers, 3 * share)
        for numbers in mine:
            yield stacked([next(samples) for _ in numbers])

    def _sample(self, epoch: int, number: int) -> Sample:
        return self.samples.train(number % len(self.samples), np.random.default_rng([self.seed, epoch, number]))


def training_dataset(source: TrainingSource) -> mindspore.dataset.GeneratorDataset:
    """`source` as a MindSpore dataset with a column for each array of a batch, already batched."""
    from mindspore.dataset import GeneratorDataset  # noqa: PLC0415 (slow to import)

    recipe = source.samples.recipe
    columns = [
        *recipe.spec(source.samples.classes).inputs,
        "target",
        *(["mask"] if recipe.task.name == "detection" else []),
    ]
    # Its iterations, not the source itself: an epoch that goes on in its middle has fewer batches than the source says.
    return GeneratorDataset(source.__iter__, columns, shuffle=False, num_parallel_workers=1)


def tested(samples: Samples, table: pd.DataFrame, workers: int = 1) -> Iterator[Sample]:
    """The samples of the rows of a table of `Samples.tests`, in its order."""
    rows = zip(table.number.tolist(), table.frames, strict=True)
    return ordered_map(lambda row: samples.test(*row), rows, workers, ahead=4 * workers + 16)
