"""From decoded video frames to JPEGs, without leaving YUV where the video allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import simplejpeg
from av.video.reformatter import ColorRange, Colorspace

from actionbook.core.keyframes import Cut
from actionbook.video.decode import iterate
from actionbook.video.orientation import UPRIGHT, Orientation, orientation
from actionbook.video.resample import resampled

# Video levels (16..235 luma, 16..240 chroma) to the full range that JPEG stores (JFIF 1.02; ITU-R BT.601).
_LUMA = np.clip(np.rint((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)
_CHROMA = np.clip(np.rint((np.arange(256) - 128) * 255 / 224 + 128), 0, 255).astype(np.uint8)
_BT601 = {Colorspace.ITU601.value, Colorspace.SMPTE170M.value, 2}  # 2: not stated, which FFmpeg takes as BT.601
_MAX_REMARKS = 5  # a broken stream may change its size at every frame


@dataclass
class Seen:
    """What was noticed while a video was decoded."""

    remarks: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """Seconds at which each frame is shown, where the file says."""
    still: int = 0
    """Of a cut, the most pictures in a row that are one frame; 0 where none comes twice."""
    still_from: int = 0
    """Number of the first of them."""

    @property
    def end(self) -> float:
        """Seconds at which the last frame begins; 0 where that is not known."""
        return self.times[-1] if self.times else 0.0


def scaled_size(width: int, height: int, pixels: int | None, side: str = "height") -> tuple[int, int]:
    """(width, height) after scaling the height, or with side "short" the shorter side, to so many pixels.

    With None they stay. The other side is rounded to nearest, as FFmpeg's scale=-1:h and scale=w:-1 do.
    """
    if pixels is None:
        return width, height
    if side == "short" and width < height:
        return pixels, max(1, (height * pixels * 2 + width) // (2 * width))
    return max(1, (width * pixels * 2 + height) // (2 * height)), pixels


def jpegs(
    path: Path | str,
    pixels: int | None,
    quality: int,
    side: str = "height",
    seen: Seen | None = None,
    *,
    cut: Cut | None = None,
) -> Iterator[bytes]:
    """Every frame of a video as JPEG (4:2:0), its height (or shorter side) scaled to `pixels`; its shape is kept.

    Each frame that was decoded comes once, in display order: a variable rate is not made constant (see `decode`). Of a
    `cut` each comes as often as a constant rate shows it (see `resample`), and is compressed once.
    Frames with a rotation flag are turned, without loss, before they are scaled. Where the size changes in the middle,
    later frames get the size of the first. `seen` gets what was odd.

    8-bit 4:2:0 video in BT.601 colours, which is nearly all of it, goes from plane to plane: each is scaled, brought
    to full range and compressed, never converted to RGB and back. Other formats and odd heights go through RGB.
    Raises VideoError where decoding breaks, and where the video ends before the cut begins.
    """
    seen = Seen() if seen is None else seen
    first, size, turn, rotation = (0, 0), (0, 0), UPRIGHT, 0
    before: av.VideoFrame | None = None
    jpeg, since = b"", 0
    for index, frame in enumerate(iterate(path) if cut is None else resampled(path, cut)):
        if frame is before:
            if index - since >= seen.still:
                seen.still, seen.still_from = index - since + 1, since
            yield jpeg
            continue
        before, since = frame, index
        if index == 0 or frame.rotation != rotation:  # asking each frame for its whole matrix takes a twentieth longer
            turn, rotation = orientation(frame), frame.rotation
        shown = turn.size(frame.width, frame.height)
        if index == 0:
            first, size = shown, scaled_size(*shown, pixels, side)
            seen.remarks.extend(filter(None, [turn.words()]))
        elif shown != first and len(seen.remarks) < _MAX_REMARKS:
            change = f"the size changes from {first[0]}x{first[1]} to {shown[0]}x{shown[1]} at frame {index}"
            seen.remarks.append(f"{change}, stored at one size")
            first = shown
        if (time := frame.time) is not None:
            seen.times.append(time)
        if size[1] % 2 == 0 and frame.format.name in {"yuv420p", "yuvj420p"} and frame.colorspace in _BT601:
            jpeg = _encode_planes(frame, turn, size, quality)
        else:
            jpeg = _encode_rgb(frame, turn, size, quality)
        yield jpeg


def _encode_planes(frame: av.VideoFrame, turn: Orientation, size: tuple[int, int], quality: int) -> bytes:
    full_range = frame.format.name == "yuvj420p" or frame.color_range == ColorRange.JPEG.value
    half = ((size[0] + 1) // 2, size[1] // 2)
    planes = []
    for plane, new, table in zip(frame.planes, (size, half, half), (_LUMA, _CHROMA, _CHROMA), strict=True):
        rows: np.ndarray = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        pixels = rows[:, : plane.width]
        if turn != UPRIGHT:
            pixels = np.ascontiguousarray(turn.apply(pixels))
        if pixels.shape[::-1] != new:
            pixels = cv2.resize(pixels, new, interpolation=_method(pixels.shape[0], new[1]))
        planes.append(np.ascontiguousarray(pixels) if full_range else cv2.LUT(pixels, table))
    if size[0] % 2:  # libjpeg-turbo reads an odd row of luma to an even length: give it a pixel there, always the same
        planes[0] = np.pad(planes[0], ((0, 0), (0, 1)), mode="edge")[:, :-1]
    return bytes(simplejpeg.encode_jpeg_yuv_planes(*planes, quality=quality))


def _encode_rgb(frame: av.VideoFrame, turn: Orientation, size: tuple[int, int], quality: int) -> bytes:
    pixels: np.ndarray = frame.to_ndarray(format="rgb24")
    if turn != UPRIGHT:
        pixels = np.ascontiguousarray(turn.apply(pixels))
    if pixels.shape[1::-1] != size:
        pixels = cv2.resize(pixels, size, interpolation=_method(pixels.shape[0], size[1]))
    return bytes(simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420"))


def _method(old: int, new: int) -> int:
    """Averaging where pixels are lost, so that fine patterns do not flicker; bilinear where they are made up."""
    return cv2.INTER_AREA if new < old else cv2.INTER_LINEAR
