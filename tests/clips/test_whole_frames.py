"""Whole frames with their boxes: cut as SlowFast's programs cut them, and tested without a cut."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.clips.whole_frames import (
    Jitter,
    draw_jitter,
    jittered_boxes,
    jittered_clip,
    whole_boxes,
    whole_clip,
    whole_size,
)
from actionbook.core.errors import BookError
from actionbook.core.transforms import Transforms

AVA = Transforms(size=224, jitter=(256, 320), short_side=256, test_size=(256, 640), mean=(0.0,) * 3)
"""Without a mean, so that pixels stay what they are."""


def painted(height: int, width: int, boxes: np.ndarray) -> np.ndarray:
    """A dark frame whose boxes (n, 4), in shares, are white."""
    frame = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in np.rint(boxes * [width, height, width, height]).astype(int):
        frame[y1:y2, x1:x2] = 255
    return frame


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [((360, 640), 256, (256, 455)), ((640, 360), 256, (455, 256)), ((256, 341), 256, (256, 341)),
     ((300, 300), 256, (256, 256)), ((480, 853), 300, (300, 533))],
)  # fmt: skip
def test_the_longer_side_is_rounded_down(size: tuple[int, int], short: int, expected: tuple[int, int]) -> None:
    assert whole_size(*size, short) == expected


def test_a_frame_of_the_right_size_is_left_alone() -> None:
    assert whole_size(360, 641, 360) == (360, 641)


@given(st.integers(0, 10_000), st.sampled_from([(360, 640), (640, 360), (480, 480), (266, 640)]))
def test_a_draw_lies_inside_the_scaled_frame(seed: int, size: tuple[int, int]) -> None:
    height, width = size
    drawn = draw_jitter(width, height, AVA, np.random.default_rng(seed))
    assert 256 <= min(drawn.height, drawn.width) <= 320
    assert (drawn.height, drawn.width) == whole_size(height, width, min(drawn.height, drawn.width))
    # As in the original the last place is never drawn, unless there is one only.
    assert 0 <= drawn.top <= max(0, drawn.height - 224 - 1)
    assert 0 <= drawn.left <= max(0, drawn.width - 224 - 1)
    assert drawn == draw_jitter(width, height, AVA, np.random.default_rng(seed))


def test_the_inverse_of_the_short_side_is_uniform() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_jitter(640, 360, AVA, rng) for _ in range(4000)]
    inverse = np.array([1 / d.height for d in drawn])
    low, high = 1 / 320, 1 / 256
    assert np.mean((inverse - low) / (high - low)) == pytest.approx(0.5, abs=0.02)
    assert np.mean([d.flip for d in drawn]) == pytest.approx(0.5, abs=0.03)


def test_a_clip_may_be_wider_than_the_shorter_side() -> None:
    wide = Transforms(size=(64, 80), jitter=(64, 72), mean=(0.0,) * 3)
    for seed in range(20):
        drawn = draw_jitter(160, 120, wide, np.random.default_rng(seed))
        assert drawn.left + 80 <= drawn.width
        assert drawn.top + 64 <= drawn.height
    with pytest.raises(BookError, match=r"a frame of 120 x 160 pixels becomes \d+ x \d+, and a clip of 80 x 64"):
        draw_jitter(120, 160, wide, np.random.default_rng(0))


def test_boxes_by_hand() -> None:
    jitter = Jitter(height=256, width=455, top=10, left=20, flip=False)
    boxes = np.array([[0.25, 0.25, 0.5, 0.5], [0.9, 0.0, 1.0, 1.0]])
    found = jittered_boxes(boxes, jitter, 360, 640, AVA)
    factor = 455 / 640  # one factor for both axes
    np.testing.assert_allclose(found[0], np.array([160, 90, 320, 180]) * factor - [20, 10, 20, 10], rtol=1e-6)
    assert found[1].tolist() == [223, 0, 223, 223]  # beside the clip: no area
    flipped = jittered_boxes(boxes, Jitter(256, 455, 10, 20, flip=True), 360, 640, AVA)
    np.testing.assert_allclose(flipped[0, [0, 2]], 223 - found[0, [2, 0]], rtol=1e-6)
    np.testing.assert_array_equal(flipped[0, [1, 3]], found[0, [1, 3]])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [(360, 640), (640, 480)])
def test_boxes_go_where_the_clip_takes_what_is_in_them(seed: int, size: tuple[int, int]) -> None:
    boxes = np.array([[0.3, 0.35, 0.55, 0.7]])
    jitter = draw_jitter(size[1], size[0], AVA, np.random.default_rng(seed))
    clip = jittered_clip([painted(*size, boxes)] * 2, jitter, AVA)
    assert (clip.shape, clip.dtype) == ((3, 2, 224, 224), np.float32)
    rows, columns = np.nonzero(clip[0, 0] > 127)
    (x1, y1, x2, y2), *_ = jittered_boxes(boxes, jitter, *size, AVA)
    assert [columns.min(), rows.min(), columns.max(), rows.max()] == pytest.approx([x1, y1, x2, y2], abs=2)


def test_frames_are_scaled_whole_and_then_cut() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (360, 640, 3), np.uint8)
    jitter = Jitter(height=280, width=497, top=7, left=100, flip=True)
    scaled = cv2.resize(frame, (497, 280), interpolation=cv2.INTER_LINEAR)
    expected = scaled[7 : 7 + 224, 100 : 100 + 224][:, ::-1].astype(np.float32)
    np.testing.assert_array_equal(jittered_clip([frame], jitter, AVA)[:, 0].transpose(1, 2, 0), expected)
    bgr = AVA.model_copy(update={"channel_order": "bgr"})
    np.testing.assert_array_equal(jittered_clip([frame], jitter, bgr)[:, 0].transpose(1, 2, 0), expected[..., ::-1])


@pytest.mark.parametrize("size", [(360, 640), (640, 360), (256, 256), (480, 1200)])
def test_a_whole_frame_is_tested_at_the_top_left(size: tuple[int, int]) -> None:
    transforms = AVA.model_copy(update={"mean": (114.75,) * 3, "std": (57.375,) * 3, "test_size": (640, 640)})
    boxes = np.array([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]])
    frame = painted(*size, boxes[:1])
    clip = whole_clip([frame], transforms)
    height, width = whole_size(*size, 256)
    assert clip.shape == (3, 1, 640, 640)
    assert not clip[:, :, height:].any()  # the mean
    assert not clip[:, :, :, width:].any()
    np.testing.assert_allclose(clip[:, 0, 0, 0], -114.75 / 57.375)
    found = whole_boxes(boxes, *size, transforms)
    rows, columns = np.nonzero(clip[0, 0, :height, :width] > 0)
    assert [columns.min(), rows.min(), columns.max(), rows.max()] == pytest.approx(found[0].tolist(), abs=2)
    assert found[1].tolist() == pytest.approx([0, 0, width - 1, height - 1], abs=1)


def test_a_frame_that_is_too_long_is_named() -> None:
    with pytest.raises(BookError, match=r"a frame of 1200 x 360 pixels becomes 853 x 256.*room for 640 x 256"):
        whole_clip([np.zeros((360, 1200, 3), np.uint8)], AVA)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"jitter": (200, 320)}, "expected two lengths, ascending, of at least 224"),
        ({"jitter": (320, 256)}, "expected two lengths"),
        ({"jitter": (256, 320), "box": (341, 256)}, "box does not go with it"),
        ({"test_size": (256, 640)}, "needs a short_side that fits into it"),
        ({"test_size": (256, 640), "short_side": 300}, "needs a short_side that fits into it"),
        ({"test_size": (250, 640), "short_side": 240}, "expected multiples of 16"),
        ({"test_size": (256, 640), "short_side": 256, "keep_aspect": False}, "do not go with it"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Transforms.model_validate({"size": 224, **settings})
