"""ECO: its pools, its residual sums, the order of its features, and what it does not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.models import check_clips, create_model, eco
from actionbook.models.eco import ECO, EqualPool, HalvingPool, Stage3D
from actionbook.models.layers import Dropout, undrawn
from actionbook.models.profile import layer_table

NARROW: dict[str, Any] = {"num_classes": 5, "width": 0.05}
RNG = np.random.default_rng(3)
Inside = Callable[..., list[np.ndarray]]


def clip(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_the_table_of_parts() -> None:
    # Four frames of 224 x 224; at 32 x 32 every map has a 49th of the places.
    with undrawn():
        network = create_model("eco_full", num_classes=400)
    table = layer_table(network, (3, 4, 32, 32))
    part = table.name.str.split(".").str[0]
    hand_off = table.name.str.startswith("inception_3c.double_reduce") | table.name.str.startswith(
        "inception_3c.double_1"
    )
    part[part == "inception_3c"] = "tail"
    part[hand_off] = "trunk"
    part[part.str.startswith("res")] = "3-D"
    totals = table.groupby(part)[["parameters", "macs"]].sum()
    assert totals.parameters.to_dict() == {"trunk": 681_568, "3-D": 36_617_088, "tail": 9_588_672, "fc": 614_800}
    gmacs = (totals.macs[["trunk", "3-D", "tail"]] * 49 / 1e9).to_dict()
    assert gmacs == pytest.approx({"trunk": 3.645, "3-D": 7.977, "tail": 4.481}, abs=1e-3)
    kinds = table.kind.value_counts()
    assert kinds["batch norm"] == 80
    assert kinds["convolution"] + kinds["pointwise convolution"] == 82
    assert tuple(table.output[table.name == "inception_3c.double_1.conv"].iloc[0]) == (96, 4, 4)


@pytest.mark.usefixtures("_pynative")
@pytest.mark.parametrize("side", [2, 4, 6, 14])
def test_halving_pools_begin_with_the_picture_and_the_ports_before_it(side: int) -> None:
    x = np.abs(clip(1, 2, side, side))
    ends = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = range(0, side, 2)

    def largest(first: int) -> np.ndarray:
        rows = [[ends[:, :, i + first : i + first + 3, j + first : j + first + 3] for j in windows] for i in windows]
        return np.array([[part.max(axis=(2, 3)) for part in row] for row in rows]).transpose(2, 3, 0, 1)

    np.testing.assert_array_equal(HalvingPool("ceil")(Tensor(x)).asnumpy(), largest(1))
    np.testing.assert_array_equal(HalvingPool("port")(Tensor(x)).asnumpy(), largest(0))


@pytest.mark.usefixtures("_pynative")
@pytest.mark.parametrize("sides", [(1, 1), (1, 4), (2, 2), (3, 5)])
def test_equal_pools_divide_by_nine_and_the_ports_by_what_is_there(sides: tuple[int, int]) -> None:
    x = clip(1, 2, *sides)
    padded, there = (np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1))) for a in (x, np.ones_like(x)))

    def sums(a: np.ndarray) -> np.ndarray:
        return sum(a[:, :, i : i + sides[0], j : j + sides[1]] for i in range(3) for j in range(3))

    np.testing.assert_allclose(EqualPool("ceil")(Tensor(x)).asnumpy(), sums(padded) / 9, atol=1e-6)
    np.testing.assert_allclose(EqualPool("port")(Tensor(x)).asnumpy(), sums(padded) / sums(there), atol=1e-6)


@pytest.mark.usefixtures("_pynative")
@pytest.mark.parametrize("stride", [1, 2])
def test_shortcuts_carry_sums_that_are_not_normalised(stride: int) -> None:
    stage = Stage3D(3, 4, stride, eps=1e-5).set_train(False)
    stage.a_bn.bn2d.moving_mean.set_data(Tensor(clip(4)))
    x = Tensor(clip(2, 3, 4, 6, 6))
    first = stage.a_2(x) if stride == 1 else stage.a_2(ops.relu(stage.a_1_bn(stage.a_1(x)))) + stage.a_down(x)
    normed = ops.relu(stage.a_bn(first))
    branch = stage.b_2(ops.relu(stage.b_1_bn(stage.b_1(normed))))
    found = stage(x).asnumpy()
    np.testing.assert_allclose(found, ops.relu(stage.b_bn(first + branch)).asnumpy(), atol=1e-6)
    assert np.abs(found - ops.relu(stage.b_bn(normed + branch)).asnumpy()).max() > 0.1
    assert found.shape == (2, 4, 4 // stride, 6 // stride, 6 // stride)


def test_features_of_frames_come_first_and_those_of_time_last(inside: Inside) -> None:
    network = create_model("eco_full", **NARROW)
    x = clip(2, 3, 8, 32, 32)
    flat, deep, logits = inside(network, x, "tail.inception_5b", "res5", "")
    assert flat.shape[0] == 16
    features = [flat.mean(axis=(2, 3)).reshape(2, 8, -1).mean(axis=1), deep.mean(axis=(2, 3, 4))]
    weight, bias = network.fc.weight.asnumpy(), network.fc.bias.asnumpy()
    np.testing.assert_allclose(np.concatenate(features, 1) @ weight.T + bias, logits, atol=1e-5)
    assert np.abs(np.concatenate(features[::-1], 1) @ weight.T + bias - logits).max() > 1e-3
    lite = create_model("eco_lite", **NARROW)
    deep, logits = inside(lite, x, "res5", "")
    expected = deep.mean(axis=(2, 3, 4)) @ lite.fc.weight.asnumpy().T + lite.fc.bias.asnumpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("model", ["eco_full", "eco_lite"])
def test_the_3d_part_sees_the_order_of_frames_and_the_2d_part_does_not(inside: Inside, model: str) -> None:
    network = create_model(model, **NARROW)
    x = clip(1, 3, 4, 32, 32)
    names = ["res5", *(["tail.inception_5b"] if model == "eco_full" else [])]
    forwards, backwards = inside(network, x, *names), inside(network, x[:, :, ::-1].copy(), *names)
    assert np.abs(forwards[0] - backwards[0]).max() > 1e-3
    for one, other in zip(forwards[1:], backwards[1:], strict=True):
        np.testing.assert_allclose(one, other[::-1], atol=1e-6)


def test_videos_of_a_batch_do_not_mix(inside: Inside) -> None:
    network = create_model("eco_full", **NARROW)
    x = clip(2, 3, 4, 32, 32)
    both, alone = inside(network, x, "")[0], [inside(network, one[None], "")[0][0] for one in x]
    np.testing.assert_allclose(both, alone, atol=1e-5)


def test_weights_are_the_same_for_any_number_of_segments(inside: Inside) -> None:
    network = create_model("eco_lite", **NARROW)
    assert [inside(network, clip(1, 3, t, 32, 32), "")[0].shape for t in (4, 8, 20)] == [(1, 5)] * 3


@pytest.mark.parametrize(
    ("model", "shape", "match"),
    [
        ("eco_full", (3, 6, 32, 32), "6 frames.*multiple of 4"),
        ("eco_full", (3, 4, 48, 64), "48 x 64.*multiples of 32"),
        ("eco_lite", (3, 4, 48, 36), "48 x 36.*multiples of 8"),
    ],
)
def test_clips_that_do_not_fit(inside: Inside, model: str, shape: tuple[int, ...], match: str) -> None:
    network = create_model(model, **NARROW)
    with pytest.raises(ValueError, match=match):
        inside(network, clip(1, *shape), "")
    with pytest.raises(BookError, match=f"recipe 'x'.*{match}"):
        check_clips(network, Spec.of(shape), "recipe 'x'")


def test_options() -> None:
    with pytest.raises(BookError, match=r"'same'.*ceil, port"):
        create_model("eco_full", pools="same", **NARROW)
    network = create_model("eco_full", dropout=0.4, dropout_3d=0.2, pools="port", eps=1e-3, **NARROW)
    assert [c.rate for _, c in network.cells_and_names() if isinstance(c, Dropout)] == [0.4, 0.2]
    assert {c.eps for _, c in network.cells_and_names() if isinstance(c, nn.BatchNorm2d)} == {1e-3}
    assert len(list(create_model("eco_full", **NARROW).get_parameters())) == 486 + 2  # masks of dropout
    assert len(list(create_model("eco_lite", **NARROW).get_parameters())) == 186 + 1


def test_initial_weights() -> None:
    one, same, other = (create_model("eco_lite", num_classes=5, width=0.25, seed=seed) for seed in (1, 1, 2))
    weights = [network.res4.b_1.weight.asnumpy() for network in (one, same, other)]
    limit = np.sqrt(6 / (2 * 64 * 27))  # Xavier's, of 64 -> 64 channels and 27 places
    assert np.abs(weights[0]).max() == pytest.approx(limit, rel=0.01)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()
    assert not one.fc.bias.asnumpy().any()


def test_dropout_acts_on_frames_before_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    class Noted(Dropout):
        def construct(self, x: Tensor) -> Tensor:
            seen.append(x.shape)
            return x

    monkeypatch.setattr(eco, "Dropout", Noted)
    network = create_model("eco_full", **NARROW)
    assert isinstance(network, ECO)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        network(Tensor(clip(2, 3, 4, 32, 32)))
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    flat = network.fc.in_channels - 25
    assert seen == [(8, flat), (2, 25)]
