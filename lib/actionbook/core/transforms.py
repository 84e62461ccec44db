"""What happens to the frames of a clip: of a recipe the section `transforms`, and what published weights need.

The transforms themselves are in `actionbook.clips.transforms`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from actionbook.core.schema import Strict
from actionbook.core.sections import Rate, Share

Scale = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=16, multiple_of=16)]


class Transforms(Strict):
    """Spatial transforms of a clip, and the scale of its values."""

    modality: Literal["rgb", "flow"] = "rgb"
    """Frames in colour (3 channels) or optical flow (2: right, down)."""
    size: Side | tuple[Side, Side] = 112
    """Height and width of a clip in pixels: one number for both, or the two of them."""
    short_side: Annotated[int, Field(ge=16)] | None = None
    """Test frames are scaled to this shorter side before the centre crop; None: to `size`."""
    keep_aspect: bool = True
    """Whether the longer side of a test frame follows the shorter one; if not, both become `short_side` pixels (None:
    those of `size`)."""
    box: tuple[int, int] | None = None
    """Longer and shorter side that all frames are brought to before they are cropped, those of training too and
    whatever their shape, unless their shorter side has this length already: [341, 256] in the programs of StNet. It
    takes the place of `short_side` and `keep_aspect`."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Of the colours in a clip; networks whose frames were read by OpenCV or Caffe want blue first."""
    mean: tuple[float, ...] = (114.7748, 107.7354, 99.4750)
    """Of each channel in the clip's order, on the 0..255 scale (the original's "activitynet" mean, RGB)."""
    std: tuple[Rate, ...] = (1.0, 1.0, 1.0)
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = (1.0, 0.84089641, 0.70710678, 0.59460355, 0.5)
    """Training crops: side as a share of the frame's shorter side."""
    crop: Literal["random", "corner", "center", "tsn"] = "random"
    """Training crops of the clip's shape lie anywhere, in a corner or the middle, or in the middle; those of "tsn" may
    be wider or higher by one scale, and lie at one of 13 places."""
    jitter: tuple[int, int] | None = None
    """Training clips are cut anywhere from whole frames whose shorter side is scaled to a length between these two; it
    takes the place of `scales` and `crop`. [256, 320] in the programs of SlowFast."""
    test_size: tuple[int, int] | None = None
    """Height and width of a tested clip that holds whole frames: scaled to `short_side` they lie at its top left, and
    what they leave over is filled with the mean. None: test frames are cropped to `size`."""
    flip: Share = 0.5
    """Probability of a mirrored training clip. Flow to the right then becomes flow to the left."""

    @property
    def channels(self) -> int:
        """Channels of a clip (C)."""
        return {"rgb": 3, "flow": 2}[self.modality]

    @property
    def height(self) -> int:
        """Height of a clip in pixels (H)."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Width of a clip in pixels (W)."""
        return self.size if isinstance(self.size, int) else self.size[1]

    def clip_size(self, tested: bool) -> tuple[int, int]:
        """Height and width of a tested clip, or of one for training."""
        return self.test_size if tested and self.test_size else (self.height, self.width)

    @model_validator(mode="after")
    def _whole_frames(self) -> Transforms:
        if self.jitter is not None:
            low, high = self.jitter
            if not min(self.height, self.width) <= low <= high:
                least = min(self.height, self.width)
                raise ValueError(f"jitter {list(self.jitter)}: expected two lengths, ascending, of at least {least}")
            if self.box is not None:
                raise ValueError("jitter is of whole frames; box does not go with it")
        if self.test_size is not None:
            if self.short_side is None or self.short_side > min(self.test_size):
                raise ValueError(f"test_size {list(self.test_size)} needs a short_side that fits into it")
            if any(side % 16 for side in self.test_size):
                raise ValueError(f"test_size {list(self.test_size)}: expected multiples of 16")
            if self.box is not None or not self.keep_aspect:
                raise ValueError("test_size is of whole frames; box and keep_aspect do not go with it")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Transforms:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values, {self.modality} has {self.channels} channels")
        if self.short_side is not None and self.short_side < min(self.height, self.width):
            raise ValueError(f"short_side {self.short_side} is less than size {self.size}")
        if self.box is not None:
            if self.box[0] < self.box[1]:
                raise ValueError(f"box names the longer side first, found {list(self.box)}")
            if self.box[1] < min(self.height, self.width):
                raise ValueError(f"box {list(self.box)} is less than size {self.size}")
            if self.short_side is not None or not self.keep_aspect:
                raise ValueError("box says both sides of a frame; short_side and keep_aspect do not go with it")
        if self.channel_order == "bgr" and self.modality != "rgb":
            raise ValueError(f"channel_order bgr is of colours, modality is {self.modality}")
        if self.crop == "tsn" and self.height != self.width:
            raise ValueError(f"crop tsn is of square clips, size is {self.height} x {self.width}")
        if self.crop == "tsn" and "scales" not in self.model_fields_set:
            raise ValueError("crop tsn: scales must be said, those of TSN and ECO are [1.0, 0.875, 0.75, 0.66]")
        return self
