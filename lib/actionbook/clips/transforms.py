"""Spatial transforms: frames, uint8 (H, W, C), to clips, float32 (C, T, H, W); C is 3 for RGB and 2 for flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from actionbook.core.recipe import Clips


@dataclass(frozen=True)
class Crop:
    """A square of a frame, as shares of the frame so that it fits any decoded size, and whether to mirror it."""

    top: float
    left: float
    side: float
    """Share of the shorter side."""
    flip: bool


def draw_crop(width: int, height: int, clips: Clips, rng: np.random.Generator) -> Crop:
    """One random crop for all frames of a clip (spatial_transforms.py: MultiScaleRandomCrop, MultiScaleCornerCrop).

    A scale is drawn from ``clips.scales``, the square's side is that share of the frame's shorter side; it lies
    anywhere (``random``), in a corner or the middle (``corner``), or in the middle (``center``).
    """
    scale = clips.scales[int(rng.integers(len(clips.scales)))]
    side = int(min(width, height) * scale)
    room_x, room_y = width - side, height - side
    left: float
    top: float
    if clips.crop == "random":
        left, top = rng.integers(room_x, endpoint=True), rng.integers(room_y, endpoint=True)
    elif clips.crop == "corner":
        places = [(0, 0), (room_x, 0), (0, room_y), (room_x, room_y), (room_x / 2, room_y / 2)]
        left, top = places[int(rng.integers(len(places)))]
    else:
        left, top = room_x / 2, room_y / 2
    return Crop(float(top / height), float(left / width), scale, bool(rng.random() < clips.flip))


def train_clip(frames: Iterable[np.ndarray], crop: Crop, clips: Clips) -> np.ndarray:
    """Crop, mirror, resize and normalise: (T) frames -> float32 (C, T, size, size).

    The mirror image of flow also swaps right and left: its first channel, v, becomes 255 - v.
    Each frame is finished before the next is asked for, so an iterator, of ``clips.frames`` frames, may give all of
    them in one buffer.
    """
    size = clips.size
    length = len(frames) if isinstance(frames, Sequence) else clips.frames
    out = np.empty((clips.channels, length, size, size), np.float32)
    for t, frame in enumerate(frames):
        height, width = frame.shape[:2]
        side = max(1, round(min(width, height) * crop.side))
        top = min(round(crop.top * height), height - side)
        left = min(round(crop.left * width), width - side)
        square = frame[top : top + side, left : left + side]
        # Averaging only where at least two pixels become one; bilinear is faster and as good below that.
        method = cv2.INTER_AREA if side >= 2 * size else cv2.INTER_LINEAR
        square = cv2.resize(square, (size, size), interpolation=method)
        _normalise_into(out[:, t], _mirrored(square, clips.modality) if crop.flip else square, clips)
    return out


def test_clip(frames: Sequence[np.ndarray], clips: Clips) -> np.ndarray:
    """The authors' test transform: scale the short side, centre crop, normalise -> float32 (C, T, size, size).

    Pillow's bilinear filter (which averages when it shrinks) and Python's rounding to even, as the original
    (spatial_transforms.py: Scale, CornerCrop 'c', ToTensor(1), Normalize); checked against its golden outputs.
    Displacements of flow are left as they are: the recipe's means and scales belong to flow of the stored size.
    """
    size, side = clips.size, clips.short_side or clips.size
    out = np.empty((clips.channels, len(frames), size, size), np.float32)
    for t, frame in enumerate(frames):
        height, width = frame.shape[:2]
        if min(width, height) != side:
            shape = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
            frame = _resized(frame, shape)  # noqa: PLW2901
            height, width = frame.shape[:2]
        top, left = round((height - size) / 2), round((width - size) / 2)
        _normalise_into(out[:, t], frame[top : top + size, left : left + size], clips)
    return out


def _resized(frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pillow's bilinear filter; Pillow has no images of two channels, so those go one by one."""
    parts = [frame] if frame.shape[2] == 3 else [frame[:, :, c] for c in range(frame.shape[2])]
    done = [np.asarray(Image.fromarray(part).resize(shape, Image.Resampling.BILINEAR)) for part in parts]
    return done[0] if len(done) == 1 else np.stack(done, axis=2)


def _mirrored(pixels: np.ndarray, modality: str) -> np.ndarray:
    """Left and right exchanged, in flow also the direction to the right; 128, which is zero, becomes 127."""
    mirror = pixels[:, ::-1]
    if modality == "flow":
        mirror = mirror.copy()
        np.subtract(255, mirror[:, :, 0], out=mirror[:, :, 0])
    return mirror


def _normalise_into(out: np.ndarray, pixels: np.ndarray, clips: Clips) -> None:
    """(size, size, C) uint8 -> (C, size, size) float32: (x - mean) / std per channel, written in place."""
    for channel in range(len(out)):
        np.subtract(pixels[:, :, channel], np.float32(clips.mean[channel]), out=out[channel])
        if clips.std[channel] != 1:
            out[channel] /= np.float32(clips.std[channel])


def to_pixels(clip: np.ndarray, clips: Clips) -> np.ndarray:
    """Undo the normalisation for pictures: float32 (C, T, H, W) -> uint8 (T, H, W, C)."""
    scale = np.array(clips.std, np.float32).reshape(-1, 1, 1, 1)
    shift = np.array(clips.mean, np.float32).reshape(-1, 1, 1, 1)
    return np.rint(clip * scale + shift).clip(0, 255).astype(np.uint8).transpose(1, 2, 3, 0)
