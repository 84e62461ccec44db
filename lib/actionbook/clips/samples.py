"""Samples: what a network gets to see of an item, and what it should say; read, cut and normalised by a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from actionbook.clips.sampling import Sampler
from actionbook.clips.targets import BoxTable, boxes_of
from actionbook.clips.transforms import decoded_side, draw_crop, tested_boxes, tested_clip, train_boxes, train_clip
from actionbook.clips.whole_frames import draw_jitter, jittered_boxes, jittered_clip, whole_boxes, whole_clip
from actionbook.core.errors import BookError, some
from actionbook.core.paths import shown
from actionbook.core.recipe import Recipe
from actionbook.core.sections import Detection
from actionbook.core.spec import BOXES
from actionbook.datasets.dataset import store_path
from actionbook.datasets.index import Index
from actionbook.video.frame_folder import Frames, open_frames


@dataclass(frozen=True)
class Sample:
    """One sample of a network's input, without the batch's axis."""

    item: str
    inputs: Mapping[str, np.ndarray]
    """float32, by the names of the spec."""
    target: np.ndarray
    """Of classification the class number, int32 (); of detection float32 (boxes, classes)."""
    mask: np.ndarray | None = None
    """Of detection: 1 for real boxes, 0 for what fills up, float32 (boxes,)."""
    frames: np.ndarray | None = None
    """Numbers of the clip's frames in their video, from 0, int (T,)."""


@dataclass(frozen=True)
class Samples:
    """The samples of an index by a recipe: training samples by number, tested ones in their order."""

    index: Index
    store: Path
    """Folder of the frame store."""
    recipe: Recipe
    classes: int

    @cached_property
    def _rows(self) -> list[Any]:
        return list(self.index.items.itertuples(index=False))

    @cached_property
    def _class_numbers(self) -> np.ndarray:
        return self.index.truth.to_numpy(np.int32)

    @cached_property
    def _boxes(self) -> BoxTable:
        return boxes_of(self.index, self.classes)

    @cached_property
    def _sampler(self) -> Sampler:
        items, sampling = self.index.items, self.recipe.sampling
        keyframes = items.item[items.frame >= 0]
        if len(keyframes) and sampling.name != "keyframe":
            raise BookError(f"items such as {keyframes.iloc[0]} are keyframes: their sampling.name must be 'keyframe'")
        counts = self.index.videos.set_index("video").frames
        still, prepared = counts.index[counts == 1].tolist(), (counts > 0).sum()
        # Windows leave out videos of one frame by themselves. Others repeat it, and training goes on without a word.
        if sampling.name != "windows" and sampling.drawn > 1 and len(still) > prepared / 2:
            raise BookError(
                f"{shown(self.store)}: {len(still)} of {prepared} videos have one frame, which all "
                f"{sampling.drawn} frames of a clip would be: {some(still, 3)}; expected are more. Make their frames "
                "again, then run notebook 01_data"
            )
        return Sampler(sampling)

    def __len__(self) -> int:
        return len(self._rows)

    def train(self, number: int, rng: np.random.Generator) -> Sample:
        """Draw one training sample of item `number`; all draws come from `rng`.

        Raises BookError where the frames are in colour and the clips of flow, or the other way round, and where an item
        has more boxes than the recipe allows.
        """
        row, transforms = self._rows[number], self.recipe.transforms
        indices = self._sampler.train(row, rng)
        with self._open(row) as frames:
            width, height = frames.frame_size
            if transforms.jitter is not None:
                jitter = draw_jitter(width, height, transforms, rng)
                clip = jittered_clip(self._read(frames, indices), jitter, transforms)
                return self._sample(
                    number, indices, clip, lambda boxes: jittered_boxes(boxes, jitter, height, width, transforms)
                )
            crop = draw_crop(width, height, transforms, rng)
            wanted = frames.frames(indices.tolist(), min_size=decoded_side(crop, width, height, transforms), fast=True)
            clip = train_clip(wanted, crop, transforms, len(indices))
        return self._sample(number, indices, clip, lambda boxes: train_boxes(boxes, crop, height, width, transforms))

    def test(self, number: int, indices: np.ndarray) -> Sample:
        """The sample of the given frames of item `number`, with the authors' test transform. Raises as `train`."""
        row, transforms = self._rows[number], self.recipe.transforms
        with self._open(row) as opened:
            frames = self._read(opened, indices)
        height, width = frames[0].shape[:2]
        if transforms.test_size is not None:
            clip = whole_clip(frames, transforms)
            return self._sample(number, indices, clip, lambda boxes: whole_boxes(boxes, height, width, transforms))
        clip = tested_clip(frames, transforms)
        return self._sample(number, indices, clip, lambda boxes: tested_boxes(boxes, height, width, transforms))

    @cached_property
    def tests(self) -> pd.DataFrame:
        """All tested clips, item by item, in time order: columns item, number (of the item), start, stop, frames.

        `frames` holds the frame numbers, from 0; start and stop are the first and one past the last of them.
        Items that are too short for a clip have no row, see `too_short`, nor have those about which nothing is asked.
        """
        return self._table([(k, indices) for k, row in self._asked for indices in self._sampler.test(row)])

    @cached_property
    def too_short(self) -> tuple[str, ...]:
        """Items without a tested clip, in order: they have no frame, or one where the sampling wants a second."""
        found = set(self.tests.item)
        return tuple(row.item for _, row in self._asked if row.item not in found)

    @cached_property
    def _asked(self) -> list[tuple[int, Any]]:
        """Items with their numbers, without those of which a detector has found no box."""
        every = list(enumerate(self._rows))
        if self.index.boxes is None or not isinstance(self.recipe.task, Detection):
            return every
        return [(k, row) for k, row in every if row.item in self._boxes]

    def middles(self, frames: int) -> pd.DataFrame:
        """One clip of every item, in its middle: a table as `tests`."""
        return self._table([(k, self._sampler.middle(row, frames)) for k, row in self._asked])

    def _table(self, clips: list[tuple[int, np.ndarray]]) -> pd.DataFrame:
        rows = [(self._rows[k].item, k, int(frames.min()), int(frames.max()) + 1, frames) for k, frames in clips]
        return pd.DataFrame(rows, columns=["item", "number", "start", "stop", "frames"])

    def _open(self, row: Any) -> Frames:
        frames = open_frames(store_path(self.store, row.store))
        if len(frames) != row.frames:  # clips of the wrong part of the video, or of its first frame alone
            raise BookError(
                f"{frames.path}: holds {len(frames)} frames, the index says {row.frames}: they were made again since; "
                "run notebook 01_data again"
            )
        found = "flow" if len(frames.components) == 2 else "rgb"  # red and green would pass for a displacement
        if found != self.recipe.transforms.modality:
            raise BookError(
                f"{frames.path}: holds frames of {found}, transforms.modality is "
                f"{self.recipe.transforms.modality!r}; give every kind of frames a folder of its own"
            )
        return frames

    @staticmethod
    def _read(frames: Frames, indices: np.ndarray) -> list[np.ndarray]:
        """Frames as they are stored. A clip may repeat some at the ends of a video, or in a loop: each is read once."""
        different, place = np.unique(indices, return_inverse=True)
        found = frames.read(different.tolist())
        return [found[i] for i in place]

    def _sample(self, number: int, indices: np.ndarray, clip: np.ndarray, place: Any) -> Sample:
        row = self._rows[number]
        shares = self.recipe.sampling.shared_out(clip.shape[1])
        inputs = {name: clip[:, taken] if len(taken) < clip.shape[1] else clip for name, taken in shares.items()}
        if not isinstance(self.recipe.task, Detection):
            return Sample(row.item, inputs, self._class_numbers[number], frames=indices)
        room, found = self.recipe.task.boxes, self._boxes.get(row.item)
        count = len(found.places) if found else 0
        if count > room:
            raise BookError(f"item {row.item}: {count} boxes, the recipe has room for {room} (task.boxes)")
        boxes, target = np.zeros((room, 4), np.float32), np.zeros((room, self.classes), np.float32)
        if found:
            boxes[:count], target[:count] = place(found.places), found.targets
        mask = (np.arange(room) < count).astype(np.float32)
        return Sample(row.item, {**inputs, BOXES: boxes}, target, mask, indices)


def stacked(samples: Sequence[Sample]) -> tuple[np.ndarray, ...]:
    """A batch as an optimiser step takes it: the inputs in the spec's order, the targets, of detection the mask."""
    columns = [np.stack([s.inputs[name] for s in samples]) for name in samples[0].inputs]
    columns.append(np.stack([s.target for s in samples]))
    masks = [s.mask for s in samples if s.mask is not None]
    return (*columns, np.stack(masks)) if masks else tuple(columns)


def batched(samples: Iterable[Sample], size: int) -> Iterator[tuple[list[str], dict[str, np.ndarray]]]:
    """Group samples: (items, inputs by name (B, ...)); the last group may be smaller, nothing is dropped."""
    every = iter(samples)
    while group := list(islice(every, size)):
        yield [s.item for s in group], {name: np.stack([s.inputs[name] for s in group]) for name in group[0].inputs}
