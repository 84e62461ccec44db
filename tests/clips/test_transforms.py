"""Spatial transforms: the authors' pixels at test time, honest crops in training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from actionbook.clips.transforms import (
    Crop,
    boxed,
    decoded_side,
    draw_crop,
    scaled_size,
    tested_boxes,
    tested_clip,
    to_pixels,
    train_boxes,
    train_clip,
)
from actionbook.core.errors import BookError
from actionbook.core.transforms import Transforms

GOLDEN = json.loads((Path(__file__).parent / "data" / "efficient3d_prep_golden.json").read_text())
PLAIN = Transforms(size=32, mean=(0.0, 0.0, 0.0))
FLOW = Transforms(modality="flow", size=32, mean=(0.0, 0.0), std=(1.0, 1.0))
SYMMETRIC = FLOW.model_copy(update={"mean": (127.5, 127.5), "std": (127.5, 127.5)})


def formula_image(width: int, height: int) -> np.ndarray:
    """The test image that the golden values were made from, uint8 RGB (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(3 * x + 5 * y) % 256, (x * y) % 256, 200 * ((x // 8 + y // 8) % 2) + 20], axis=-1).astype(
        np.uint8
    )


def noise(width: int, height: int, frames: int = 1, seed: int = 0, channels: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (frames, height, width, channels), dtype=np.uint8))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda g: f"{g['w']}x{g['h']}")
def test_the_test_transform_gives_the_original_programs_pixels(golden: dict[str, Any]) -> None:
    clip = tested_clip([formula_image(golden["w"], golden["h"])], Transforms())
    assert clip.shape == (3, 1, 112, 112)
    assert clip.dtype == np.float32
    pixels = to_pixels(clip, Transforms())[0].transpose(2, 0, 1)
    assert hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16] == golden["sha"]
    assert clip.sum(axis=(1, 2, 3), dtype=np.float64).tolist() == golden["sum"]
    assert clip[:, 0, 0, 0].tolist() == golden["px"]


def test_there_are_golden_values_of_wide_tall_and_square_images() -> None:
    assert {(g["w"] > g["h"]) - (g["w"] < g["h"]) for g in GOLDEN} == {-1, 0, 1}


def test_every_frame_of_a_test_clip_is_transformed_alike() -> None:
    frames = noise(50, 40, 4)
    clip = tested_clip(frames, PLAIN)
    assert clip.shape == (3, 4, 32, 32)
    for t, frame in enumerate(frames):
        np.testing.assert_array_equal(clip[:, t], tested_clip([frame], PLAIN)[:, 0])


@pytest.mark.parametrize("transform", ["train", "test"])
def test_mean_and_std_are_taken_per_colour(transform: str) -> None:
    transforms = Transforms(size=32, mean=(10.0, 20.0, 30.0), std=(2.0, 1.0, 0.5))
    frames = noise(32, 32)
    clip = (
        train_clip(frames, Crop(0, 0, 1.0, 1.0, False), transforms, 1)
        if transform == "train"
        else tested_clip(frames, transforms)
    )
    expected = (frames[0].transpose(2, 0, 1) - np.array([10, 20, 30]).reshape(3, 1, 1)) / np.array([2, 1, 0.5]).reshape(
        3, 1, 1
    )
    np.testing.assert_allclose(clip[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "transforms", [Transforms(size=32), Transforms(size=32, std=(38.7568578, 37.88248729, 40.02898126)), SYMMETRIC]
)
def test_to_pixels_undoes_the_normalisation(transforms: Transforms) -> None:
    frames = noise(32, 32, 3, channels=transforms.channels)
    np.testing.assert_array_equal(to_pixels(tested_clip(frames, transforms), transforms), np.stack(frames))


def test_to_pixels_cuts_off_what_no_pixel_can_show() -> None:
    clip = np.array([-30.0, -0.6, -0.4, 254.6, 255.6, 300.0], np.float32).reshape(1, 1, 1, -1).repeat(3, axis=0)
    assert to_pixels(clip, PLAIN)[0, 0, :, 0].tolist() == [0, 0, 0, 255, 255, 255]


def test_one_crop_for_all_frames_of_a_clip() -> None:
    frame = noise(60, 44)[0]
    rng = np.random.default_rng(1)
    for _ in range(10):
        clip = train_clip([frame] * 5, draw_crop(60, 44, PLAIN, rng), PLAIN, 5)
        np.testing.assert_array_equal(clip, np.repeat(clip[:, :1], 5, axis=1))


def test_mirroring_is_left_to_right() -> None:
    frames = noise(60, 44, 2)
    straight, mirrored = (train_clip(frames, Crop(0.1, 0.2, 0.7, 0.7, flip), PLAIN, 2) for flip in (False, True))
    np.testing.assert_array_equal(mirrored, straight[..., ::-1])
    assert (mirrored != straight).any()


@pytest.mark.parametrize("size", [(32, 32), (90, 44), (200, 150)])
def test_mirrored_flow_changes_sides_and_direction(size: tuple[int, int]) -> None:
    frames = noise(*size, 3, channels=2)
    kept = [frame.copy() for frame in frames]
    straight, mirrored = (train_clip(frames, Crop(0.0, 0.0, 1.0, 1.0, flip), FLOW, 3) for flip in (False, True))
    assert straight.shape == mirrored.shape == (2, 3, 32, 32)
    assert mirrored.dtype == np.float32
    # To the right, stored as v, becomes to the left, 255 - v, without rounding; down stays down.
    np.testing.assert_array_equal(mirrored[0], 255 - straight[0, ..., ::-1])
    np.testing.assert_array_equal(mirrored[1], straight[1, ..., ::-1])
    np.testing.assert_array_equal(frames, kept)
    if size == (32, 32):
        np.testing.assert_array_equal(straight, np.stack(frames).transpose(3, 0, 1, 2))


def test_mirrored_flow_of_minus_one_to_one_is_negated_exactly() -> None:
    frames = [np.stack(np.broadcast_arrays(np.arange(256, dtype=np.uint8).reshape(8, 32), np.uint8(7)), axis=-1)] * 2
    frames = [np.tile(frame, (4, 1, 1)) for frame in frames]
    straight, mirrored = (train_clip(frames, Crop(0.0, 0.0, 1.0, 1.0, flip), SYMMETRIC, 2) for flip in (False, True))
    assert (straight.min(), straight.max()) == (-1, 1)
    np.testing.assert_array_equal(mirrored[0], -straight[0, ..., ::-1])
    np.testing.assert_array_equal(mirrored[1], straight[1])


def test_flow_of_one_buffer_is_finished_frame_by_frame() -> None:
    frames = noise(40, 36, 3, channels=2)
    buffer = np.empty_like(frames[0])

    def overwriting() -> Any:
        for frame in frames:
            buffer[:] = frame
            yield buffer

    crop = Crop(0.05, 0.02, 0.9, 0.9, True)
    np.testing.assert_array_equal(train_clip(overwriting(), crop, FLOW, 3), train_clip(frames, crop, FLOW, 3))


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize(
    ("size", "scaled"),
    [((90, 60), (72, 48)), ((60, 91), (48, 72)), ((48, 48), (48, 48)), ((30, 47), (48, 75)), ((48, 71), (48, 71))],
)
def test_a_short_side_of_its_own_is_pillows_scaling_and_a_centre_crop(
    size: tuple[int, int], scaled: tuple[int, int], channels: int
) -> None:
    transforms = FLOW if channels == 2 else PLAIN
    frames = noise(*size, 2, channels=channels)
    clip = tested_clip(frames, transforms.model_copy(update={"short_side": 48}))
    assert clip.shape == (channels, 2, 32, 32)
    assert clip.dtype == np.float32
    left, top = round((scaled[0] - 32) / 2), round((scaled[1] - 32) / 2)
    for t, frame in enumerate(frames):
        for channel in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(frame[:, :, channel]))
            if size != scaled:
                plane = plane.resize(scaled, Image.Resampling.BILINEAR)
            expected = np.asarray(plane.crop((left, top, left + 32, top + 32)))
            np.testing.assert_array_equal(clip[channel, t], expected)


def test_the_short_side_is_the_size_unless_said_otherwise() -> None:
    frames = noise(90, 60, 2)
    default, same, larger = (
        tested_clip(frames, PLAIN.model_copy(update={"short_side": side})) for side in (None, 32, 48)
    )
    np.testing.assert_array_equal(default, same)
    assert (default != larger).any()


@pytest.mark.parametrize(("flip", "expected"), [(0.0, {False}), (1.0, {True}), (0.5, {False, True})])
def test_share_of_mirrored_clips(flip: float, expected: set[bool]) -> None:
    rng = np.random.default_rng(0)
    found = [draw_crop(64, 48, Transforms(flip=flip), rng).flip for _ in range(200)]
    assert set(found) == expected
    assert flip not in (0.5,) or 60 < sum(found) < 140


@given(
    width=st.integers(16, 400),
    height=st.integers(16, 400),
    crop=st.sampled_from(["random", "corner", "center"]),
    scale=st.sampled_from([1.0, 0.84089641, 0.70710678, 0.59460355, 0.5, 0.05]),
    seed=st.integers(0, 2**32),
)
def test_crops_lie_inside_the_frame(width: int, height: int, crop: Any, scale: float, seed: int) -> None:
    drawn = draw_crop(width, height, Transforms(crop=crop, scales=(scale,)), np.random.default_rng(seed))
    side = int(min(width, height) * scale)
    assert (drawn.height, drawn.width) == (scale, scale)
    assert 0 <= drawn.top * height <= height - side + 1e-9
    assert 0 <= drawn.left * width <= width - side + 1e-9
    # The crop fits the frame as libjpeg may have shrunk it, too.
    for factor in (1, 2):
        frame = np.full((-(-height // factor), -(-width // factor), 3), 7, np.uint8)
        with mock.patch.object(cv2, "resize", wraps=cv2.resize) as resize:
            clip = train_clip([frame], drawn, Transforms(size=16, mean=(0.0, 0.0, 0.0)), 1)
        assert (clip == 7).all()
        square = resize.call_args.args[0]
        assert square.shape[0] == square.shape[1] == max(1, round(min(frame.shape[:2]) * scale))


def test_corner_and_centre_crops_lie_where_their_names_say() -> None:
    rng = np.random.default_rng(0)
    corner = Transforms(crop="corner", scales=(0.5,))
    places = {(round(c.left * 60), round(c.top * 40)) for c in (draw_crop(60, 40, corner, rng) for _ in range(200))}
    assert places == {(0, 0), (40, 0), (0, 20), (40, 20), (20, 10)}
    centre = draw_crop(60, 40, Transforms(crop="center", scales=(0.5,)), rng)
    assert (centre.left * 60, centre.top * 40) == pytest.approx((20, 10))


def test_random_crops_reach_every_place_and_scale() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_crop(20, 18, Transforms(scales=(1.0, 0.5)), rng) for _ in range(600)]
    assert {c.height for c in drawn} == {1.0, 0.5}
    assert {round(c.left * 20) for c in drawn if c.width == 0.5} == set(range(12))
    assert {round(c.top * 18) for c in drawn if c.width == 0.5} == set(range(10))
    assert {round(c.left * 20) for c in drawn if c.width == 1.0} == {0, 1, 2}


def test_the_crop_is_the_part_of_the_picture_that_it_says() -> None:
    y, x = np.mgrid[:64, :96]
    frame = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)
    clip = train_clip([frame], Crop(top=16 / 64, left=48 / 96, height=0.5, width=0.5, flip=False), PLAIN, 1)
    np.testing.assert_array_equal(clip[0, 0], np.broadcast_to(np.arange(48, 80), (32, 32)))
    np.testing.assert_array_equal(clip[1, 0], np.broadcast_to(np.arange(16, 48)[:, None], (32, 32)))


@pytest.mark.parametrize("side", [33, 47, 60, 97, 113])
def test_a_crop_lies_at_the_very_pixel_that_was_drawn(side: int) -> None:
    for first in range(side - 32 + 1):
        crop = Crop(first / side, first / side, 32 / side, 32 / side, False)
        assert crop.place(side, side, PLAIN) == (first, first, 32, 32)


def interpolating(old: int, new: int) -> np.ndarray:
    """Shares of `old` pixels in a row of `new` ones by linear interpolation between their centres, (new, old)."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.clip(1 - np.abs(places[:, None] - np.arange(old)), 0, None)


def averaging(old: int, new: int) -> np.ndarray:
    """Shares of `old` pixels in a row of `new` ones by the part of each that a new one covers, (new, old)."""
    edges, pixels = np.arange(new + 1)[:, None] * old / new, np.arange(old)
    return np.clip(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0, None) * new / old


@pytest.mark.parametrize(
    ("side", "shares"),
    [(20, interpolating), (47, interpolating), (63, interpolating), (80, averaging), (96, averaging)],
)
def test_crops_are_interpolated_and_averaged_where_two_pixels_and_more_become_one(side: int, shares: Any) -> None:
    frame = noise(side, side)[0]
    clip = train_clip([frame], Crop(0.0, 0.0, 1.0, 1.0, False), PLAIN, 1)
    expected = np.einsum("ij,jkc,lk->cil", shares(side, 32), frame.astype(float), shares(side, 32))
    assert np.abs(clip[:, 0] - expected).max() <= 1


RECTANGLES = st.sampled_from([(32, 48), (48, 32), (16, 64), (64, 16), (32, 32)])


@given(
    size=RECTANGLES,
    width=st.integers(24, 300),
    height=st.integers(24, 300),
    crop=st.sampled_from(["random", "corner", "center"]),
    scale=st.sampled_from([1.0, 0.84089641, 0.5]),
    seed=st.integers(0, 2**32),
)
def test_rectangular_crops_lie_inside_the_frame_and_keep_their_shape(
    *, size: tuple[int, int], width: int, height: int, crop: Any, scale: float, seed: int
) -> None:
    transforms = Transforms(size=size, mean=(0.0, 0.0, 0.0), crop=crop, scales=(scale,))
    drawn = draw_crop(width, height, transforms, np.random.default_rng(seed))
    top, left, rows, columns = drawn.place(height, width, transforms)
    assert top >= 0
    assert left >= 0
    assert top + rows <= height
    assert left + columns <= width
    # As large as the scale says: without one, a side of the crop is a side of the frame.
    assert abs(max(rows / height, columns / width) - scale) <= 0.5 / min(rows, columns) + 1e-9
    # Things keep their proportions, but for whole pixels.
    assert abs(rows * size[1] - columns * size[0]) <= 0.51 * (size[0] + size[1])
    # Frames that libjpeg has shrunk as far as it may still have a pixel of their own for every pixel of the clip.
    side = decoded_side(drawn, width, height, transforms)
    factor = side / min(width, height)
    assert round(largest_inside(height, width, size)[0] * scale * factor, 6) >= size[0]
    assert round(largest_inside(height, width, size)[1] * scale * factor, 6) >= size[1]
    with mock.patch.object(cv2, "resize", wraps=cv2.resize) as resize:
        clip = train_clip([np.full((height, width, 3), 7, np.uint8)], drawn, transforms, 1)
    assert clip.shape == (3, 1, *size)
    assert (clip == 7).all()
    assert resize.call_args.args[0].shape[:2] == (rows, columns)


def largest_inside(height: int, width: int, size: tuple[int, int]) -> tuple[float, float]:
    """Height and width of the largest rectangle of this shape in a frame, written down here a second time."""
    factor = min(height / size[0], width / size[1])
    return size[0] * factor, size[1] * factor


@given(size=RECTANGLES, width=st.integers(24, 300), height=st.integers(24, 300), short=st.sampled_from([None, 48, 80]))
def test_a_tested_rectangle_is_pillows_scaling_and_a_centre_crop(
    size: tuple[int, int], width: int, height: int, short: int | None
) -> None:
    transforms = Transforms(size=size, mean=(0.0, 0.0, 0.0), short_side=short)
    frame = noise(width, height)[0]
    if short and (short * height // min(width, height) < size[0] or short * width // min(width, height) < size[1]):
        with pytest.raises(
            BookError, match=rf"a frame of {width} x {height} pixels becomes .*make transforms.short_side"
        ):
            tested_clip([frame], transforms)
        return
    rows, columns = scaled_size(height, width, transforms)
    assert rows >= size[0]
    assert columns >= size[1]
    if short is None:  # no larger than it must be: a pixel less, and the clip would not fit
        assert min(rows - size[0], columns - size[1]) <= max(rows, columns) / min(rows, columns)
    else:
        assert min(rows, columns) == short
    assert abs(rows * width - columns * height) <= max(width, height)
    scaled = np.asarray(Image.fromarray(frame).resize((columns, rows), Image.Resampling.BILINEAR))
    top, left = round((rows - size[0]) / 2), round((columns - size[1]) / 2)
    np.testing.assert_array_equal(
        tested_clip([frame], transforms)[:, 0].transpose(1, 2, 0), scaled[top : top + size[0], left : left + size[1]]
    )


def painted(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """A black frame with a white box, x1, y1, x2, y2 in pixels."""
    x1, y1, x2, y2 = box
    frame = np.zeros((height, width, 3), np.uint8)
    frame[y1:y2, x1:x2] = 255
    return frame


def assert_painted(clip: np.ndarray, box: np.ndarray, slack: float) -> None:
    """The white part of a clip (3, 1, H, W) is where `box` says, in pixels, but for `slack`."""
    height, width = clip.shape[2:]
    assert (box >= 0).all()
    assert (box <= [width, height, width, height]).all()
    white = clip[0, 0] > 127
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    if not len(rows):  # outside the crop, or thinner than a pixel of it
        assert min(box[2] - box[0], box[3] - box[1]) <= slack
        return
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(box, found, atol=slack)


BOX = st.tuples(st.integers(0, 120), st.integers(0, 90), st.integers(4, 160), st.integers(4, 120)).filter(
    lambda box: box[0] + 4 <= box[2] and box[1] + 4 <= box[3]
)


@settings(max_examples=150)
@given(box=BOX, size=RECTANGLES, seed=st.integers(0, 2**32), flip=st.booleans(), wide=st.booleans())
def test_boxes_go_where_training_crops_take_what_is_in_them(
    box: tuple[int, int, int, int], size: tuple[int, int], seed: int, flip: bool, wide: bool
) -> None:
    transforms = Transforms(size=size, mean=(0.0, 0.0, 0.0), flip=float(flip))
    height, width = (120, 160) if wide else (160, 160)
    crop = draw_crop(width, height, transforms, np.random.default_rng(seed))
    assert crop.flip == flip
    shares = np.array([box]) / [width, height, width, height]
    (found,) = train_boxes(shares, crop, height, width, transforms)
    assert found.dtype == np.float32
    clip = train_clip([painted(height, width, box)], crop, transforms, 1)
    scale = size[0] / crop.place(height, width, transforms)[2]
    assert_painted(clip, found, 1 + 0.5 * scale)


@settings(max_examples=100)
@given(box=BOX, size=RECTANGLES, short=st.sampled_from([None, 96]), wide=st.booleans())
def test_boxes_go_where_tested_clips_take_what_is_in_them(
    box: tuple[int, int, int, int], size: tuple[int, int], short: int | None, wide: bool
) -> None:
    transforms = Transforms(size=size, mean=(0.0, 0.0, 0.0), short_side=short)
    height, width = (120, 160) if wide else (160, 160)
    shares = np.array([box]) / [width, height, width, height]
    (found,) = tested_boxes(shares, height, width, transforms)
    assert_painted(tested_clip([painted(height, width, box)], transforms), found, 1.5)


def test_a_mirrored_box_still_runs_from_left_to_right() -> None:
    crop, plain = Crop(0.0, 0.0, 1.0, 1.0, True), Crop(0.0, 0.0, 1.0, 1.0, False)
    boxes = np.array([[0.0, 0.25, 0.25, 0.5], [0.0, 0.0, 1.0, 1.0]])
    np.testing.assert_array_equal(train_boxes(boxes, plain, 64, 64, PLAIN), boxes.astype(np.float32) * 32)
    np.testing.assert_array_equal(
        train_boxes(boxes, crop, 64, 64, PLAIN), np.array([[24, 8, 32, 16], [0, 0, 32, 32]], np.float32)
    )


def test_boxes_that_a_crop_leaves_out_have_no_area() -> None:
    crop = Crop(0.5, 0.5, 0.5, 0.5, False)
    (box,) = train_boxes(np.array([[0.0, 0.0, 0.25, 0.25]]), crop, 64, 64, PLAIN)
    assert box.tolist() == [0, 0, 0, 0]
    assert train_boxes(np.zeros((0, 4)), crop, 64, 64, PLAIN).shape == (0, 4)


SCALES = (1.0, 0.875, 0.75, 0.66)
TSN = Transforms(size=224, crop="tsn", scales=SCALES, mean=(0.0, 0.0, 0.0))


class Chosen:
    """In the place of a random generator: says these numbers, one after the other, and never mirrors."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def integers(self, end: int) -> int:
        assert 0 <= self.numbers[0] < end
        return self.numbers.pop(0)

    def random(self) -> float:
        assert not self.numbers
        return 1.0


def tsn_place(
    width: int, height: int, pair: int, place: int, transforms: Transforms = TSN
) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the crop of that pair of scales, at that place."""
    chosen: Any = Chosen(pair, place)
    top, left, rows, columns = draw_crop(width, height, transforms, chosen).place(height, width, transforms)
    return left, top, columns, rows


def test_the_thirteen_places_of_a_tsn_crop() -> None:
    """Of 224 x 224 pixels in 320 x 240, worked out by hand: a step is 24 to the right and 4 down."""
    one = TSN.model_copy(update={"scales": (0.93,)})  # 223 pixels, which are taken for 224
    corners = [(0, 0), (96, 0), (0, 16), (96, 16)]
    middles = [(48, 8), (0, 8), (96, 8), (48, 16), (48, 0)]
    quarters = [(24, 4), (72, 4), (24, 12), (72, 12)]
    found = [tsn_place(320, 240, 0, place, one) for place in range(13)]
    assert found == [(left, top, 224, 224) for left, top in (*corners, *middles, *quarters)]


def test_steps_of_a_tsn_crop_are_whole_pixels_rounded_down() -> None:
    """Of 180 x 158 in 322 x 243: steps of 142 // 4 = 35 and 85 // 4 = 21, so that the last pixels are never reached."""
    transforms = TSN.model_copy(update={"scales": (0.741, 0.651)})
    assert tsn_place(322, 243, 2, 3, transforms) == (140, 84, 180, 158)
    assert tsn_place(322, 243, 2, 12, transforms) == (105, 63, 180, 158)


@pytest.mark.parametrize(
    ("width", "height", "sides"),
    [(320, 240, [240, 210, 180, 158]), (341, 256, [256, 224, 192, 168]), (256, 340, [256, 224, 192, 168])],
)
def test_sides_of_a_tsn_crop_and_their_pairs(width: int, height: int, sides: list[int]) -> None:
    pairs = [(sides[j], sides[i]) for i in range(4) for j in range(4) if abs(i - j) <= 1]
    assert len(pairs) == 10
    assert [tsn_place(width, height, pair, 0)[2:] for pair in range(10)] == pairs
    rng, counts = np.random.default_rng(0), dict.fromkeys(pairs, 0)
    places: dict[tuple[int, int], int] = {}
    for _ in range(5200):
        top, left, rows, columns = draw_crop(width, height, TSN, rng).place(height, width, TSN)
        counts[columns, rows] += 1
        if columns == rows == sides[3]:
            places[left, top] = places.get((left, top), 0) + 1
    assert all(430 < count < 610 for count in counts.values())
    assert len(places) == 13
    assert all(20 < count < 65 for count in places.values())


@pytest.mark.parametrize(
    ("short", "side"), [(227, 227), (226, 224), (225, 224), (224, 224), (223, 223), (222, 222), (221, 221)]
)
def test_a_side_that_is_nearly_the_clips_is_the_clips_where_the_frame_has_it(short: int, side: int) -> None:
    assert tsn_place(400, short, 0, 4)[2:] == (side, side)


@given(
    width=st.integers(20, 400), height=st.integers(20, 400), size=st.sampled_from([16, 64, 224]), seed=st.integers(0)
)
def test_tsn_crops_lie_inside_the_frame(width: int, height: int, size: int, seed: int) -> None:
    transforms = Transforms(size=size, crop="tsn", scales=SCALES, mean=(0.0, 0.0, 0.0))
    drawn = draw_crop(width, height, transforms, np.random.default_rng(seed))
    top, left, rows, columns = drawn.place(height, width, transforms)
    assert min(top, left) >= 0
    assert top + rows <= height
    assert left + columns <= width
    assert 0.6 * min(width, height) - 1 <= min(rows, columns)
    # A frame that libjpeg has shrunk as far as it may still has a pixel of its own for every pixel of the clip.
    factor = decoded_side(drawn, width, height, transforms) / min(width, height)
    assert round(min(rows, columns) * factor, 6) >= size
    clip = train_clip([np.full((height, width, 3), 7, np.uint8)], drawn, transforms, 1)
    assert clip.shape == (3, 1, size, size)
    assert (clip == 7).all()


def test_a_tsn_crop_is_stretched_to_the_square() -> None:
    """Each axis by its own factor: columns 40..99 and rows 10..49 of a picture that says where its pixels are."""
    y, x = np.mgrid[:64, :128]
    frame = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)
    crop = Crop(top=10 / 64, left=40 / 128, height=40 / 64, width=60 / 64, flip=False)
    assert crop.place(64, 128, PLAIN) == (10, 40, 40, 60)
    clip = train_clip([frame], crop, PLAIN, 1)
    middles = np.arange(32) + 0.5
    across, down = 40 + middles * 60 / 32 - 0.5, 10 + middles * 40 / 32 - 0.5
    np.testing.assert_allclose(clip[0, 0], np.broadcast_to(across, (32, 32)), atol=0.75)  # OpenCV's fixed point
    np.testing.assert_allclose(clip[1, 0], np.broadcast_to(down[:, None], (32, 32)), atol=0.75)  # OpenCV's fixed point
    (box,) = train_boxes(np.array([[40 / 128, 10 / 64, 70 / 128, 50 / 64]]), crop, 64, 128, PLAIN)
    assert box.tolist() == [0, 0, 16, 32]


def test_blue_comes_first_where_the_network_wants_it_so() -> None:
    """A red and a yellow half; mean and std are those of the clip's own channels."""
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[..., 0] = 200
    frame[:, 16:, 1] = 100
    transforms = Transforms(size=32, channel_order="bgr", mean=(104.0, 117.0, 128.0), std=(1.0, 1.0, 2.0))
    for clip in (
        tested_clip([frame], transforms),
        train_clip([frame], Crop(0.0, 0.0, 1.0, 1.0, False), transforms, 1),
    ):
        assert clip[:, 0, 5, 3].tolist() == [-104, -117, 36]
        assert clip[:, 0, 5, 20].tolist() == [-104, -17, 36]
        np.testing.assert_array_equal(to_pixels(clip, transforms)[0], frame)


def test_the_order_of_colours_changes_nothing_else() -> None:
    rgb = Transforms(size=32, short_side=40, mean=(1.0, 2.0, 3.0), std=(2.0, 1.0, 0.5))
    bgr = rgb.model_copy(update={"channel_order": "bgr", "mean": rgb.mean[::-1], "std": rgb.std[::-1]})
    frames = noise(60, 50, 2)
    np.testing.assert_array_equal(tested_clip(frames, bgr), tested_clip(frames, rgb)[::-1])
    crop = draw_crop(60, 50, bgr, np.random.default_rng(0))
    assert crop == draw_crop(60, 50, rgb, np.random.default_rng(0))
    np.testing.assert_array_equal(train_clip(frames, crop, bgr, 2), train_clip(frames, crop, rgb, 2)[::-1])
    pixels = [to_pixels(tested_clip(frames, transforms), transforms) for transforms in (rgb, bgr)]
    np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize("size", [(90, 60), (60, 91), (48, 48), (48, 71)])
def test_without_their_aspect_test_frames_become_a_square(size: tuple[int, int]) -> None:
    transforms = PLAIN.model_copy(update={"short_side": 48, "keep_aspect": False})
    assert scaled_size(size[1], size[0], transforms) == (48, 48)
    for own in (32, (64, 32)):  # without a short side the frame becomes the clip
        whole = Transforms(size=own, keep_aspect=False)
        assert scaled_size(size[1], size[0], whole) == (whole.height, whole.width)
    (frame,) = noise(*size)
    expected = np.asarray(Image.fromarray(frame).resize((48, 48), Image.Resampling.BILINEAR).crop((8, 8, 40, 40)))
    np.testing.assert_array_equal(tested_clip([frame], transforms)[:, 0].transpose(1, 2, 0), expected)
    (box,) = tested_boxes(np.array([[0.25, 0.25, 0.75, 1.0]]), size[1], size[0], transforms)
    assert box.tolist() == [4, 4, 28, 32]


STNET = Transforms(size=224, box=(341, 256), scales=(0.875,), flip=0.0, mean=(0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1280, 720), (341, 256)),
        ((720, 1280), (256, 341)),
        ((300, 300), (341, 256)),
        ((320, 240), (341, 256)),
        ((340, 256), (340, 256)),
        ((256, 455), (256, 455)),
        ((256, 256), (256, 256)),
    ],
)
def test_a_box_is_filled_unless_the_shorter_side_has_its_length(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert boxed(size[1], size[0], STNET)[::-1] == expected
    assert scaled_size(size[1], size[0], STNET)[::-1] == expected
    (frame,) = noise(*size)
    scaled = Image.fromarray(frame)
    if size != expected:
        scaled = scaled.resize(expected, Image.Resampling.BILINEAR)
    left, top = (round((side - 224) / 2) for side in expected)  # 58.5 becomes 58
    pixels = np.asarray(scaled.crop((left, top, left + 224, top + 224)))
    np.testing.assert_array_equal(tested_clip([frame], STNET)[:, 0].transpose(1, 2, 0), pixels)


@pytest.mark.parametrize("size", [(1280, 720), (320, 240), (240, 320), (640, 640), (910, 512), (455, 256)])
def test_training_crops_are_cut_out_of_the_box(size: tuple[int, int]) -> None:
    """At every place alike, in the frame as it is stored; ramps tell where the pixels come from."""
    width, height = size
    boxed_height, boxed_width = boxed(height, width, STNET)
    y, x = np.mgrid[:height, :width]
    frame = np.stack([255 * x / (width - 1), 255 * y / (height - 1), 0 * x], axis=-1).round().astype(np.uint8)
    whole = np.asarray(Image.fromarray(frame).resize((boxed_width, boxed_height), Image.Resampling.BILINEAR))
    rng, places = np.random.default_rng(0), set()
    for _ in range(30):
        crop = draw_crop(width, height, STNET, rng)
        top, left = round(crop.top * boxed_height), round(crop.left * boxed_width)
        places.add((top, left))
        expected = whole[top : top + 224, left : left + 224].transpose(2, 0, 1).astype(np.float32)
        side = decoded_side(crop, width, height, STNET)
        for divisor in (1, 2, 4):  # as libjpeg may shrink it, also to the box's own shorter side
            if min(size) // divisor < side:
                continue
            smaller = cv2.resize(frame, (width // divisor, height // divisor), interpolation=cv2.INTER_AREA)
            difference = np.abs(train_clip([smaller], crop, STNET, 1)[:, 0] - expected)
            assert difference.max() <= 2
    assert len(places) > 25
    assert {top + 224 <= boxed_height and left + 224 <= boxed_width for top, left in places} == {True}


def test_training_crops_of_frames_that_fill_the_box_are_their_own_pixels() -> None:
    for width, height in ((341, 256), (256, 341), (455, 256)):
        (frame,) = noise(width, height)
        crop = draw_crop(width, height, STNET, np.random.default_rng(1))
        assert crop == draw_crop(width, height, STNET.model_copy(update={"box": None}), np.random.default_rng(1))
        top, left = round(crop.top * height), round(crop.left * width)
        pixels = train_clip([frame], crop, STNET, 1)[:, 0].transpose(1, 2, 0)
        np.testing.assert_array_equal(pixels, frame[top : top + 224, left : left + 224])


@pytest.mark.parametrize("crop", ["random", "corner", "center", "tsn"])
def test_boxes_go_with_what_is_in_them_where_frames_are_stretched(crop: Any) -> None:
    transforms = Transforms(size=64, box=(100, 72), crop=crop, scales=(1.0, 0.875), flip=0.5, mean=(0.0, 0.0, 0.0))
    shares = np.array([[40, 30, 120, 80]]) / [160, 90, 160, 90]
    frame = painted(90, 160, (40, 30, 120, 80))
    for seed in range(20):
        drawn = draw_crop(160, 90, transforms, np.random.default_rng(seed))
        (found,) = train_boxes(shares, drawn, 90, 160, transforms)
        assert_painted(train_clip([frame], drawn, transforms, 1), found, 1.5)
    (found,) = tested_boxes(shares, 90, 160, transforms)
    assert_painted(tested_clip([frame], transforms), found, 1.5)


def test_a_box_that_is_too_small_for_an_upright_clip() -> None:
    with pytest.raises(BookError, match=r"320 x 240 pixels becomes 80 x 64, .*make transforms\.box larger"):
        tested_clip(noise(320, 240), Transforms(size=(80, 48), box=(80, 64)))
