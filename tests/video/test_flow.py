"""Flow as 8-bit pixels: exact values, as many flow frames as frames, and a name for what computed them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.core.sections import Flow
from actionbook.video import flow as module
from actionbook.video.flow import (
    ALGORITHMS,
    algorithm_version,
    clamped_share,
    dequantise,
    flow_frames,
    grey,
    quantise,
)
from actionbook.video.tvl1 import FlowError, opencv_tvl1, tvl1


@pytest.mark.parametrize(
    ("pixels", "stored"),
    [
        (0.0, 128),  # 127.5: halves go to the even number
        (-0.0, 128),
        (20.0, 255),
        (-20.0, 0),
        (1000.0, 255),
        (-1000.0, 0),
        (np.inf, 255),
        (-16.0, 26),  # 25.5
        (-8.0, 76),  # 76.5
        (8.0, 178),  # 178.5
        (16.0, 230),  # 229.5
        (1.0, 134),  # 133.875
        (-1.0, 121),  # 121.125
        (0.05, 128),
        (7.3, 174),
    ],
)
def test_exact_values(pixels: float, stored: int) -> None:
    found = quantise(np.full((2, 3, 2), pixels, np.float32), 20.0)
    assert (found.shape, found.dtype) == ((2, 3, 2), np.uint8)
    assert (found == stored).all()


def test_every_number_of_the_original_formula() -> None:
    flow = np.linspace(-21, 21, 200_001).astype(np.float32)
    expected = [min(max(round(level), 0), 255) for level in ((flow + np.float32(20)) * 255.0 / 40.0).tolist()]
    different = quantise(flow, 20.0) != expected
    assert different.sum() <= 4  # halves that float32 cannot tell


@given(st.floats(0.001, 1e4))
def test_no_motion_is_128_whatever_the_bound(bound: float) -> None:
    zero, ends = np.zeros(1, np.float32), np.array([-bound, bound], np.float32)
    assert quantise(zero, bound)[0] == 128
    assert quantise(ends, bound).tolist() == [0, 255]


@pytest.mark.parametrize("bound", [20.0, 7.0, 0.3])
def test_reading_back(bound: float) -> None:
    levels = np.arange(256, dtype=np.uint8)
    restored = dequantise(levels, bound)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, (levels / 255.0 * 2 - 1) * bound, rtol=1e-5, atol=1e-5 * bound)
    assert (restored[0], restored[255], restored[128]) == pytest.approx((-bound, bound, bound / 255))
    np.testing.assert_array_equal(quantise(restored, bound), levels)
    flow = np.random.default_rng(0).uniform(-bound, bound, (50, 40, 2)).astype(np.float32)
    assert np.abs(dequantise(quantise(flow, bound), bound) - flow).max() <= bound / 255 * 1.001


def test_clamped_share_counts_each_displacement() -> None:
    flow = np.zeros((5, 10, 2), np.float32)
    flow[0, 0] = (25, -30)
    flow[0, 1] = (20, 19.9)
    assert clamped_share(flow, 20) == pytest.approx(3 / 100)
    # What is stored does not tell what was at the bound from what was beyond.
    assert clamped_share(dequantise(quantise(flow, 20), 20), 20) == pytest.approx(3 / 100)
    assert clamped_share(np.zeros((0, 4, 2)), 20) == 0


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The first pixels of the images that flow is asked for; that flow is their difference, to the right."""
    seen: list[tuple[int, int]] = []

    def compute(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        seen.append((int(previous[0, 0]), int(current[0, 0])))
        right = current.astype(np.float32) - previous
        return np.stack([right, -right], axis=-1)

    monkeypatch.setitem(module.ALGORITHMS, "tvl1", compute)
    return seen


def test_as_many_flow_frames_as_frames_and_none_for_the_first(pairs: list[tuple[int, int]]) -> None:
    def frames() -> Iterator[np.ndarray]:
        buffer = np.empty((4, 6), np.uint8)
        for level in (10, 12, 9, 60):
            buffer[:] = level
            yield buffer  # the same memory each time

    found = list(flow_frames(frames(), Flow(bound=20)))
    assert pairs == [(10, 12), (12, 9), (9, 60)]  # the first with itself needs no computing
    assert [(frame.shape, frame.dtype) for frame in found] == [((4, 6, 2), np.uint8)] * 4
    assert [tuple(frame[1, 2]) for frame in found] == [(128, 128), (140, 115), (108, 147), (255, 0)]
    assert list(flow_frames([], Flow())) == []


@pytest.mark.parametrize("algorithm", ["tvl1", "opencv"])
def test_the_recipe_chooses_the_algorithm(algorithm: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (24, 32)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    later = np.roll(smooth, 2, axis=1)
    settings = Flow.model_validate({"algorithm": algorithm, "bound": 5.0})
    compute = ALGORITHMS[algorithm]
    assert compute is {"tvl1": tvl1, "opencv": opencv_tvl1}[algorithm]
    np.testing.assert_array_equal(
        list(flow_frames([smooth, later], settings))[1], quantise(compute(smooth, later), 5.0)
    )


def test_frames_of_unequal_sizes() -> None:
    with pytest.raises(FlowError, match="one size"):
        list(flow_frames([np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8)], Flow()))


def test_grey_is_opencvs_grey_of_bgr() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(grey(frame), cv2.cvtColor(frame[..., ::-1].copy(), cv2.COLOR_BGR2GRAY))


def test_the_version_names_parameters_and_libraries() -> None:
    ours, theirs = algorithm_version(Flow()), algorithm_version(Flow(algorithm="opencv"))
    assert ours.startswith(
        "tvl1: tau 0.25, lambda 0.15, theta 0.3, scales 5, warps 5, epsilon 0.01, inner_iterations 30, "
        "outer_iterations 10, scale_step 0.8, median 5; OpenCV "
    )
    assert cv2.__version__ in ours
    assert "Numba" in ours
    assert theirs == ours.split(", Numba")[0].replace("tvl1", "opencv")
