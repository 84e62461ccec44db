"""Layers: the fast depthwise convolution is the textbook one, dropout repeats, fresh weights have the stated spread."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from actionbook.core.runtime import set_device
from actionbook.models.layers import (
    GROUPED_FORMS,
    GroupedConv3d,
    Dropout,
    conv3d,
    init_fan_out,
    set_grouped_form,
)


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


def textbook(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Depthwise 3x3x3 convolution with padding 1 by its definition, in float64."""
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)])
    sizes = [(size - 1) // stride + 1 for size in x.shape[2:]]
    out = np.zeros((*x.shape[:2], *sizes))
    for k in np.ndindex(3, 3, 3):
        window = tuple(slice(k[d], k[d] + (sizes[d] - 1) * stride + 1, stride) for d in range(3))
        out += padded[:, :, *window] * weight[None, :, 0, *k, None, None, None]
    return out


def results(form: str, x: np.ndarray, weight: np.ndarray, stride: int, toward: np.ndarray) -> list[np.ndarray]:
    """Output of a fresh cell, and the gradients of its inner product with `toward`: by input, by weight."""
    cell = GroupedConv3d(x.shape[1], stride, form)
    cell.weight.set_data(Tensor(weight))

    def product(clip: Tensor) -> tuple[Tensor, Tensor]:
        out = cell(clip)
        return (out * Tensor(toward)).sum(), out

    both = ms.value_and_grad(product, 0, [cell.weight], has_aux=True)
    (_, out), (by_input, (by_weight,)) = both(Tensor(x))
    return [out.asnumpy(), by_input.asnumpy(), by_weight.asnumpy()]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_both_depthwise_forms_are_the_textbook_convolution(frames: int, stride: int) -> None:
    rng = np.random.default_rng(frames)
    x = rng.standard_normal((2, 4, frames, 7, 6)).astype(np.float32)
    weight = rng.standard_normal((4, 1, 3, 3, 3)).astype(np.float32)
    expected = textbook(x, weight, stride)
    toward = rng.standard_normal(expected.shape).astype(np.float32)
    banded, grouped = (results(form, x, weight, stride, toward) for form in GROUPED_FORMS)
    for found in (banded[0], grouped[0]):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # The gradient by the input is the adjoint: <conv(x), toward> = <x, gradient>.
    inner = (expected * toward).sum()
    assert (x * banded[1].astype(np.float64)).sum() == pytest.approx(inner, abs=1e-3)
    assert (weight * banded[2].astype(np.float64)).sum() == pytest.approx(inner, abs=1e-3)
    for one, other in zip(banded[1:], grouped[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_unknown_depthwise_forms() -> None:
    with pytest.raises(ValueError, match="depthwise form 'fast': expected one of banded, grouped"):
        GroupedConv3d(2, form="fast")


def test_the_form_is_set_throughout_a_network() -> None:
    network = nn.SequentialCell(GroupedConv3d(2), nn.SequentialCell(nn.ReLU(), GroupedConv3d(2, 2)))
    set_grouped_form(network, "grouped")
    forms = [cell.form for _, cell in network.cells_and_names() if isinstance(cell, GroupedConv3d)]
    assert forms == ["grouped", "grouped"]


def test_dense_convolutions_keep_sizes_at_stride_one() -> None:
    ones = Tensor(np.ones((1, 2, 3, 5, 4), np.float32))
    assert conv3d(2, 6, 3)(ones).shape == (1, 6, 3, 5, 4)
    assert conv3d(2, 6, 3, (1, 2, 2))(ones).shape == (1, 6, 3, 3, 2)
    assert conv3d(2, 6, 1)(ones).shape == (1, 6, 3, 5, 4)
    assert [p.name for p in conv3d(2, 6, 3).get_parameters()] == ["weight"]  # no bias


def masks(seed: int, calls: int = 12) -> np.ndarray:
    # More than five calls: kernels that look for their best number of threads do so in the first five.
    cell = Dropout(0.25, seed).set_train(True)
    ones = ops.ones((40, 100), ms.float32)
    return np.stack([cell(ones).asnumpy() for _ in range(calls)])


def test_dropout_repeats_from_its_seed() -> None:
    first = masks(1)
    for _ in range(4):
        np.testing.assert_array_equal(first, masks(1))
    assert (first != masks(2)).any()
    assert (first[0] != first[1]).any()  # each step has another mask


def test_dropout_zeroes_its_share_and_scales_the_rest() -> None:
    found = masks(3)
    assert len({mask.tobytes() for mask in found}) == 12
    assert np.unique(found).tolist() == pytest.approx([0, 1 / 0.75])
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.02)


def test_dropout_is_the_identity_in_evaluation_and_at_rate_zero() -> None:
    x = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    np.testing.assert_array_equal(Dropout(0.9).set_train(False)(Tensor(x)).asnumpy(), x)
    np.testing.assert_array_equal(Dropout(0.0).set_train(True)(Tensor(x)).asnumpy(), x)


def test_initial_weights_have_the_stated_spread() -> None:
    network = nn.SequentialCell(conv3d(16, 64, 3), nn.BatchNorm3d(64), GroupedConv3d(64), nn.Dense(64, 500))
    init_fan_out(network, seed=1)
    values = {p.name: p.asnumpy() for p in network.get_parameters()}
    spread = {name: value.std() for name, value in values.items() if name.endswith("weight")}
    assert spread == {
        "0.weight": pytest.approx(np.sqrt(2 / (27 * 64)), rel=0.03),
        "2.weight": pytest.approx(np.sqrt(2 / (27 * 64)), rel=0.06),
        "3.weight": pytest.approx(0.01, rel=0.03),
    }
    assert all(abs(values[name].mean()) < 0.1 * std for name, std in spread.items())
    assert (values["3.bias"] == 0).all()
    for name, value in {"gamma": 1, "moving_variance": 1, "beta": 0, "moving_mean": 0}.items():
        assert (values[f"1.bn2d.{name}"] == value).all()
