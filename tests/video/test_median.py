"""The compiled median gives OpenCV's numbers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from actionbook.video.median import median5


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 50), (50, 4), (16, 17), (37, 83)])
@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_medians_are_opencvs(shape: tuple[int, int], levels: int) -> None:
    rng = np.random.default_rng(levels)
    for _ in range(5):
        image = (rng.integers(0, levels, shape) - levels // 3).astype(np.float32)
        kept, found = image.copy(), np.full(shape, np.nan, np.float32)
        median5(image, np.empty((5, shape[1] + 4), np.float32), found)
        np.testing.assert_array_equal(found, cv2.medianBlur(image, 5))
        np.testing.assert_array_equal(image, kept)


def test_medians_of_every_number_of_ones() -> None:
    """By the 0-1 principle a network of exchanges that is right for these is right for all numbers."""
    rng = np.random.default_rng(0)
    for ones in range(26):
        for _ in range(8):
            image = rng.permutation((np.arange(25) < ones).astype(np.float32)).reshape(5, 5)
            found = np.empty_like(image)
            median5(image, np.empty((5, 9), np.float32), found)
            assert found[2, 2] == (ones >= 13)
