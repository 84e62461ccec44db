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
    stride: Positive = 1
    """Every stride-th frame is taken."""
    last_start: bool = False
    """Whether a training clip may begin at the last possible frame; the original programs never draw it."""
    test_frames: Positive | None = None
    """Frames of a tested clip, if others than in training; shorter videos are repeated from their start."""
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


class Windows(_Sampling):
    """Training: a random clip. Test: every window of a video, one after the other."""

    name: Literal["windows"] = "windows"
    window: Positive = 16
    """Length and distance of the test windows, in frames."""


class Centre(_Sampling):
    """Training: a random clip. Test: the one clip in the middle of a video."""

    name: Literal["centre"]


Sampling = Annotated[Windows | Centre, Field(discriminator="name")]
