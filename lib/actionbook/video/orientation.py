"""Which way up a decoded frame is to be shown: the display matrix that cameras write instead of turning pixels.

FFmpeg's command line and OpenCV turn such frames, PyAV hands them out as they are coded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import av
import numpy as np

_WHOLE = 1 << 16  # the matrix holds fixed-point numbers with 16 binary digits


@dataclass(frozen=True)
class Orientation:
    """How coded pixels become shown ones: rows and columns are swapped first, then what is to be mirrored is."""

    swapped: bool = False
    mirrored: bool = False
    """Left and right change places."""
    upended: bool = False
    """Top and bottom change places."""
    skew: bool = False
    """The matrix asks for more than quarter turns and mirrors; the pixels are then left as coded."""

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels`, (H, W) or (H, W, C), the right way up: a view, no value is changed."""
        if self.swapped:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.upended else 1, :: -1 if self.mirrored else 1]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) as shown."""
        return (height, width) if self.swapped else (width, height)

    def words(self) -> str:
        """What was done, for the reader; empty if nothing."""
        if self.skew:
            return "its display matrix asks for more than quarter turns, left as coded"
        quarter: dict[tuple[bool, bool, bool], str] = {
            (False, False, False): "",
            (True, True, False): "turned by 90 degrees clockwise by its rotation flag",
            (False, True, True): "turned by 180 degrees by its rotation flag",
            (True, False, True): "turned by 90 degrees anticlockwise by its rotation flag",
            (False, True, False): "mirrored by its display matrix",
            (False, False, True): "turned upside down by its display matrix",
        }
        return quarter.get((self.swapped, self.mirrored, self.upended), "turned and mirrored by its display matrix")


UPRIGHT = Orientation()


def orientation(frame: av.VideoFrame) -> Orientation:
    """How `frame` is to be shown, by its display matrix; `UPRIGHT` where it has none.

    The matrix (ISO/IEC 14496-12, 8.3.2) sends the coded point (x, y) to (a x + c y, b x + d y).
    """
    try:
        matrix = frame.side_data["DISPLAYMATRIX"]  # type: ignore[typeddict-item]
    except KeyError:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", memoryview(matrix))
    if (b, c) == (0, 0) and {abs(a), abs(d)} == {_WHOLE}:
        return Orientation(mirrored=a < 0, upended=d < 0)
    if (a, d) == (0, 0) and {abs(b), abs(c)} == {_WHOLE}:
        return Orientation(swapped=True, mirrored=c < 0, upended=b < 0)
    return Orientation(skew=True)
