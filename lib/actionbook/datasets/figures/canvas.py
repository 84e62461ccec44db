"""Drawing in units of the picture, not in pixels, with sub-pixel accuracy.

Everything is drawn on a canvas of twice the wanted size and averaged down at the end, which smooths all edges at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
Point = tuple[float, float]
Disc = tuple[float, float, float]
Image = npt.NDArray[np.uint8]

VIEW_HEIGHT = 240.0
"""Height of every view in units; the width follows from the aspect ratio of the frames."""

SUPERSAMPLING = 2
_SHIFT = 4
_FINE = 1 << _SHIFT
_TURN = np.linspace(0.0, 2.0 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (`factor` below 1) or lighten towards white (above 1, at most 2) an RGB colour."""
    if factor <= 1.0:
        red, green, blue = (round(channel * factor) for channel in colour)
    else:
        red, green, blue = (round(channel + (255 - channel) * (factor - 1.0)) for channel in colour)
    return red, green, blue


@dataclass(frozen=True)
class Canvas:
    """An RGB picture `image` `(H, W, 3)` uint8, drawn on in place, and its place in the world.

    `origin` is the world point (units, y downwards) of the upper left corner; `scale` is pixels per unit.
    """

    image: Image
    scale: float
    origin: Point = (0.0, 0.0)

    def _fixed(self, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        return np.rint((np.asarray(points, np.float64) - self.origin) * (self.scale * _FINE)).astype(np.int32)

    def polygon(self, points: npt.ArrayLike, colour: Colour) -> None:
        """Fill the polygon through `points` `(N, 2)`, convex or not."""
        cv2.fillPoly(self.image, [self._fixed(points)], colour, cv2.LINE_8, _SHIFT)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: npt.ArrayLike, colour: Colour, width: float = 1.0) -> None:
        """Draw an open line through `points` `(N, 2)`, `width` units wide."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.image, [self._fixed(points)], False, colour, thickness, cv2.LINE_8, _SHIFT)

    def blob(self, discs: Sequence[Disc], colour: Colour, grow: float = 0.0) -> None:
        """Fill the convex hull of `discs` (x, y, radius): a dot for one, a tapered limb for two, a torso for more.

        `grow` is added to every radius, for outlines.
        """
        table = np.asarray(discs, np.float64)
        points = self._fixed((table[:, None, :2] + _CIRCLE * (table[:, 2, None, None] + grow)).reshape(-1, 2))
        hull = points if len(table) == 1 else cv2.convexHull(points)
        cv2.fillConvexPoly(self.image, hull, colour, cv2.LINE_8, _SHIFT)

    def darken(self, x: float, y: float, radius_x: float, radius_y: float, strength: float) -> None:
        """Darken softly around (x, y): a shadow on the ground, black at `strength` 1 in its middle."""
        height, width = self.image.shape[:2]
        left, top = self._pixel(x - radius_x, y - radius_y)
        right, bottom = self._pixel(x + radius_x, y + radius_y)
        x0, x1, y0, y1 = max(left, 0), min(right, width), max(top, 0), min(bottom, height)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        across = ((np.arange(x0, x1, dtype=np.float32) - (left + right) / 2) / ((right - left) / 2)) ** 2
        down = ((np.arange(y0, y1, dtype=np.float32) - (top + bottom) / 2) / ((bottom - top) / 2)) ** 2
        light = 1.0 - strength * np.clip(1.0 - across[None] - down[:, None], 0.0, 1.0) ** 0.75
        patch = self.image[y0:y1, x0:x1]
        gain = cv2.merge([light, light, light])
        self.image[y0:y1, x0:x1] = cv2.multiply(patch, gain, dtype=cv2.CV_8U)

    def _pixel(self, x: float, y: float) -> tuple[int, int]:
        return round((x - self.origin[0]) * self.scale), round((y - self.origin[1]) * self.scale)
