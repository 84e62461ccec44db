"""What a manifest says of a data set of keyframes: which part of each video counts, at which rate, and which lists."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from actionbook.core.schema import Strict
from actionbook.core.sections import Positive
from actionbook.core.sources import Below

Seconds = Annotated[float, Field(ge=0)]


class Cut(Strict):
    """The part of a video that is used, brought to a constant rate.

    Of AVA the fifteen minutes and one second from 15:00 on, at 30 frames a second, as the FFmpeg commands of its users
    make them (facebookresearch/SlowFast, slowfast/datasets/DATASET.md).
    """

    start: Seconds = 900
    """Seconds of the video before its first frame."""
    seconds: Annotated[float, Field(gt=0)] = 901
    rate: Positive = 30
    """Frames a second."""
    at_most: bool = False
    """Whether a video may end before the cut does, as videos of one's own of several lengths; if not, such a one is
    damaged or another."""

    def frame(self, second: float) -> int:
        """Number of the frame, from 0, that is shown at a second of the video; the nearest one."""
        return round((second - self.start) * self.rate)

    def moments(self, frames: np.ndarray) -> np.ndarray:
        """The seconds of the video, float64, at which frames of these numbers, from 0, are shown."""
        return np.asarray((self.start + frames / self.rate).round(6))


class Lists(Strict):
    """File names below the annotations, of each subset."""

    train: Below | None = None
    test: Below | None = None

    def of(self, subset: str) -> str | None:
        """The file of "train" or "test", if there is one."""
        return {"train": self.train, "test": self.test}[subset]


class Keyframes(Strict):
    """Keyframes of videos, and the lists of boxes and classes that are seen in them, in the form of AVA.

    Gu et al., "AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions", CVPR 2018.
    """

    cut: Cut = Cut()
    first: Seconds = 902
    """Second of the earliest keyframe."""
    last: Seconds = 1798
    """Second of the latest one."""
    truth: Lists
    """Boxes that people have drawn, with their classes: video, second, x1, y1, x2, y2, class, person."""
    detected: Lists = Lists()
    """Boxes that a detector of people has found: as `truth`, with its score in place of the person. Those for training
    have classes, where they lie on a box of `truth`, or -1."""
    excluded: Lists = Lists()
    """Keyframes that are left out: video, second."""
    frame_lists: Lists = Lists()
    """Which file holds which frame, as PySlowFast and its port to MindSpore take it."""
    class_list: Below | None = None
    """Names and numbers of the classes, as text of protocol buffers."""
    unscored: tuple[str, ...] = ()
    """Classes that a network is trained for and that no score counts."""

    @model_validator(mode="after")
    def _within_the_cut(self) -> Keyframes:
        begin, end = self.cut.start, self.cut.start + self.cut.seconds
        if not begin <= self.first <= self.last < end:
            raise ValueError(
                f"keyframes from {self.first:g} to {self.last:g} s; the cut is from {begin:g} to {end:g} s"
            )
        return self
