"""What the network of a finished chapter says of single video files: of every clip, of the whole, and as they run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from actionbook.clips.own_video import video_clips
from actionbook.core.errors import BookError
from actionbook.core.paths import expanded, shown
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.inference import Engine, Online, open_engine
from actionbook.stages.strips import Strip, counted, spaced
from actionbook.tasks.pooling import pool_clips, softmax
from actionbook.video.decode import iterate, probe, shown_pixels
from actionbook.video.frame_folder import frames_path, open_frames
from actionbook.video.store import FrameStore

_WINDOWS = 3
"""Of a video, whose frames are kept to be shown."""
_HEIGHT = 240
"""Pixels that these frames are high at most."""
_LOOP = 24
"""Frames of the moving picture of a video at most."""


@dataclass(frozen=True)
class Answer:
    """What a network says of one video."""

    path: Path
    label: str | None
    """What it is, where that is known."""
    windows: tuple[Strip, ...]
    """Frames of the first tested clips (windows, or what the sampling makes); their titles are what is said of them."""
    number: int
    """Clips that were tested."""
    scores: pd.Series[Any]
    """The probability of each class, by its name, over all windows."""

    @property
    def said(self) -> str:
        """The class with the highest probability."""
        return str(self.scores.idxmax())

    @property
    def probability(self) -> float:
        """Of that class, 0..1."""
        return float(self.scores.max())

    @property
    def right(self) -> bool | None:
        """Whether it is the video's class, where that is known."""
        return None if self.label is None else self.said == self.label

    @property
    def loop(self) -> Strip:
        """The video's first tested frames with the answer as title, for `results.loops`."""
        frames = np.concatenate([window.frames for window in self.windows])
        numbers = [number for window in self.windows for number in window.numbers or ()]
        _, first = np.unique(numbers, return_index=True)  # a window that is short repeats frames
        said = {True: "right", False: f"taken for {self.said}", None: self.said}[self.right]
        title = f"{self.label or self.path.name}: {said}, {self.probability:.0%}"
        return Strip(title, frames[first[:_LOOP]], [numbers[place] for place in first[:_LOOP]])

    @property
    def strips(self) -> list[Strip]:
        """The frames of its first windows for `results.film`, with what the network says of each alone."""
        name = self.label or self.path.name
        return [window._replace(title=f"{name}, said to be {window.title}") for window in self.windows]

    def best(self, count: int = 5) -> pd.DataFrame:
        """The most probable classes, one row each."""
        best = self.scores.nlargest(count)
        return pd.DataFrame({"class": best.index, "probability": best.to_numpy()})


def first_tests(stage: Stage, most: int = 10) -> pd.DataFrame:
    """The first test video of each of the first `most` classes, in the order of the lists: rows of the index.

    Nothing but the lists decides which these are. Raises BookError where stage 01 has not run, and for a recipe that
    reads folders of frames in the videos' stead.
    """
    dataset = dataset_of(stage)
    if dataset.frames_folder:
        raise BookError(
            f"data.frames_folder: the recipe reads frames from {shown(dataset.frames_folder)}, this page shows videos; "
            "name one, -p video FILE"
        )
    return dataset.index().subset("test").table.drop_duplicates("label").head(most)


def ask(stage: Stage, video: str | os.PathLike[str] | None = None, most: int = 10) -> list[Answer]:
    """What the chapter's exported network says of a video file; None: of those that `first_tests` names.

    Sampling, transform and pooling are those of the test. Raises BookError for a file that is missing, empty, no video
    or too short, saying which file that was, and where the network has not been exported.
    """
    if video is None:
        table = first_tests(stage, most)
        asked = [(stage.data_root / path, label) for path, label in zip(table.path, table.label, strict=True)]
    else:
        asked = [(video_file(video), None)]
    engine = exported_engine(stage)
    return [_ask(stage, engine, path, label) for path, label in asked]


def over_time(stage: Stage, video: str | os.PathLike[str], slot: int | None = None) -> pd.DataFrame:
    """What the chapter's exported network says of a video while it runs, see `inference.Online`.

    `video` is a file, or its frames as `open_frames` finds them. One row each time that a slot of `slot` frames is full
    (None: as many as a clip has): frames and seconds seen (NaN where nobody wrote down the rate), the running answer
    and its probability, and then those of every class, by name. Raises BookError as `ask`, and StoreError for frames
    that cannot be read.
    """
    path, recipe, classes = _video(video), stage.recipe, list(stage.manifest.classes)
    engine, rate = exported_engine(stage), _rate(path)
    online = Online(engine.run, recipe.transforms, recipe.sampling.tested, slot=slot, rate=rate)
    rows = [
        (one.frame, one.seconds, classes[one.probabilities.argmax()], one.probabilities.max(), *one.probabilities)
        for one in online.follow(_pixels(path))
    ]
    return pd.DataFrame(rows, columns=["frames", "seconds", "answer", "probability", *classes])


def frame_times(stage: Stage, video: str | os.PathLike[str], slot: int | None = None) -> pd.DataFrame:
    """What a frame of a video costs `inference.Online` on this machine, decoding left out.

    Two rows: frames that fill a slot, for which the network is asked, and those in between; their number and their mean
    time in milliseconds, NaN where there is none. `video` and `slot` as of `over_time`, which raises the same errors.
    """
    recipe, path = stage.recipe, _video(video)
    online = Online(exported_engine(stage).run, recipe.transforms, recipe.sampling.tested, slot=slot)
    spent: dict[str, list[float]] = {"fills a slot": [], "is in between": []}
    for frame in _pixels(path):
        start = time.perf_counter()
        answer = online.push(frame)
        took = time.perf_counter() - start
        spent["is in between" if answer is None else "fills a slot"].append(1000 * took)
    rows = [(kind, len(each), float(np.mean(each)) if each else np.nan) for kind, each in spent.items()]
    return pd.DataFrame(rows, columns=["a frame that", "frames", "ms each"])


def whole_video(path: str | os.PathLike[str], title: str, count: int = 8) -> Strip:
    """`count` frames of a video, evenly spaced from its first to its last, with their numbers.

    `path` as `video` of `over_time`, which raises the same errors.
    """
    frames = [_small(frame[None])[0] for frame in _pixels(_video(path))]
    numbers = spaced(len(frames), count)
    return Strip(title, np.stack([frames[number] for number in numbers]), counted(numbers))


def pick(answers: Sequence[Answer]) -> list[Answer]:
    """The first answer that is right and the first that is wrong; where the class is not known, the first."""
    found = {answer.right: answer for answer in reversed(answers)}
    return [found[right] for right in (True, False, None) if right in found]


def answer_table(answers: Sequence[Answer]) -> pd.DataFrame:
    """One row a video: its name, its class, the network's answer, that one's probability, and whether it is right."""
    return pd.DataFrame(
        {
            "video": answer.path.name,
            "class": answer.label,
            "answer": answer.said,
            "probability": answer.probability,
            "right": answer.right,
        }
        for answer in answers
    )


def video_file(video: Any) -> Path:
    """The file that a parameter names. Raises BookError, naming it, where it is missing, empty or none."""
    if not isinstance(video, str | os.PathLike) or not str(video).strip():
        raise BookError(f"video: expected the path of a file, or None, found {video!r}")
    path = expanded(video).absolute()
    if path.is_dir():
        raise BookError(f"video: {path} is a folder, expected a file; name one of those in it")
    if not path.exists():
        given = "" if path == Path(video) else f" (given as {str(video)!r}, which begins at the working directory)"
        raise BookError(f"video: {path} does not exist{given}; write the whole path")
    if path.is_file() and not path.stat().st_size:
        raise BookError(f"video: {path} is empty (0 bytes), expected a video; copy or record it again")
    return path


def _video(video: str | os.PathLike[str]) -> Path:
    """The video file, or where its frames are."""
    return path if _stored(path := Path(video)) else video_file(video)


def _stored(path: Path) -> bool:
    """Whether there are frames and not a video file: a store, or a folder that may be named as a store would be."""
    return path.suffix == ".zip" and frames_path(path).exists()


def _rate(path: Path) -> float | None:
    """Frames per second, where the video or its store says so."""
    if not _stored(path):
        return probe(path).fps or None
    with open_frames(path) as frames:
        return frames.info.fps or None if isinstance(frames, FrameStore) else None


def _pixels(path: Path) -> Iterator[np.ndarray]:
    """Every frame once, uint8 RGB (H, W, 3), 0..255."""
    if not _stored(path):
        yield from map(shown_pixels, iterate(path))
        return
    with open_frames(path) as frames:
        for number in range(len(frames)):
            yield from frames.read([number])


def exported_engine(stage: Stage) -> Engine:
    """ONNX Runtime on what notebook 04 of the chapter has exported. Raises BookError where it has not."""
    network = stage.folder / "export" / "network.onnx"
    if not network.is_file():
        raise BookError(f"{shown(network)} does not exist: run notebooks/{stage.recipe.chapter}/04_conversion.ipynb")
    return open_engine(network)


def _ask(stage: Stage, engine: Engine, path: Path, label: str | None) -> Answer:
    classes = list(stage.manifest.classes)
    logits: list[np.ndarray] = []
    windows: list[Strip] = []
    for numbers, frames, clip in video_clips(path, stage.recipe.sampling, stage.recipe.transforms):
        logits.append(engine.run(clip[None])[0])
        if len(windows) < _WINDOWS:
            chance = softmax(logits[-1])
            said = f"{classes[chance.argmax()]}, {chance.max():.0%}"
            windows.append(Strip(said, _small(frames), counted(numbers)))
    how = stage.recipe.evaluation.pool
    pooled = pool_clips(["video"] * len(logits), np.stack(logits), how).iloc[0].to_numpy()
    scores = pooled if how == "softmax_mean" else softmax(pooled)
    return Answer(path, label, tuple(windows), len(logits), pd.Series(scores, index=classes))


def _small(frames: np.ndarray) -> np.ndarray:
    height, width = frames.shape[1:3]
    if height <= _HEIGHT:
        return frames
    size = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
