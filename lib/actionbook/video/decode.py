"""Probing and decoding videos by frame index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import av.logging
import numpy as np

from actionbook.core.errors import BookError

av.logging.set_level(None)  # FFmpeg's words reach the user through the exceptions, not through stderr


class VideoError(BookError):
    """A video file cannot be read; the message holds FFmpeg's own words."""


@dataclass(frozen=True)
class Probe:
    """What a video file says of itself, without decoding it."""

    codec: str
    width: int
    height: int
    fps: float
    frames: int
    """Frames by the container's header; 0 where it does not say. Only decoding tells the truth."""
    seconds: float


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a video's first video stream, decoded by one thread (videos are spread over workers instead).

    Raises VideoError if the file is missing, empty, not a video, or has no video stream.
    """
    path = Path(path)
    try:
        container = av.open(str(path), mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be opened as a video ({_words(error)}); fetch the file again") from error
    with container:
        if not container.streams.video:
            raise VideoError(f"{path}: has no video stream")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        yield container, stream


def probe(path: Path | str) -> Probe:
    """Read a video's header. Raises VideoError."""
    with opened(path) as (container, stream):
        fps = stream.average_rate or Fraction(0)
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if not seconds and container.duration:
            seconds = container.duration / av.time_base
        context = stream.codec_context
        return Probe(context.name, context.width, context.height, float(fps), stream.frames, seconds)


def iterate(path: Path | str) -> Iterator[av.VideoFrame]:
    """Decode every frame in display order. Raises VideoError where decoding breaks, never skips silently."""
    with opened(path) as (container, stream):
        try:
            yield from container.decode(stream)
        except av.error.FFmpegError as error:
            raise VideoError(f"{path}: decoding failed ({_words(error)})") from error


def read_frames(path: Path | str, indices: Iterable[int]) -> np.ndarray:
    """Frames by index (from 0, in any order, repeats allowed) as uint8 RGB (T, H, W, 3), 0..255.

    The video is decoded from the start up to the largest index: correct for every codec, and slow for a late
    frame; prepared data sets use the frame store instead. Raises VideoError if an index lies beyond the end.
    """
    wanted = list(indices)
    if not wanted or min(wanted) < 0:
        raise ValueError(f"frame indices must be 0 or more, and at least one, found {wanted}")
    last, kept, count = max(wanted), {}, 0
    for index, frame in enumerate(iterate(path)):
        count = index + 1
        if index in wanted:
            kept[index] = frame.to_ndarray(format="rgb24")
        if index == last:
            break
    if count <= last:
        raise VideoError(f"{path}: frame {last} was asked for, the video has {count} frames (counted from 0)")
    return np.stack([kept[index] for index in wanted])


def _words(error: BaseException) -> str:
    """FFmpeg's (or the system's) own message, without the file name that we add ourselves."""
    return getattr(error, "strerror", None) or str(error)
