"""Layers: the fast grouped convolution is the textbook one, so are the pools and the shuffle; dropout repeats."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, dtype, nn, ops

from actionbook import create_model
from actionbook.models.layers import (
    GROUPED_FORMS,
    MASK_KEY,
    WIDE,
    ChannelShuffle,
    Dropout,
    GroupedConv3d,
    conv3d,
    init_fan_out,
    init_uniform,
    set_grouped_form,
)
from actionbook.models.pooling import AvgPool3d, MaxPool3d

Triple = tuple[int, int, int]


def windows(x: np.ndarray, kernel: Triple, stride: Triple, padding: Triple, fill: float = 0.0) -> np.ndarray:
    """All windows of a padded clip, float64: (N, C, T_out, H_out, W_out, kT, kH, kW)."""
    pads = [(0, 0), (0, 0), *((p, p) for p in padding)]
    padded = np.pad(x.astype(np.float64), pads, constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3, 4))
    return views[:, :, :: stride[0], :: stride[1], :: stride[2]]


def textbook(
    x: np.ndarray, weight: np.ndarray, stride: Triple, groups: int, toward: np.ndarray | None = None
) -> list[np.ndarray]:
    """Grouped convolution with padding kernel // 2 by its definition, in float64.

    The output and, where `toward` is given, the gradients of its inner product with it: by input, by weight.
    """
    k, pad = weight.shape[2], weight.shape[2] // 2
    seen = windows(x, (k, k, k), stride, (pad, pad, pad))
    n, c, *sizes = seen.shape
    seen = seen.reshape(n, groups, c // groups, *sizes)
    taps = weight.astype(np.float64).reshape(groups, -1, *weight.shape[1:])
    out = np.einsum("ngcthwijk,gocijk->ngothw", seen, taps).reshape(n, -1, *sizes[:3])
    if toward is None:
        return [out]
    split = toward.astype(np.float64).reshape(n, groups, -1, *sizes[:3])
    by_weight = np.einsum("ngcthwijk,ngothw->gocijk", seen, split).reshape(weight.shape)
    padded = np.zeros((n, c, *(size + 2 * pad for size in x.shape[2:])))
    for tap in np.ndindex(k, k, k):  # every tap sends its share back to where it read
        share = np.einsum("ngothw,goc->ngcthw", split, taps[..., *tap]).reshape(n, c, *sizes[:3])
        place = (slice(a, a + s * (size - 1) + 1, s) for a, s, size in zip(tap, stride, sizes[:3], strict=True))
        padded[:, :, *place] += share
    inside = (slice(pad, pad + size) for size in x.shape[2:])
    return [out, padded[:, :, *inside], by_weight]


def results(cell: GroupedConv3d, x: np.ndarray, toward: np.ndarray) -> list[np.ndarray]:
    """Output of a cell, and the gradients of its inner product with `toward`: by input, by weight."""

    def product(clip: Tensor) -> tuple[Tensor, Tensor]:
        out = cell(clip)
        return (out * Tensor(toward)).sum(), out

    both = ms.value_and_grad(product, 0, [cell.weight], has_aux=True)
    (_, out), (by_input, (by_weight,)) = both(Tensor(x))
    return [out.asnumpy(), by_input.asnumpy(), by_weight.asnumpy()]


# (channels in, channels out), kernel, stride, groups, frames: depthwise (as many groups as channels) and grouped.
CONVOLUTIONS = [
    ((4, 4), 3, 1, 4, 1),
    ((4, 4), 3, 2, 4, 2),
    ((4, 4), 3, 2, 4, 5),
    ((4, 8), 3, 1, 4, 8),
    ((4, 4), 5, (1, 2, 2), 4, 5),
    ((4, 8), 1, 1, 4, 3),
    ((6, 12), 1, 1, 3, 5),
    ((6, 4), 1, 2, 2, 5),
    ((6, 12), 3, (1, 2, 2), 3, 5),
    ((8, 4), 3, 2, 2, 7),
    ((6, 6), 5, 1, 2, 3),
    ((4, 6), 5, (2, 1, 2), 2, 6),
    ((3, 4), 3, 1, 1, 4),
]


@pytest.mark.parametrize(("channels", "kernel", "stride", "groups", "frames"), CONVOLUTIONS)
def test_both_grouped_forms_are_the_textbook_convolution(
    channels: tuple[int, int], kernel: int, stride: int | Triple, groups: int, frames: int
) -> None:
    inside, outside = channels
    rng = np.random.default_rng(frames)
    x = rng.standard_normal((2, inside, frames, 7, 6)).astype(np.float32)
    cells = [GroupedConv3d(inside, outside, kernel, stride, groups, form=form) for form in GROUPED_FORMS]
    weight = rng.standard_normal(cells[0].weight.shape).astype(np.float32)
    assert weight.shape == (outside, inside // groups, kernel, kernel, kernel)
    steps = (stride,) * 3 if isinstance(stride, int) else stride
    toward = rng.standard_normal(textbook(x, weight, steps, groups)[0].shape).astype(np.float32)
    expected = textbook(x, weight, steps, groups, toward)
    assert expected[0].shape[2:] == tuple(-(-size // step) for size, step in zip(x.shape[2:], steps, strict=True))
    for cell in cells:
        cell.weight.set_data(Tensor(weight))
        for found, wanted in zip(results(cell, x, toward), expected, strict=True):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.usefixtures("_pynative")
def test_a_grouped_convolution_is_a_dense_one_between_its_groups() -> None:
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((1, 6, 5, 7, 9)).astype(np.float32))
    for kernel in (1, 3, 5):
        grouped, dense = conv3d(6, 9, kernel, (1, 2, 2), groups=3), conv3d(6, 9, kernel, (1, 2, 2))
        assert isinstance(grouped, GroupedConv3d)
        assert isinstance(dense, nn.Conv3d)
        weight = np.zeros(dense.weight.shape, np.float32)
        for g in range(3):
            weight[3 * g : 3 * g + 3, 2 * g : 2 * g + 2] = grouped.weight.asnumpy()[3 * g : 3 * g + 3]
        dense.weight.set_data(Tensor(weight))
        np.testing.assert_allclose(grouped(x).asnumpy(), dense(x).asnumpy(), atol=1e-5)


@pytest.mark.usefixtures("_pynative")
def test_a_kernel_of_other_frames_than_rows() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 9, 8)).astype(np.float32)
    for frames, kernel in ((5, 3), (1, 3), (3, 1)):
        banded, grouped = (GroupedConv3d(3, 2, kernel, (1, 2, 2), frames=frames, form=form) for form in GROUPED_FORMS)
        padding = (frames // 2,) * 2 + (kernel // 2,) * 4
        dense = nn.Conv3d(3, 2, (frames, kernel, kernel), (1, 2, 2), pad_mode="pad", padding=padding)
        for cell in (grouped, dense):
            cell.weight.set_data(banded.weight)
            np.testing.assert_allclose(banded(Tensor(x)).asnumpy(), cell(Tensor(x)).asnumpy(), atol=1e-5)


@pytest.mark.usefixtures("_pynative")
@pytest.mark.parametrize(
    ("channels", "frames", "length"), [(2, 3, 16), (2, 5, 21), (5, 5, 24), (20, 3, 14), (2, 3, 13)]
)
def test_long_clips_are_a_few_frames_at_once(channels: int, frames: int, length: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, length, 9, 8)).astype(np.float32)
    banded, grouped = (GroupedConv3d(3, channels, 7, (1, 2, 2), frames=frames, form=form) for form in GROUPED_FORMS)
    grouped.weight.set_data(banded.weight)
    toward = rng.standard_normal((2, channels, length, 5, 4)).astype(np.float32)
    expected = results(grouped, x, toward)
    for found, wanted in zip(results(banded, x, toward), expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_array_equal(banded(Tensor(x)).asnumpy(), banded.frames_at_once(Tensor(x)).asnumpy())
    # A band over all frames, in another order of additions, is for shorter clips alone.
    short = Tensor(x[:, :, : WIDE * frames])
    np.testing.assert_allclose(banded(short).asnumpy(), grouped(short).asnumpy(), atol=1e-4)
    assert not np.array_equal(banded(short).asnumpy(), banded.frames_at_once(short).asnumpy())


def test_ill_formed_grouped_convolutions() -> None:
    with pytest.raises(ValueError, match=r"'fast'.*banded, grouped"):
        GroupedConv3d(2, 2, 3, 1, 2, form="fast")
    for kernel, groups in ((2, 2), (3, 3)):
        with pytest.raises(ValueError, match=r"odd kernel.*multiples of the groups"):
            GroupedConv3d(6 if groups == 2 else 4, 6, kernel, 1, groups)
    with pytest.raises(ValueError, match=r"kernel \(2, 3, 3\)"):
        GroupedConv3d(2, 2, 3, frames=2)


def test_the_form_is_set_throughout_a_network() -> None:
    network = nn.SequentialCell(GroupedConv3d(2, 2, 3, 1, 2), nn.SequentialCell(nn.ReLU(), conv3d(4, 2, 1, groups=2)))
    set_grouped_form(network, "grouped")
    forms = [cell.form for _, cell in network.cells_and_names() if isinstance(cell, GroupedConv3d)]
    assert forms == ["grouped", "grouped"]


def test_dense_convolutions_keep_sizes_at_stride_one() -> None:
    ones = Tensor(np.ones((1, 2, 3, 5, 4), np.float32))
    assert conv3d(2, 6, 3)(ones).shape == (1, 6, 3, 5, 4)
    assert conv3d(2, 6, 3, (1, 2, 2))(ones).shape == (1, 6, 3, 3, 2)
    assert conv3d(2, 6, 1)(ones).shape == (1, 6, 3, 5, 4)
    assert [p.name for p in conv3d(2, 6, 3).get_parameters()] == ["weight"]  # no bias
    assert [p.name for p in conv3d(2, 6, 3, bias=True).get_parameters()] == ["weight", "bias"]


@pytest.mark.usefixtures("_pynative")
@pytest.mark.parametrize("shape", [(1, 2, 1, 1, 1), (2, 3, 5, 7, 6), (1, 2, 8, 4, 9)])
def test_maximum_pooling_never_takes_its_padding(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for clip in (x, -np.abs(x) - 1):
        found = MaxPool3d()(Tensor(clip)).asnumpy()
        expected = windows(clip, (3, 3, 3), (2, 2, 2), (1, 1, 1), fill=-np.inf).max(axis=(5, 6, 7))
        assert found.shape == (*shape[:2], *(-(-size // 2) for size in shape[2:]))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 2, 2, 1, 1), (2, 3, 4, 7, 6), (1, 1, 8, 4, 9)])
def test_average_pooling_counts_its_padding(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    found = AvgPool3d(shape[1], (2, 3, 3), 2, (0, 1, 1))(Tensor(x)).asnumpy()
    expected = windows(x, (2, 3, 3), (2, 2, 2), (0, 1, 1)).mean(axis=(5, 6, 7))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("channels", "groups"), [(6, 1), (6, 2), (6, 3), (24, 4), (6, 6)])
def test_the_shuffle_is_a_transposition_of_groups(channels: int, groups: int) -> None:
    x = np.random.default_rng(2).standard_normal((2, channels, 2, 3, 4)).astype(np.float32)
    found = ChannelShuffle(channels, groups)(Tensor(x)).asnumpy()
    split = x.reshape(2, groups, channels // groups, 2, 3, 4)
    np.testing.assert_array_equal(found, split.swapaxes(1, 2).reshape(x.shape))


def masks(seed: int, calls: int = 12, *, rate: float = 0.25, shape: tuple[int, ...] = (40, 100)) -> np.ndarray:
    cell = Dropout(rate, seed).set_train(True)
    ones = ops.ones(shape, ms.float32)
    return np.stack([cell(ones).asnumpy() for _ in range(calls)])


def test_dropout_repeats_from_its_seed() -> None:
    first = masks(1)
    np.testing.assert_array_equal(first, masks(1))
    assert (first != masks(2)).any()
    assert (first[0] != first[1]).any()  # each step has another mask


def test_dropout_zeroes_its_share_and_scales_the_rest() -> None:
    found = masks(3)
    assert len({mask.tobytes() for mask in found}) == 12
    assert np.unique(found).tolist() == pytest.approx([0, 1 / 0.75])
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_masks_of_dropout_are_independent_between_steps_seeds_and_places(rate: float) -> None:
    # For independent draws every correlation is within 5 standard errors, and every mean too.
    found = np.stack([masks(seed, 60, rate=rate, shape=(8, 200)).reshape(60, -1) > 0 for seed in (0, 1, 2)])
    deviation = np.sqrt(rate * (1 - rate))
    kept = (found - (1 - rate)) / deviation
    assert abs(kept.mean((0, 1))).max() < 5 / np.sqrt(180)
    assert abs(kept.mean(2)).max() < 5 / np.sqrt(1600)
    draws = kept.reshape(180, -1)
    between = draws @ draws.T / draws.shape[1] - np.eye(180)
    assert abs(between[~np.eye(180, dtype=bool)]).max() < 6 / np.sqrt(1600)


@pytest.mark.parametrize("name", ["mobilenetv2_3d", "mobilenet_3d", "shufflenet_3d", "squeezenet_3d", "i3d"])
def test_a_networks_masks_of_dropout_come_from_its_seed(name: str) -> None:
    network = create_model(name, num_classes=3, dropout=0.5, seed=7)
    keys = [parameter for parameter in network.get_parameters() if parameter.name.endswith(MASK_KEY)]
    assert [key.asnumpy().tolist() for key in keys] == [[7, 0]]
    assert keys[0].dtype == dtype.int32


def test_dropout_goes_on_with_its_masks_from_a_stored_state() -> None:
    ones = ops.ones((4, 50), ms.float32)
    whole = masks(5, 6, shape=(4, 50))
    first = Dropout(0.25, 5).set_train(True)
    for _ in range(3):
        first(ones)
    second = Dropout(0.25, 0).set_train(True)
    second.mask_key.set_data(Tensor(first.mask_key.asnumpy()))
    np.testing.assert_array_equal(np.stack([second(ones).asnumpy() for _ in range(3)]), whole[3:])


def test_devices_draw_their_shares_of_one_mask() -> None:
    whole = masks(6, 2, shape=(4, 50))
    for rank in (0, 1):
        cell = Dropout(0.25, 6).set_train(True)
        cell.rank = rank
        share = np.stack([cell(ops.ones((2, 50), ms.float32)).asnumpy() for _ in range(2)])
        np.testing.assert_array_equal(share, whole[:, 2 * rank : 2 * rank + 2])


def test_dropout_is_the_identity_in_evaluation_and_at_rate_zero() -> None:
    x = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    np.testing.assert_array_equal(Dropout(0.9).set_train(False)(Tensor(x)).asnumpy(), x)
    np.testing.assert_array_equal(Dropout(0.0).set_train(True)(Tensor(x)).asnumpy(), x)


def network() -> nn.Cell:
    grouped = GroupedConv3d(64, 64, 3, 1, 8)
    return nn.SequentialCell(conv3d(16, 64, 3, bias=True), nn.BatchNorm3d(64), grouped, nn.Dense(64, 500))


@pytest.mark.parametrize("linear_std", [0.01, None])
def test_initial_weights_by_fan_out(linear_std: float | None) -> None:
    cell = network()
    init_fan_out(cell, 1, linear_std)
    values = {p.name: p.asnumpy() for p in cell.get_parameters()}
    assert values["0.weight"].std() == pytest.approx(np.sqrt(2 / (27 * 64)), rel=0.03)
    assert values["2.weight"].std() == pytest.approx(np.sqrt(2 / (27 * 64)), rel=0.03)
    assert np.abs(values["0.weight"]).max() > 3 * values["0.weight"].std()  # normal, not uniform
    if linear_std is None:
        is_uniform(values["3.weight"], 1 / np.sqrt(64))
    else:
        assert values["3.weight"].std() == pytest.approx(linear_std, rel=0.03)
    has_plain_norms_and_biases(values)


def test_initial_weights_by_default() -> None:
    cell = network()
    init_uniform(cell, 1)
    values = {p.name: p.asnumpy() for p in cell.get_parameters()}
    is_uniform(values["0.weight"], 1 / np.sqrt(27 * 16))
    is_uniform(values["2.weight"], 1 / np.sqrt(27 * 8))
    is_uniform(values["3.weight"], 1 / np.sqrt(64))
    has_plain_norms_and_biases(values)


def is_uniform(weight: np.ndarray, bound: float) -> None:
    assert np.abs(weight).max() <= bound
    assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.03)


def has_plain_norms_and_biases(values: dict[str, np.ndarray]) -> None:
    assert all(abs(value.mean()) < 0.1 * value.std() for name, value in values.items() if name.endswith("weight"))
    assert (values["0.bias"] == 0).all()
    assert (values["3.bias"] == 0).all()
    for name, value in {"gamma": 1, "moving_variance": 1, "beta": 0, "moving_mean": 0}.items():
        assert (values[f"1.bn2d.{name}"] == value).all()


def test_a_bias_in_a_grouped_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 groups.*no bias"):
        conv3d(4, 4, 3, groups=2, bias=True)
