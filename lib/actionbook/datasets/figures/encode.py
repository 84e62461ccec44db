"""Writing frames as a video file, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av.codec.context import Flags
from av.video.stream import VideoStream

from actionbook.core.files import atomic_path
from actionbook.datasets.figures.canvas import Image


@dataclass(frozen=True)
class _Codec:
    container: str
    name: str
    options: dict[str, str]
    tag: str = ""


def write_avi(
    path: Path, frames: Iterable[Image], *, width: int, height: int, rate: int = 25, quantiser: int = 4
) -> None:
    """Write RGB uint8 `frames` `(H, W, 3)` to `path` as MPEG-4 part 2 in AVI with the tag XVID, as UCF101 has it.

    `quantiser` 2 (finest) to 31. One thread and no time stamps or versions in the file: equal frames give equal bytes
    with the same FFmpeg libraries. The file appears only when it is complete.
    """
    # A fixed quantiser, not a bit rate, so that quality does not vary with how much moves.
    options = {"qmin": str(quantiser), "qmax": str(quantiser), "g": "12"}
    _write(path, frames, _Codec("avi", "mpeg4", options, "XVID"), (width, height), rate)


def write_mp4(
    path: Path, frames: Iterable[Image], *, width: int, height: int, rate: int = 25, quantiser: int = 20
) -> None:
    """Write RGB uint8 `frames` `(H, W, 3)` to `path` as H.264 in MP4, as Kinetics' videos have it.

    `quantiser` 1 (finest) to 51. Otherwise as `write_avi`.
    """
    options = {"preset": "veryfast", "qp": str(quantiser), "g": "12", "bf": "0"}
    _write(path, frames, _Codec("mp4", "libx264", options), (width, height), rate)


def _write(path: Path, frames: Iterable[Image], codec: _Codec, size: tuple[int, int], rate: int) -> None:
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format=codec.container, container_options={"fflags": "+bitexact"}) as container,
    ):
        stream = cast(VideoStream, container.add_stream(codec.name, rate=rate))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = *size, "yuv420p"
        if codec.tag:
            context.codec_tag = codec.tag
        context.thread_count = 1
        context.flags |= Flags.bitexact
        context.options = codec.options
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
