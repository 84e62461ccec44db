"""A data set of keyframes by itself, without a network: its boxes and classes to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from actionbook.clips.samples import Sample
from actionbook.clips.sampling import keyframe_clip
from actionbook.clips.transforms import to_pixels
from actionbook.core import remote, runtime
from actionbook.core.files import require_writable
from actionbook.core.keyframes import Keyframes
from actionbook.core.manifest import load_dataset
from actionbook.core.parameters import address, refuse_unknown, whole_number
from actionbook.core.paths import default_data_root, default_work_root, expanded
from actionbook.core.recipe import BOXES, Recipe
from actionbook.core.sections import Boxes, Data, Frames
from actionbook.core.workspace import PARAMETERS, Stage
from actionbook.datasets.ava import keyframes_of
from actionbook.datasets.dataset import Dataset, dataset_of, store_path
from actionbook.datasets.index import BOX, Index
from actionbook.datasets.obtain import obtain, read
from actionbook.datasets.people_detector import find_people, frames_at
from actionbook.datasets.preparation import estimate_frames, prepare
from actionbook.evaluation.ava import every_class
from actionbook.stages.strips import Strip, counted
from actionbook.tasks import Predictions
from actionbook.tasks.detection import confidences
from actionbook.video.frame_folder import open_frames


@dataclass(frozen=True)
class KeyframeData:
    """A data set of keyframes, and its lists as tables; see `evaluation.ava` for their columns."""

    dataset: Dataset
    index: Index
    came: str
    """Where it came from, in a sentence."""
    workers: int
    scheduler: str | None

    @property
    def expected(self) -> str:
        """What preparing it will take, disk and time, in a sentence; both depend on the machine."""
        found = estimate_frames(self.dataset, self.index)
        return found.words(self.workers) if found and found.videos else "nothing is left to prepare"

    def prepare(self) -> KeyframeData:
        """With the frames of all videos, at the size of the films; what is there already is left alone."""
        folder = self.dataset.index_folder
        done = prepare(self.dataset, self.index, workers=self.workers, scheduler=self.scheduler, report_folder=folder)
        return replace(self, index=done.index)

    @property
    def keyframes(self) -> Keyframes:
        """What the manifest says of them."""
        return keyframes_of(self.dataset.manifest)

    @property
    def scored(self) -> tuple[str, ...]:
        """The classes that a score counts."""
        return tuple(name for name in self.dataset.manifest.classes if name not in self.keyframes.unscored)

    def _table(self, rows: pd.DataFrame) -> pd.DataFrame:
        cut, items = self.keyframes.cut, self.index.items.set_index("item")
        of = items.loc[rows["item"]].reset_index(drop=True)
        seconds = cut.moments(of.frame.to_numpy())
        return rows.reset_index(drop=True).assign(video=of.video, second=seconds, subset=of.subset)

    @cached_property
    def truth(self) -> pd.DataFrame:
        """A row for each box and class of the test: video, second, x1, y1, x2, y2, label (the class's name)."""
        return self._table(self.index.of_subset("test").labels)[["video", "second", *BOX, "label"]]

    @cached_property
    def boxes(self) -> pd.DataFrame:
        """What is asked about in the test: video, second, x1, y1, x2, y2, score.

        The detector's boxes; where there are none, those of the truth, with a score of 1.
        """
        if self.index.boxes is None:
            once = self.truth.drop_duplicates(["video", "second", *BOX], ignore_index=True)
            return once.drop(columns="label").assign(score=1.0)
        return self._table(self.index.boxes)[["video", "second", *BOX, "score"]]

    @property
    def counts(self) -> pd.DataFrame:
        """Labels of each class in training and in the test, and whether a score counts it: a row a class."""
        rows = self._table(self.index.labels)
        table = pd.crosstab(rows.label, rows.subset).reindex(self.dataset.manifest.classes, fill_value=0)
        table["scored"] = [name in self.scored for name in table.index]
        return table.rename_axis("class")[["train", "test", "scored"]]

    @property
    def first_video(self) -> Path:
        """The first video of the test that is there."""
        items = self.index.items
        path = items.path[(items.subset == "test") & (items.path != "")].iloc[0]
        return (self.dataset.frames_folder or self.dataset.root) / path

    def detections(self, found: Predictions) -> pd.DataFrame:
        """What a network has said of every box that it was asked about: a row for each class that a score counts.

        Columns video, second, x1, y1, x2, y2, label (the class's name), score (0..1).
        """
        classes = self.dataset.manifest.classes
        boxes = self.index.boxes if self.index.boxes is not None else self.index.labels.drop_duplicates(["item", *BOX])
        confidence = confidences(found)
        own = boxes[boxes["item"].isin(confidence.keys())].sort_values("item", kind="stable")
        scores = [confidence[str(item)][: len(rows)] for item, rows in own.groupby("item", sort=False)]
        columns = [classes.index(name) for name in self.scored]
        return every_class(
            self._table(own)[["video", "second", *BOX]],
            np.concatenate([np.zeros((0, len(classes))), *scores])[:, columns],
            self.scored,
        )

    def frames(self, most: int) -> dict[tuple[str, float], np.ndarray]:
        """Test keyframes of different videos, each with two people or more: uint8 (H, W, 3), by (video, second)."""
        people = self.truth.drop_duplicates(["video", "second", *BOX]).groupby(["video", "second"], sort=False).size()
        # Not the first one, where the video has others: people come into view.
        some = (
            people[people > 1].reset_index().groupby("video", sort=False).head(3).drop_duplicates("video", keep="last")
        )
        some = some.head(most)
        found = list(zip(some.video, some.second, strict=True))
        return {(video, second): self.clip(video, [self.keyframes.cut.frame(second)])[0] for video, second in found}

    def seconds(self, most: int) -> dict[tuple[str, float], np.ndarray]:
        """Keyframes of one test video in a row, of that with the most different classes: as `frames`."""
        kinds = self.truth.groupby("video", sort=False).label.nunique()
        if kinds.empty:
            return {}
        video = str(kinds.idxmax())
        moments = sorted(set(self.truth.second[self.truth.video == video]))[:most]
        return {(video, second): self.clip(video, [self.keyframes.cut.frame(second)])[0] for second in moments}

    def clip(self, video: str, numbers: Sequence[int]) -> np.ndarray:
        """Frames of a video by number, from 0: uint8 (T, H, W, 3)."""
        store = self.index.items.store[self.index.items.video == video].iloc[0]
        with open_frames(store_path(self.dataset.colour_store, store)) as frames:
            return np.stack(frames.read(list(numbers)))

    def strip(self, video: str, second: float, length: int, stride: int, every: int = 1) -> Strip:
        """Every so manieth frame of the clip of `length` frames around a keyframe."""
        frames = int(self.index.items.frames[self.index.items.video == video].iloc[0])
        numbers = keyframe_clip(self.keyframes.cut.frame(second), frames, length, stride)[::every]
        return Strip(f"{video}, {second:g} s", self.clip(video, numbers.tolist()), counted(numbers))


def open_keyframes(
    manifest: str = "mini_ava",
    *,
    data_root: str | Path | None = None,
    work_root: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    min_score: float = 0.8,
    allow_missing: bool = False,
) -> KeyframeData:
    """Obtain a data set of keyframes and read its lists.

    Raises BookError as `obtain` and `read` do, and for parameters that make no sense.
    """
    refuse_unknown((*PARAMETERS, "manifest", "min_score", "allow_missing", "video"))
    of = load_dataset(manifest)
    keyframes_of(of)
    root = remote.root("data_root", data_root, default_data_root() / of.name)
    work = remote.root("work_root", work_root, default_work_root())
    require_writable(work, "set work_root (or the variable ACTIONBOOK_WORK) to a folder that you may write")
    remote.bring_set(of, data_root, work_root)
    settings = Data(
        manifest=manifest, frames=Frames(height=None), boxes=Boxes(min_score=min_score), allow_missing=allow_missing
    )
    dataset = Dataset(settings, root, work / "frames", work / "keyframes" / of.name)
    several, where = whole_number("workers", workers, runtime.default_workers()), address("scheduler", scheduler)
    came = obtain(dataset, several)
    return KeyframeData(dataset, read(dataset), came, several, where)


def keyframes_of_stage(stage: Stage, index: Index | None = None) -> KeyframeData:
    """The data set of a recipe, for pictures: its prepared items, or those of `index`."""
    dataset = dataset_of(stage.first)
    return KeyframeData(dataset, dataset.index() if index is None else index, "", stage.workers, stage.scheduler)


def sample_boxes(
    data: KeyframeData, samples: Mapping[str, Sample], recipe: Recipe
) -> tuple[dict[tuple[str, float], np.ndarray], pd.DataFrame]:
    """The frame at the keyframe of each sample as the network gets it, and its boxes: what `boxes_plot` takes.

    `samples` by a title, which takes the place of the video in both. Boxes have an empty label where nothing is known
    of them, as those of a test, and where none of the classes is to be seen.
    """
    rows: list[tuple[Any, ...]] = []
    frames: dict[tuple[str, float], np.ndarray] = {}
    items = data.index.items
    at = dict(zip(items["item"], data.keyframes.cut.moments(items.frame.to_numpy()), strict=True))
    # That with the most frames, among which is the keyframe's.
    pathway = min(recipe.sampling.pathways, key=recipe.sampling.pathways.__getitem__)
    for title, sample in samples.items():
        clip, second = sample.inputs[pathway], float(at[sample.item])
        middle = clip.shape[1] // 2
        picture = to_pixels(clip[:, middle : middle + 1], recipe.transforms)[0]
        frames[title, second] = picture
        size = np.array(picture.shape[1::-1] * 2)
        real = sample.mask > 0 if sample.mask is not None else slice(None)
        for corners, target in zip(sample.inputs[BOXES][real] / size, sample.target[real], strict=True):
            names = [data.dataset.manifest.classes[k] for k in np.flatnonzero(target)] or [""]
            rows += [(title, second, *corners, name) for name in names]
    return frames, pd.DataFrame(rows, columns=["video", "second", *BOX, "label"])


def first_draft(video: str | Path, most: int = 4) -> tuple[dict[tuple[str, float], np.ndarray], pd.DataFrame]:
    """Boxes by OpenCV's detector of people: frames of up to `most` seconds with the most boxes, and the whole table."""
    path = expanded(video)
    found = find_people(path)
    best = set(found.groupby("second").size().sort_values(ascending=False, kind="stable").head(most).index)
    return {(path.name, second): frame for second, frame in frames_at(path) if second in best}, found
