"""Frames of videos as they are shown: with a title, and with the numbers that they have in their video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Strip(NamedTuple):
    """Some frames of one video; `results.film` sets them side by side, `results.loops` plays them."""

    title: str
    frames: np.ndarray
    """uint8 (T, H, W, 3), RGB."""
    numbers: Sequence[int] | None = None
    """Of the frames in their video, counted from 1, as the files of a frame store are; None: they mean nothing here."""


Row = Strip | tuple[str, np.ndarray] | tuple[str, np.ndarray, Sequence[int]]
"""A strip, or its fields in a plain tuple."""


def checked(rows: Iterable[Row]) -> list[Strip]:
    """`rows` as strips. Raises ValueError for frames of another shape or type, and for another number of numbers."""
    strips = [Strip(*row) for row in rows]
    for title, frames, numbers in strips:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(f"{title!r}: expected uint8 (T, H, W, 3), found {frames.dtype} {frames.shape}")
        if numbers is not None and len(numbers) != len(frames):
            raise ValueError(f"{title!r}: {len(frames)} frames have {len(numbers)} numbers")
    return strips


def counted(frames: Iterable[int]) -> list[int]:
    """Frame numbers as they are shown, from 1, of those that the library counts from 0."""
    return [int(number) + 1 for number in frames]


def spaced(frames: int, count: int) -> list[int]:
    """Numbers, from 0, of at most `count` of so many frames: evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, frames - 1, count).round().astype(int)).tolist()
