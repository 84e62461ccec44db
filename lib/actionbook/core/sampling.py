"""The section `sampling` of a recipe: which sampler chooses the frames of a clip, and its parameters.

The samplers themselves are in `actionbook.clips.sampling`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from actionbook.core.schema import Strict
from actionbook.core.sections import Positive
from actionbook.core.spec import IMAGE

Pathway = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Sampling(Strict):
    """What all samplers have in common."""

    frames: Positive = 16
    """Frames of a clip (T)."""
    test_frames: Positive | None = None
    """Frames of a tested clip, if others than in training."""
    pathways: Annotated[dict[Pathway, Positive], Field(min_length=1)] = {IMAGE: 1}
    """Inputs of the network that are made of the clip: by name, every how many of its frames."""

    @model_validator(mode="after")
    def _whole_pathways(self) -> _Sampling:
        self.check_pathways(self.frames, self.tested)
        return self

    def check_pathways(self, *lengths: int) -> None:
        """Raise ValueError where clips of so many frames cannot be shared out among the pathways."""
        for frames in lengths:
            for name, every in self.pathways.items():
                if frames % every:
                    raise ValueError(f"pathway {name!r}: {frames} frames are no multiple of {every}")

    @property
    def tested(self) -> int:
        """Frames of a tested clip."""
        return self.test_frames or self.frames

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


class Segments(_Sampling):
    """A video is cut into `frames` equal parts. Training: a random frame of each. Test: the one in its middle.

    This is the sampling of temporal segment networks (Wang et al., ECCV 2016), which ECO and StNet have taken over.
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


Sampling = Annotated[Windows | Centre | Segments, Field(discriminator="name")]
