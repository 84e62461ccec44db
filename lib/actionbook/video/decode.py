"""Probing and decoding videos by frame index.

Each frame that a video holds is decoded once, in display order, whatever the time between two of them. The FFmpeg
command of the original scripts makes the rate constant instead, by repeating and leaving out frames: of a video with a
variable rate (and only of such) it makes another number of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import av.logging
import numpy as np
from av.stream import Disposition

from actionbook.core.errors import BookError
from actionbook.video.orientation import orientation

av.logging.set_level(None)  # FFmpeg's words reach the user through the exceptions, not through stderr
av.logging.set_skip_repeated(False)  # or one file's complaint would be counted in the next one's

_LISTS = {"concat", "dash", "hls", "image2", "imf", "sdp", "webm_dash_manifest"}
"""FFmpeg's names of formats that are lists of other files: text that would make it read what nobody named."""


class VideoError(BookError):
    """A video file cannot be read; the message holds FFmpeg's own words."""


@dataclass(frozen=True)
class Probe:
    """What a video file says of itself."""

    codec: str
    width: int
    height: int
    fps: float
    """Frames per second; on average where the rate varies."""
    frames: int
    """Frames by the container's header, less what its edit list leaves out; 0 where it does not say. Often off by a
    few: only decoding tells the truth."""
    seconds: float
    file_seconds: float
    """Of the longest stream, such as the sound; 0 where the container does not say."""


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a video's first video stream, decoded by one thread (videos are spread over workers instead).

    The file is a local one whatever its name looks like (``http:…``, ``%05d``, a leading ``-``), and nothing else is
    read. Raises VideoError if the file is missing, empty, not a video, or has no video stream (a cover picture is
    none).
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise VideoError(f"{path}: is not a file; FFmpeg would wait for it for ever")
    try:
        container = _open(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        words = _words(error, path)
        if path.is_symlink() and not path.exists():
            words += f"; it is a link to {path.readlink()}"
        raise VideoError(f"{path}: cannot be opened as a video ({words}); fetch the file again") from error
    with container:
        if container.format.name in _LISTS:
            raise VideoError(f"{path}: is a list of other files ({container.format.name}), expected a video")
        moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not moving:
            cover = ", only a cover picture" if container.streams.video else ""
            raise VideoError(f"{path}: has no video stream{cover}")
        # Streams without a decoder have no context.
        if getattr(moving[0], "codec_context", None) is None:
            raise VideoError(f"{path}: FFmpeg has no decoder for its video stream")
        moving[0].codec_context.thread_count = 1
        yield container, moving[0]


def header(path: Path | str) -> Probe:
    """Read a video's header; width and height are those of the coded frames. Raises VideoError."""
    with opened(path) as (container, stream):
        fps = stream.average_rate or Fraction(0)
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        frames = stream.frames
        if container.format.name.startswith("mov") and seconds and seconds * fps < frames - 2:
            frames = round(seconds * fps)  # the duration knows of the edit list, the count does not
        file_seconds = (container.duration or 0) / av.time_base
        context, seconds = stream.codec_context, seconds or file_seconds
        return Probe(context.name, context.width, context.height, float(fps), frames, seconds, file_seconds)


def probe(path: Path | str) -> Probe:
    """Read a video's header; width and height are as shown, after the turn that a rotation flag asks for.

    That flag comes with the first frame, the only one that is decoded. Raises VideoError.
    """
    found = header(path)
    with suppress(VideoError, StopIteration):  # a header is worth showing even if nothing follows it
        first = next(iterate(path))
        width, height = orientation(first).size(found.width, found.height)
        return replace(found, width=width, height=height)
    return found


def iterate(path: Path | str) -> Iterator[av.VideoFrame]:
    """Decode every frame once, in display order, as coded (see `orientation` for how it is to be shown).

    Raises VideoError where decoding breaks, never skips silently.
    """
    with opened(path) as (container, stream):
        try:
            yield from container.decode(stream)
        except av.error.FFmpegError as error:
            raise VideoError(f"{path}: decoding failed ({_words(error)})") from error


def shown_pixels(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as uint8 RGB (H, W, 3), 0..255, the right way up."""
    return orientation(frame).apply(frame.to_ndarray(format="rgb24"))


def read_frames(path: Path | str, indices: Iterable[int]) -> np.ndarray:
    """Frames by index (from 0, in any order, repeats allowed) as uint8 RGB (T, H, W, 3), 0..255, as shown.

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
            kept[index] = shown_pixels(frame)
        if index == last:
            break
    if count <= last:
        raise VideoError(f"{path}: frame {last} was asked for, the video has {count} frames (counted from 0)")
    if len({pixels.shape for pixels in kept.values()}) > 1:
        raise VideoError(
            f"{path}: the size changes between the frames asked for; prepare it, which makes them one size"
        )
    return np.stack([kept[index] for index in wanted])


def _open(path: Path) -> av.container.InputContainer:
    # Without "file:" a name may be taken for an address or an option; without the list a playlist may open one.
    options = {"protocol_whitelist": "file"}
    return av.open(f"file:{path}", mode="r", metadata_errors="replace", options=options)


def _words(error: BaseException, path: Path | None = None) -> str:
    """FFmpeg's (or the system's) own message, without the file name that we add ourselves.

    A file that could not be opened is tried once more to hear what FFmpeg logs of it, which says more.
    """
    words = getattr(error, "strerror", None) or str(error)
    if path is None or not isinstance(error, av.error.InvalidDataError):
        return words
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logs, suppress(av.error.FFmpegError, OSError, ValueError):
            _open(path).close()
    finally:
        av.logging.set_level(None)
    return ": ".join([words, *dict.fromkeys(message.strip() for _, _, message in logs)])
