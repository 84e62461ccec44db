"""Writing frames as a video file, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
from av.codec.context import Flags

from actionbook.core.files import atomic_path
from actionbook.datasets.figures.canvas import Image


def write_avi(
    path: Path, frames: Iterable[Image], *, width: int, height: int, rate: int = 25, quantiser: int = 4
) -> None:
    """Write RGB uint8 `frames` `(H, W, 3)` to `path` as MPEG-4 part 2 in AVI with the tag XVID, as UCF101 has it.

    `quantiser` 2 (finest) to 31. One thread and no time stamps or versions in the file: equal frames give equal bytes
    with the same FFmpeg libraries. The file appears only when it is complete.
    """
    with atomic_path(path) as temporary:
        options = {"fflags": "+bitexact"}
        with av.open(str(temporary), "w", format="avi", container_options=options) as container:
            stream = container.add_stream("mpeg4", rate=rate)
            context = stream.codec_context
            context.width, context.height, context.pix_fmt = width, height, "yuv420p"
            context.codec_tag = "XVID"
            context.thread_count = 1
            context.flags |= Flags.bitexact
            # A fixed quantiser, not a bit rate, so that quality does not vary with how much moves.
            context.options = {"qmin": str(quantiser), "qmax": str(quantiser), "g": "12"}
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
