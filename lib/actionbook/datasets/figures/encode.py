"""Writing frames as a video file, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import av
from av.codec.context import Flags
from av.video.stream import VideoStream

from actionbook.core.files import atomic_path
from actionbook.datasets.figures.canvas import Image

_RATE = 25  # frames a second
RATES = {".mp4": _RATE, ".mkv": 24, ".webm": 30}
"""Frames a second of what `write_by_suffix` writes."""


def write_avi(path: Path, frames: Iterable[Image], *, width: int, height: int, quantiser: int = 4) -> None:
    """Write RGB uint8 `frames` `(H, W, 3)` to `path` as MPEG-4 part 2 in AVI with the tag XVID, as UCF101 has it.

    `quantiser` 2 (finest) to 31. One thread and no time stamps or versions in the file: equal frames give equal bytes
    with the same FFmpeg libraries. The file appears only when it is complete.
    """
    # A fixed quantiser, not a bit rate, so that quality does not vary with how much moves.
    options = {"qmin": str(quantiser), "qmax": str(quantiser), "g": "12"}
    _write(path, frames, (width, height), ("avi", "mpeg4", "XVID"), options)


def write_mp4(path: Path, frames: Iterable[Image], *, width: int, height: int) -> None:
    """Write RGB uint8 `frames` `(H, W, 3)` to `path` as H.264 in MP4, as Kinetics' videos have it; see `write_avi`."""
    options = {"preset": "veryfast", "qp": "20", "g": "12", "bf": "0"}
    _write(path, frames, (width, height), ("mp4", "libx264", ""), options)


def write_by_suffix(path: Path, frames: Iterable[Image], *, width: int, height: int) -> None:
    """Write RGB uint8 `frames` `(H, W, 3)` as a container of video sites, at the rate of `RATES`; see `write_avi`."""
    if path.suffix == ".webm":
        # VP8 takes a range of quantisers. Not "realtime": that encoder's effort follows the clock, and so would bytes.
        options = {"qmin": "8", "qmax": "24", "b": "1M", "g": "30", "deadline": "good", "cpu-used": "4"}
        _write(path, frames, (width, height), ("webm", "libvpx", ""), options, rate=RATES[".webm"])
        return
    form = {".mp4": "mp4", ".mkv": "matroska"}[path.suffix]
    options = {"preset": "veryfast", "qp": "23", "g": "50", "bf": "0"}
    _write(path, frames, (width, height), (form, "libx264", ""), options, rate=RATES[path.suffix])


def _write(
    path: Path,
    frames: Iterable[Image],
    size: tuple[int, int],
    kind: tuple[str, str, str],
    options: dict[str, str],
    *,
    rate: int = _RATE,
) -> None:
    """`kind`: container, codec, and the codec's tag if it is to be another than FFmpeg's."""
    form, codec, tag = kind
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format=form, container_options={"fflags": "+bitexact"}) as container,
    ):
        stream = cast(VideoStream, container.add_stream(codec, rate=rate))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = *size, "yuv420p"
        if tag:
            context.codec_tag = tag
        context.thread_count = 1
        context.flags |= Flags.bitexact
        context.options = options
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
