"""The section `sampling` of a recipe: which sampler chooses the frames of a clip, and its parameters.

The samplers themselves are in `actionbook.clips.sampling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from actionbook.core.schema import Strict
from actionbook.core.sections import Positive
from actionbook.core.spec import IMAGE

Pathways = Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Positive], Field(min_length=1)]
"""Inputs of a network that are made of one clip: by name, every how many of its frames."""


def check_whole(pathways: Mapping[str, int], frames: int) -> None:
    """Raise ValueError where a clip of so many frames cannot be shared out among the pathways."""
    for name, every in pathways.items():
        if frames % every:
            raise ValueError(f"pathway {name!r}: {frames} frames are no multiple of {every}")


class _Sampling(Strict):
    """What all samplers have in common."""

    frames: Positive = 16
    """Frames of a clip (T)."""
    test_frames: Positive | None = None
    """Frames of a tested clip, if others than in training."""
    pathways: Pathways = {IMAGE: 1}
    """Inputs of the network that are made of the clip: by name, every how many of its frames."""

    @model_validator(mode="after")
    def _whole_clips(self) -> _Sampling:
        self.check_lengths(self.drawn, self.tested)
        return self

    def check_lengths(self, *lengths: int) -> None:
        """Raise ValueError where clips of so many frames cannot be shared out among the pathways."""
        for frames in lengths:
            check_whole(self.pathways, frames)

    def shared_out(self, frames: int) -> dict[str, np.ndarray]:
        """Which frames of a clip of so many each pathway takes: by name, their places from 0."""
        return {name: np.arange(0, frames, every) for name, every in self.pathways.items()}

    @property
    def drawn(self) -> int:
        """Frames of a training clip."""
        return self.frames

    @property
    def tested(self) -> int:
        """Frames of a tested clip."""
        return self.test_frames or self.drawn

    @property
    def drawn_clip(self) -> str:
        """In words, which frames a training clip has."""
        raise NotImplementedError

    @property
    def tested_clips(self) -> str:
        """In words, which clips of a video are tested."""
        raise NotImplementedError


class _Consecutive(_Sampling):
    """Clips of frames that follow each other; shorter videos are repeated from their start."""

    stride: Positive = 1
    """Every stride-th frame is taken."""
    last_start: bool = False
    """Whether a training clip may begin at the last possible frame; the original programs never draw it."""

    @property
    def drawn_clip(self) -> str:
        """See `_Sampling`."""
        return f"{self.frames} frames (stride {self.stride}) from a random start"


class Windows(_Consecutive):
    """Training: a random clip. Test: every window of a video, one after the other."""

    name: Literal["windows"] = "windows"
    window: Positive = 16
    """Length and distance of the test windows, in frames."""

    @property
    def tested_clips(self) -> str:
        """See `_Sampling`."""
        return f"clips of {self.tested} frames (stride {self.stride}) at every {self.window}-frame window"


class Centre(_Consecutive):
    """Training: a random clip. Test: the one clip in the middle of a video."""

    name: Literal["centre"]

    @property
    def tested_clips(self) -> str:
        """See `_Sampling`."""
        return f"1 clip of the middle {self.tested} frames (stride {self.stride})"


class Keyframe(_Sampling):
    """The one clip around the keyframe of an item, trained on as it is tested.

    Beyond the ends of a video its first or last frame is repeated. A pathway of fewer frames takes them evenly from the
    first of the clip to the last, rounded down: 8 of 32 are 0, 4, 8, 13, 17, 22, 26, 31 (facebookresearch/SlowFast,
    slowfast/datasets/utils.py: get_sequence, pack_pathway_output).
    """

    name: Literal["keyframe"]
    frames: Positive = 32
    stride: Positive = 2
    """Every stride-th frame is taken."""

    def shared_out(self, frames: int) -> dict[str, np.ndarray]:
        """See `_Sampling`."""
        return {name: np.linspace(0, frames - 1, frames // every).astype(int) for name, every in self.pathways.items()}

    @property
    def drawn_clip(self) -> str:
        """See `_Sampling`."""
        return f"{self.frames} frames (stride {self.stride}) around the keyframe"

    @property
    def tested_clips(self) -> str:
        """See `_Sampling`."""
        return f"1 clip of {self.tested} frames (stride {self.stride}) around the keyframe"


class Segments(_Sampling):
    """A video is cut into `frames` equal parts. Training: a random frame of each. Test: the one in its middle.

    This is the sampling of temporal segment networks (Wang et al., ECCV 2016), which ECO has taken over.
    """

    name: Literal["segments"]
    test_parts: Literal["fractional", "whole"] = "fractional"
    """The length of a part in the test: n / T frames, as in the PyTorch and TensorFlow programs of ECO, or the whole
    number below it, as in the authors' Caffe, whose test never sees the frames left over at the end."""

    @property
    def drawn_clip(self) -> str:
        """See `_Sampling`."""
        return f"a random frame of each of {self.frames} equal parts of the video"

    @property
    def tested_clips(self) -> str:
        """See `_Sampling`."""
        parts = {"fractional": "equal parts", "whole": "parts of a whole number of frames"}[self.test_parts]
        return f"1 clip of the middle frames of {self.tested} {parts}"


class Superframes(_Sampling):
    """A video is cut into `segments` equal parts, of each of which `frames` neighbouring frames are taken.

    A clip has segments * frames frames, in order. Training: from a random start in each part. Test: those in its
    middle. This is the sampling of StNet (He et al., AAAI 2019), whose network makes super-images of them.
    """

    name: Literal["superframes"]
    frames: Positive = 5
    """Neighbouring frames of one part (N)."""
    segments: Positive = 7
    """Parts of a training clip (T). Those of a tested one are `test_frames` / `frames`: of 25, 125 frames."""
    test_start: Literal["centred", "late"] = "centred"
    """Where the tested frames of a part of D frames begin: at (D - N) // 2, or at (D - 1) // 2, as in the loader of
    videos of the authors' release; its loader of packed frames centres them."""

    @property
    def drawn(self) -> int:
        """See `_Sampling`."""
        return self.segments * self.frames

    def check_lengths(self, *lengths: int) -> None:
        """Raise ValueError also where clips of so many frames are no whole number of parts."""
        for length in lengths:
            if length % self.frames:
                raise ValueError(f"a clip of {length} frames is no multiple of the {self.frames} of each part")
        super().check_lengths(*lengths)

    @property
    def drawn_clip(self) -> str:
        """See `_Sampling`."""
        return f"{self.frames} frames from a random start in each of {self.segments} equal parts of the video"

    @property
    def tested_clips(self) -> str:
        """See `_Sampling`."""
        which = {"centred": f"middle {self.frames} frames", "late": f"{self.frames} frames from the middle on"}
        return f"1 clip of the {which[self.test_start]} of each of {self.tested // self.frames} equal parts"


Sampling = Annotated[Windows | Centre | Keyframe | Segments | Superframes, Field(discriminator="name")]
