"""Pictures of flow: Middlebury's colours, strips of what is stored, and shares that are counted right."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from actionbook.results.flow_pictures import (
    contrast,
    displacement_histogram,
    flow_colours,
    in_colours,
    moving_part,
    wheel,
)
from actionbook.video.flow import dequantise, quantise

pytestmark = pytest.mark.usefixtures("_no_window")


def colour_of(right: float, down: float, limit: float = 1.0) -> tuple[int, ...]:
    return tuple(flow_colours(np.array([[[right, down]]], np.float32), limit)[0, 0].tolist())


def test_the_middlebury_colours() -> None:
    assert colour_of(0, 0) == (255, 255, 255)
    assert colour_of(1, 0) == (255, 0, 0)  # to the right: red
    assert colour_of(-1, 0) == (0, 208, 255)  # the 27th of 55 colours: 2 of 11 steps from cyan to blue
    assert colour_of(0, 1) == (255, 229, 0)  # down: between the 13th and the 14th, nearly yellow
    assert colour_of(0, -1) == (88, 0, 255)  # up: between blue and magenta


def test_saturation_is_length_and_beyond_the_limit_is_dark() -> None:
    assert colour_of(2, 0, limit=4) == (255, 127, 127)
    assert colour_of(4, 0, limit=4) == (255, 0, 0)
    assert colour_of(5, 0, limit=4) == colour_of(500, 0, limit=4) == (191, 0, 0)


def test_colours_follow_the_pixels() -> None:
    flow = np.zeros((5, 7, 2), np.float32)
    flow[1, 2] = (3, 0)
    found = flow_colours(flow, 3.0)
    assert (found.shape, found.dtype) == ((5, 7, 3), np.uint8)
    assert found[1, 2].tolist() == [255, 0, 0]
    assert (found.reshape(-1, 3) == 255).all(axis=1).sum() == 34


@pytest.mark.parametrize(("shape", "limit"), [((4, 4), 1.0), ((4, 4, 3), 1.0), ((4, 4, 2), 0.0), ((4, 4, 2), np.nan)])
def test_what_is_no_flow(shape: tuple[int, ...], limit: float) -> None:
    with pytest.raises(ValueError, match=r"expected flow \(H, W, 2\) and a limit above zero"):
        flow_colours(np.zeros(shape, np.float32), limit)


def test_the_wheel_points_outwards() -> None:
    found = wheel(101)
    assert found.shape == (101, 101, 3)
    for y, x, right, down in ((50, 100, 1, 0), (50, 0, -1, 0), (100, 50, 0, 1), (0, 50, 0, -1)):
        assert tuple(found[y, x].tolist()) == colour_of(right, down)
    assert (found[50, 50] == 255).all()
    assert (found[0, 0] == 255).all()  # outside


def test_stored_frames_in_colours() -> None:
    frames = np.full((3, 4, 4, 3), 90, np.uint8)
    assert in_colours(frames, bound=20) is frames
    flow = np.zeros((3, 4, 4, 2), np.float32)
    flow[..., 0], flow[..., 1] = 10, -20
    shown = in_colours(quantise(flow, 20), bound=20, limit=50)
    np.testing.assert_allclose(shown[1, 2, 2], colour_of(10, -20, 50), atol=1)
    full = in_colours(quantise(flow, 20), bound=20)  # full at the length that is there
    np.testing.assert_allclose(full[1, 2, 2], colour_of(10, -20, np.hypot(10, 20)), atol=2)


def test_the_histogram_counts_every_displacement_once() -> None:
    first, second = np.zeros((10, 10, 2), np.float32), np.zeros((5, 20, 2), np.float32)
    first[0, :2, 0] = (25, 3000)
    first[0, 0, 1] = -20
    figure = displacement_histogram(iter([first, second]), bound=20)
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "0.75 % of the displacements lie beyond ±20 pixels"
    curves = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
    values, edges, _ = curves[0].get_data()
    assert [curve.get_data()[0].sum() for curve in curves] == pytest.approx([1, 1])
    assert values[-1] == pytest.approx(1 / 200)
    assert values[(edges[:-1] <= 25) & (edges[1:] > 25)] == pytest.approx(1 / 200)
    lines = sorted(float(np.ravel(line.get_xdata())[0]) for line in ax.lines)
    assert lines == [-20, 20]


def test_stored_flow_tells_the_same_share() -> None:
    flow = np.random.default_rng(0).normal(0, 8, (60, 80, 2)).astype(np.float32)
    titles = {
        displacement_histogram([values], 20).axes[0].get_title(loc="left")
        for values in (flow, dequantise(quantise(flow, 20), 20))
    }
    shares = [float(title.split(" %")[0]) for title in titles]
    assert max(shares) - min(shares) < 0.1
    assert min(shares) > 0.8


def test_no_bar_is_taller_for_the_rounding_of_stored_flow() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 128, 2)
    figure = displacement_histogram([dequantise(levels[..., [0, 0]], 20), dequantise(levels[..., [1, 1]], 20)], 20)
    curve = next(patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch))
    values, edges, _ = curve.get_data()
    inside = values[(edges[:-1] >= -20) & (edges[1:] <= 20)]
    np.testing.assert_allclose(inside, 4 / 256)


def test_a_histogram_of_nothing() -> None:
    (ax,) = displacement_histogram([], 20).axes
    assert [text.get_text() for text in ax.texts] == ["no flow to show"]


def test_contrast_is_raised_by_a_whole_factor() -> None:
    planes = np.full((20, 50), 128, np.uint8)
    planes[0, :10], planes[1, :10] = 138, 98
    times, clear = contrast(planes)
    assert times == 4  # 30 steps from grey become 120
    assert [int(clear[0, 0]), int(clear[1, 0]), int(clear[5, 5])] == [168, 8, 128]
    planes[2, :10] = 255
    assert contrast(planes)[0] == 1
    assert contrast(np.full((4, 4), 128, np.uint8))[1].tolist() == [[128] * 4] * 4


def test_the_moving_part_holds_all_that_moves() -> None:
    flows = np.zeros((3, 60, 100, 2), np.float32)
    assert moving_part(flows) == (slice(0, 60), slice(0, 100))
    flows[0, 5:8, 80:90, 0], flows[2, 9:12, 85:95, 1] = 2, -2
    rows, columns = moving_part(flows)
    assert (rows, columns) == (slice(0, 30), slice(50, 100))  # half of each side at least, inside the frame
    flows[1, :, 10:12, 0] = 3
    assert moving_part(flows) == (slice(0, 60), slice(0, 100))
