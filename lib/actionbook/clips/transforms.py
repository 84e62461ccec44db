"""Spatial transforms: frames, uint8 (H, W, C), to clips, float32 (C, T, H, W); C is 3 for RGB and 2 for flow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from actionbook.core.errors import BookError
from actionbook.core.transforms import Transforms


@dataclass(frozen=True)
class Crop:
    """A rectangle of a frame, as shares of the frame so that it fits any decoded size, and whether to mirror it."""

    top: float
    left: float
    height: float
    """Share of the height of the largest rectangle of the clip's shape that fits into the frame; of a square clip, of
    the frame's shorter side."""
    width: float
    """Likewise of that rectangle's width."""
    flip: bool

    def place(self, height: int, width: int, transforms: Transforms) -> tuple[int, int, int, int]:
        """(top, left, height, width) in pixels of a frame of this size."""
        most, widest = largest(height, width, transforms)
        rows, columns = max(1, round(most * self.height)), max(1, round(widest * self.width))
        top, left = min(round(self.top * height), height - rows), min(round(self.left * width), width - columns)
        return top, left, rows, columns


def boxed(height: int, width: int, transforms: Transforms) -> tuple[int, int]:
    """(height, width) that a frame of this size is brought to before anything else: of the recipe's ``box``, upright if
    the frame is, unless there is none or the shorter side has the box's length already (kinetics_reader.py and the
    port's dataset.py of StNet, group_scale)."""
    if transforms.box is None or min(height, width) == transforms.box[1]:
        return height, width
    longer, shorter = transforms.box
    return (longer, shorter) if width < height else (shorter, longer)


def largest(height: int, width: int, transforms: Transforms) -> tuple[float, float]:
    """(height, width) of the largest rectangle of the clip's shape that fits into a frame of this size."""
    rows, columns = transforms.height, transforms.width
    if width * rows <= height * columns:
        return width * rows / columns, width
    return height, height * columns / rows


def draw_crop(width: int, height: int, transforms: Transforms, rng: np.random.Generator) -> Crop:
    """One random crop for all frames of a clip (spatial_transforms.py: MultiScaleRandomCrop, MultiScaleCornerCrop).

    A scale is drawn from ``scales``; the rectangle's sides are that share of the largest one that fits. It lies
    anywhere (``random``), in a corner or the middle (``corner``), or in the middle (``center``). For ``tsn`` see
    `_tsn_crop`. All in pixels of the frame as it is stored, or as it is `boxed`.
    """
    shape = boxed(height, width, transforms)
    crop = (_tsn_crop if transforms.crop == "tsn" else _scale_crop)(shape[1], shape[0], transforms, rng)
    if shape == (height, width):
        return crop
    # The same part of the frame, whose own largest rectangle has another share of its sides.
    rows, columns = (most / side for most, side in zip(largest(*shape, transforms), shape, strict=True))
    own = largest(height, width, transforms)
    return replace(crop, height=crop.height * rows * height / own[0], width=crop.width * columns * width / own[1])


def _scale_crop(width: int, height: int, transforms: Transforms, rng: np.random.Generator) -> Crop:
    scale = transforms.scales[int(rng.integers(len(transforms.scales)))]
    rows, columns = (int(n * scale) for n in largest(height, width, transforms))
    room_x, room_y = width - columns, height - rows
    left: float
    top: float
    if transforms.crop == "random":
        left, top = rng.integers(room_x, endpoint=True), rng.integers(room_y, endpoint=True)
    elif transforms.crop == "corner":
        places = [(0, 0), (room_x, 0), (0, room_y), (room_x, room_y), (room_x / 2, room_y / 2)]
        left, top = places[int(rng.integers(len(places)))]
    else:
        left, top = room_x / 2, room_y / 2
    return Crop(float(top / height), float(left / width), scale, scale, bool(rng.random() < transforms.flip))


_TSN_PLACES = [
    *[(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)],  # corners and middle of the frame
    *[(0, 2), (4, 2), (2, 4), (2, 0)],  # middles of its edges: left, right, below, above
    *[(1, 1), (3, 1), (1, 3), (3, 3)],  # quarter points
]
"""Steps to the right and down, in the original's order (fill_fix_offset)."""


def _tsn_crop(width: int, height: int, transforms: Transforms, rng: np.random.Generator) -> Crop:
    """The crop of TSN (Wang et al., ECCV 2016), which ECO's programs share (transforms.py, GroupMultiScaleCrop).

    Sides are the whole pixels of ``scales`` times the frame's shorter side. One that differs from the clip's size by
    less than 3 is that size, if the frame has it (the original then cuts beyond the frame). Width and height are drawn
    together, from the pairs that lie next to each other in ``scales`` or are equal; then one of 13 places, in steps of
    a quarter of what the crop leaves over, rounded down.
    """
    base, size = min(width, height), transforms.height
    sides = [max(1, int(base * scale)) for scale in transforms.scales]
    sides = [size if abs(side - size) < 3 and size <= base else side for side in sides]
    pairs = [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    columns, rows = pairs[int(rng.integers(len(pairs)))]
    right, down = _TSN_PLACES[int(rng.integers(len(_TSN_PLACES)))]
    left, top = right * ((width - columns) // 4), down * ((height - rows) // 4)
    return Crop(top / height, left / width, rows / base, columns / base, bool(rng.random() < transforms.flip))


def decoded_side(crop: Crop, width: int, height: int, transforms: Transforms) -> int:
    """The shorter side that a frame of this size must keep so that the crop has at least the clip's pixels."""
    rows, _ = largest(height, width, transforms)
    return math.ceil(transforms.height / min(crop.height, crop.width) * (min(width, height) / rows))


def train_clip(frames: Iterable[np.ndarray], crop: Crop, transforms: Transforms, length: int) -> np.ndarray:
    """Crop, mirror, resize and normalise: `length` frames -> float32 (C, T, H, W).

    The mirror image of flow also swaps right and left: its first channel, v, becomes 255 - v.
    Each frame is finished before the next is asked for, so an iterator may give all of them in one buffer.
    """
    shape = (transforms.height, transforms.width)
    out = np.empty((transforms.channels, length, *shape), np.float32)
    for t, frame in enumerate(frames):
        top, left, rows, columns = crop.place(frame.shape[0], frame.shape[1], transforms)
        part = frame[top : top + rows, left : left + columns]
        # Averaging only where at least two pixels become one; bilinear is faster and as good below that.
        method = cv2.INTER_AREA if rows >= 2 * shape[0] else cv2.INTER_LINEAR
        part = cv2.resize(part, (shape[1], shape[0]), interpolation=method)
        normalise_into(out[:, t], mirrored(part, transforms.modality) if crop.flip else part, transforms)
    return out


def train_boxes(boxes: np.ndarray, crop: Crop, height: int, width: int, transforms: Transforms) -> np.ndarray:
    """Boxes (n, 4) of x1, y1, x2, y2 as shares of a frame of this size -> in pixels of the training clip, cut off."""
    top, left, rows, columns = crop.place(height, width, transforms)
    scale = np.array([transforms.width / columns, transforms.height / rows] * 2)
    found = (boxes * [width, height, width, height] - [left, top, left, top]) * scale
    if crop.flip:
        found = found[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [transforms.width, 0, transforms.width, 0]
    return _inside(found, transforms)


def scaled_size(height: int, width: int, transforms: Transforms) -> tuple[int, int]:
    """(height, width) that a test frame of this size is scaled to before the crop.

    The shorter side becomes ``short_side``, the other follows, rounded down as in the original; without a short side
    the frame is as small as the crop allows. If the aspect is not kept, both sides become ``short_side``, or those of
    the clip; with a box, see `boxed`. Raises BookError where the crop does not fit into it.
    """
    least = min(height, width)
    smallest = max(-(-least * transforms.height // height), -(-least * transforms.width // width))  # rounded up
    short, size = transforms.short_side or smallest, (height, width)
    if transforms.box is not None:
        size = boxed(height, width, transforms)
    elif not transforms.keep_aspect:
        size = (transforms.short_side or transforms.height, transforms.short_side or transforms.width)
    elif least != short:
        size = (int(short * height / width), short) if width <= height else (short, int(short * width / height))
    if size[0] < transforms.height or size[1] < transforms.width:
        raise BookError(
            f"a frame of {width} x {height} pixels becomes {size[1]} x {size[0]}, the clip is {transforms.width} x "
            f"{transforms.height}: make transforms.{'box' if transforms.box else 'short_side'} larger"
        )
    return size


def tested_clip(frames: Sequence[np.ndarray], transforms: Transforms) -> np.ndarray:
    """The authors' test transform: scale the short side, centre crop, normalise -> float32 (C, T, H, W).

    Pillow's bilinear filter (which averages when it shrinks) and Python's rounding to even, as the original
    (spatial_transforms.py: Scale, CornerCrop 'c', ToTensor(1), Normalize); checked against its golden outputs.
    Displacements of flow are left as they are: the recipe's means and scales belong to flow of the stored size.
    """
    shape = (transforms.height, transforms.width)
    out = np.empty((transforms.channels, len(frames), *shape), np.float32)
    for t, frame in enumerate(frames):
        height, width = scaled_size(frame.shape[0], frame.shape[1], transforms)
        scaled = frame if (height, width) == frame.shape[:2] else _resized(frame, (width, height))
        top, left = _centre(height, width, transforms)
        normalise_into(out[:, t], scaled[top : top + shape[0], left : left + shape[1]], transforms)
    return out


def tested_boxes(boxes: np.ndarray, height: int, width: int, transforms: Transforms) -> np.ndarray:
    """Boxes (n, 4) as shares of a frame of this size -> in pixels of the tested clip, cut off at its edges."""
    height, width = scaled_size(height, width, transforms)
    top, left = _centre(height, width, transforms)
    return _inside(boxes * [width, height, width, height] - [left, top, left, top], transforms)


def _centre(height: int, width: int, transforms: Transforms) -> tuple[int, int]:
    return round((height - transforms.height) / 2), round((width - transforms.width) / 2)


def _inside(boxes: np.ndarray, transforms: Transforms) -> np.ndarray:
    return np.clip(boxes, 0, [transforms.width, transforms.height] * 2).astype(np.float32)


def _resized(frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pillow's bilinear filter; Pillow has no images of two channels, so those go one by one."""
    parts = [frame] if frame.shape[2] == 3 else [frame[:, :, c] for c in range(frame.shape[2])]
    done = [np.asarray(Image.fromarray(part).resize(shape, Image.Resampling.BILINEAR)) for part in parts]
    return done[0] if len(done) == 1 else np.stack(done, axis=2)


def mirrored(pixels: np.ndarray, modality: str) -> np.ndarray:
    """Left and right exchanged, in flow also the direction to the right; 128, which is zero, becomes 127."""
    mirror = pixels[:, ::-1]
    if modality == "flow":
        mirror = mirror.copy()
        np.subtract(255, mirror[:, :, 0], out=mirror[:, :, 0])
    return mirror


def normalise_into(out: np.ndarray, pixels: np.ndarray, transforms: Transforms) -> None:
    """(H, W, C) uint8 in the frame's order -> (C, H, W) float32 in the clip's: (x - mean) / std, written in place."""
    if transforms.channel_order == "bgr":
        pixels = pixels[:, :, ::-1]
    for channel in range(len(out)):
        np.subtract(pixels[:, :, channel], np.float32(transforms.mean[channel]), out=out[channel])
        if transforms.std[channel] != 1:
            out[channel] /= np.float32(transforms.std[channel])


def to_pixels(clip: np.ndarray, transforms: Transforms) -> np.ndarray:
    """Undo the normalisation for pictures: float32 (C, T, H, W) -> uint8 (T, H, W, C), colours as RGB."""
    scale = np.array(transforms.std, np.float32).reshape(-1, 1, 1, 1)
    shift = np.array(transforms.mean, np.float32).reshape(-1, 1, 1, 1)
    pixels = np.rint(clip * scale + shift).clip(0, 255).astype(np.uint8)
    return (pixels[::-1] if transforms.channel_order == "bgr" else pixels).transpose(1, 2, 3, 0)
