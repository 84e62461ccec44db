"""Boxes that are wrong on purpose: as wrong as the programs that make the mistake."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.stages.box_changes import of_the_next, swapped_scales, whole_frames

BOXES = np.array([[[64, 36, 320, 180], [384, 90, 500, 200], [0, 0, 0, 0]]], np.float32)
"""In a film of 640 x 360."""


def test_scales_are_swapped_as_in_the_port() -> None:
    """The port's own arithmetic: frames become 384 x 256, x is multiplied by 256 / 360 and y by 384 / 640."""
    place = BOXES * np.array([256 / 360, 384 / 640] * 2)
    as_shares = place / np.array([384, 256] * 2)
    found = swapped_scales(640 / 360, (360, 640))(BOXES) / np.array([640, 360] * 2)
    np.testing.assert_allclose(found, as_shares, rtol=1e-6)


def test_what_lies_beyond_the_frame_is_cut_off() -> None:
    found = swapped_scales(640 / 360, (360, 640))(np.array([[[500, 0, 630, 359]]], np.float32))
    assert found[0, 0, 2] == 639
    assert found.dtype == np.float32


def test_films_of_three_to_two_are_spared() -> None:
    np.testing.assert_allclose(swapped_scales(1.5, (360, 540))(BOXES), BOXES, rtol=1e-6)


def test_boxes_change_places_among_the_real_ones() -> None:
    found = of_the_next(BOXES)
    np.testing.assert_array_equal(found[0], BOXES[0, [1, 0, 2]])
    np.testing.assert_array_equal(of_the_next(found), BOXES)


def test_whole_frames_leave_what_fills_up_alone() -> None:
    found = whole_frames((360, 640))(BOXES)
    assert found[0].tolist() == [[0, 0, 639, 359]] * 2 + [[0, 0, 0, 0]]


@pytest.mark.parametrize("change", [of_the_next, whole_frames((9, 9)), swapped_scales(2, (9, 9))])
def test_what_is_given_is_left_alone(change) -> None:
    before = BOXES.copy()
    change(BOXES)
    np.testing.assert_array_equal(BOXES, before)
