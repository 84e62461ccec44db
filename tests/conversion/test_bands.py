from __future__ import annotations

import numpy as np
import pytest

from actionbook.conversion.bands import band_weight, group_factor, merge_groups


def test_a_band_holds_each_tap_where_its_frame_is():
    weight = np.array([10.0, 20.0, 30.0]).reshape(1, 1, 3, 1, 1)
    band = band_weight(weight, 4, 2, stride=2, pad=1)  # frames -1, 0, 1 and 1, 2, 3
    np.testing.assert_array_equal(band.reshape(2, 4), [[20, 30, 0, 0], [0, 10, 20, 30]])
    dilated = band_weight(weight, 4, 4, dilation=2, pad=2)
    np.testing.assert_array_equal(
        dilated.reshape(4, 4), [[20, 0, 30, 0], [0, 20, 0, 30], [10, 0, 20, 0], [0, 10, 0, 20]]
    )


def test_channels_come_before_frames():
    weight = np.arange(2 * 3).reshape(2, 3, 1, 1, 1)
    band = band_weight(weight, 2, 2, pad=0).reshape(2, 2, 3, 2)  # C_out, T_out, C, T
    for o, frame in np.ndindex(2, 2):
        np.testing.assert_array_equal(band[o, frame, :, frame], weight[o, :, 0, 0, 0])
        assert not band[o, frame, :, 1 - frame].any()


def test_groups_join_to_blocks_of_sixteen():
    assert group_factor(144, 8, 8) == 2
    assert group_factor(96, 16, 8) == 2  # reads 32, writes 16
    assert group_factor(32, 16, 16) == 1  # a block already
    assert group_factor(576, 2, 1) == 16
    assert group_factor(960, 1, 1) == 1  # truly depthwise: nothing to join
    assert group_factor(145, 8, 8) == 1  # odd number of channels
    assert group_factor(64, 15, 15) == 1  # 16 channels would read 240
    assert group_factor(2, 33, 16) == 1  # reads too much already


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_joined_groups_compute_the_same(factor):
    groups, read, write = 4, 3, 2
    rng = np.random.default_rng(0)
    weight, pixel = rng.standard_normal((groups * write, read, 1, 1)), rng.standard_normal(groups * read)

    def convolve(values: np.ndarray, groups: int) -> np.ndarray:
        matrices = values.reshape(groups, -1, values.shape[1])
        return np.concatenate([m @ part for m, part in zip(matrices, np.split(pixel, groups), strict=True)])

    merged = merge_groups(weight, groups, factor)
    assert merged.shape == (groups * write, factor * read, 1, 1)
    np.testing.assert_allclose(convolve(merged, groups // factor), convolve(weight, groups), atol=1e-12)
