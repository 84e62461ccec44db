"""Generated videos that are about as much work for decoders as filmed ones: drawn scenes have flat areas, these none.

Their frames are JPEGs of about 27 KiB in the book's store, those of filmed clips 23 to 33.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from actionbook.core.files import atomic_path

WIDTH, HEIGHT = 340, 256  # what the field stores Kinetics in
VERSION = 1  # of what follows: part of the files' names, which outlive a run
# Key frames are as far apart as in the videos of the large data sets: YouTube sets one every few seconds.
OPTIONS = {"preset": "veryfast", "crf": "18", "g": "60"}
GRAIN = 2.0  # standard deviation, in grey levels, of what no other frame has
MARGIN = 160  # pixels that the picture may wander in either direction


def write_textured(path: Path, length: int, seed: int) -> None:
    """Write `length` frames of 340 x 256 pixels as H.264 in MP4, 25 a second. The file appears once it is complete."""
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in textured(length, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def textured(length: int, seed: int) -> Iterator[np.ndarray]:
    """Frames, uint8 RGB (256, 340, 3): a coloured texture that wanders below the frame, with grain."""
    rng = np.random.default_rng(seed)
    size = (WIDTH + MARGIN, HEIGHT + MARGIN)
    field = np.full((size[1], size[0], 3), 128, np.float32)
    for cell in (128, 64, 32, 16, 8, 4, 2):  # pixels; larger structures have the stronger contrast, as in photographs
        coarse = rng.standard_normal((size[1] // cell + 1, size[0] // cell + 1, 3)).astype(np.float32)
        field += 3.0 * cell**0.4 * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    phase, speed = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.01, 0.03, 2)
    for t in range(length):
        x, y = ((1 + np.sin(phase + speed * t)) / 2 * (MARGIN - 1)).astype(int)
        grain = GRAIN * rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32)
        yield np.clip(field[y : y + HEIGHT, x : x + WIDTH] + grain, 0, 255).astype(np.uint8)
