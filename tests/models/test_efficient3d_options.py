"""What the networks of Efficient-3DCNNs can be asked for: options, clips of other sizes, seeds, checkpoints."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.core.errors import BookError
from actionbook.models import create_model, list_models
from actionbook.models.layers import GroupedConv3d
from actionbook.models.resnet_3d import BasicBlock, ShortcutA
from actionbook.models.shufflenet_3d import CHANNELS, Unit
from actionbook.weights import WeightsError, export_state, load

NETWORKS = json.loads((Path(__file__).parent / "data" / "narrow_golden.json").read_text())["networks"]
NARROW: dict[str, dict[str, Any]] = {name: case["options"] for name, case in NETWORKS.items() if name != "i3d"}
# model, options, what the message says.
REFUSED = [
    ("mobilenetv2_3d", {"depth": 5}, "depth"),
    ("mobilenet_3d", {"groups": 2}, "groups"),
    ("shufflenet_3d", {"groups": 5}, "groups 5.*1, 2, 3, 4, 8"),
    ("shufflenet_3d", {"width": 0.3}, "7 -> 18, 3 groups.*multiples"),
    ("shufflenetv2_3d", {"width": 0.75}, "width 0.75.*0.25, 0.5, 1.0, 1.5, 2.0"),
    ("squeezenet_3d", {"version": "1.2"}, "'1.2'.*1.0, 1.1"),
    ("resnet18_3d", {"shortcut": "C"}, "'C'.*A, B"),
    ("resnet50_3d", {"shortcut": "a"}, "'a'.*A, B"),
    ("resnext101_3d", {"width": 0.2}, "width 0.2.*1/4"),
    ("resnet101_3d", {"cardinality": 32}, "cardinality"),
]


def clip(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def narrow(model: str, seed: int) -> nn.Cell:
    return create_model(model, num_classes=7, seed=seed, **NARROW[model])


@cache
def shared(model: str) -> nn.Cell:
    """A network that no test changes."""
    return narrow(model, seed=1)


def test_networks_by_name() -> None:
    assert list_models() == sorted([*NARROW, "i3d"])
    with pytest.raises(BookError, match=r"'mobilenet9'.*mobilenetv2_3d.*squeezenet_3d"):
        create_model("mobilenet9", num_classes=3)


@pytest.mark.parametrize(("model", "options", "message"), REFUSED)
def test_options_that_do_not_exist(model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BookError, match=rf"'{model}'.*{message}"):
        create_model(model, num_classes=3, **options)


@pytest.mark.usefixtures("_pynative")
@pytest.mark.parametrize("model", sorted(set(NARROW) - {"slowfast_r50"}))  # takes two clips, see test_slowfast.py
def test_clips_of_other_sizes(model: str) -> None:
    network = shared(model)
    assert not network.training
    shapes = [(2, 3, 8, 32, 64) if model == "eco_full" else (2, 3, 8, 48, 48)]
    if model in ("mobilenet_3d", "resnet18_3d", "shufflenet_3d", "squeezenet_3d"):  # each kind of pool and shortcut
        shapes.append((1, 3, 32, 64, 48))
    if model == "mobilenetv2_3d":  # which is also trained on single frames
        shapes.append((2, 3, 1, 32, 32))
    for shape in shapes:
        logits = network(clip(*shape)).asnumpy()
        assert logits.shape == (shape[0], 7)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
        assert np.ptp(logits) > 0


@pytest.mark.parametrize("frames", [1, 3])
def test_shufflenet_pools_an_odd_frame_with_itself(frames: int) -> None:
    x = clip(2, 6, frames, 5, 6)
    found = Unit(6, 60, 2, 3).set_train(False)(x).asnumpy()
    assert found.shape == (2, 60, (frames + 1) // 2, 3, 3)
    edges = [(0, 0), (0, 0), (0, frames % 2), (0, 0), (0, 0)]
    padded = np.pad(np.pad(x.asnumpy(), edges, mode="edge"), [(0, 0)] * 3 + [(1, 1)] * 2)
    pairs = np.lib.stride_tricks.sliding_window_view(padded, (2, 3, 3), axis=(2, 3, 4))[:, :, ::2, ::2, ::2]
    np.testing.assert_allclose(found[:, 54:], np.maximum(pairs.mean(axis=(5, 6, 7)), 0), atol=1e-6)


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_shufflenet_groups_its_first_unit_unless_it_has_24_channels(width: float) -> None:
    network = create_model("shufflenet_3d", num_classes=3, width=width)
    first = network.layer1[0].conv1
    assert isinstance(first, GroupedConv3d) == (width != 1)
    assert first.weight.shape == ((60, 24, 1, 1, 1) if width == 1 else (30, 4, 1, 1, 1))
    assert isinstance(network.layer1[1].conv1, GroupedConv3d)


@pytest.mark.parametrize("groups", sorted(CHANNELS))
def test_shufflenet_takes_the_groups_of_its_table(groups: int) -> None:
    network = create_model("shufflenet_3d", num_classes=3, groups=groups)
    ends = [stage[-1].bn3.bn2d.gamma.shape[0] for stage in (network.layer1, network.layer2, network.layer3)]
    assert tuple(ends) == CHANNELS[groups]
    assert network.layer3[1].conv3.weight.shape == (ends[2], ends[2] // 4 // groups, 1, 1, 1)


def test_shufflenetv2_by_the_names_of_its_checkpoints() -> None:
    network, other = shared("shufflenetv2_3d"), narrow("shufflenetv2_3d", seed=2)
    state = export_state(network)
    branches = {name.split(".")[2] for name in state if name.startswith("features")}
    assert branches == {"banch1", "banch2"}
    assert state["features.0.banch1.1.running_var"].shape == (24,)
    report = load(other, {f"module.{name}": array for name, array in state.items()})
    assert len(report.loaded) == len(state) == 282
    for name, copy in export_state(other).items():
        np.testing.assert_array_equal(copy, state[name])
    with pytest.raises(WeightsError, match=r"features\.0\.banch1\.0\.weight"):
        load(other, {name.replace("banch", "branch"): array for name, array in state.items()})


@pytest.mark.parametrize("model", sorted(set(NARROW) - {"resnet101_3d"}))
def test_the_seed_decides_the_fresh_weights(model: str) -> None:
    def values(network: nn.Cell) -> np.ndarray:
        return np.concatenate([p.asnumpy().ravel() for p in network.get_parameters()])

    first = values(shared(model))
    np.testing.assert_array_equal(first, values(narrow(model, seed=1)))
    assert (first != values(narrow(model, seed=2))).any()


@pytest.mark.parametrize("model", ["mobilenet_3d", "shufflenet_3d", "shufflenetv2_3d"])
def test_networks_that_begin_with_uniform_weights(model: str) -> None:
    large = [p for p in shared(model).get_parameters() if len(p.shape) > 1 and p.size > 2000]
    assert len(large) > 2
    for parameter in large:
        bound = 1 / np.sqrt(np.prod(parameter.shape[1:]))
        assert np.abs(parameter.asnumpy()).max() <= bound
        assert parameter.asnumpy().std() == pytest.approx(bound / np.sqrt(3), rel=0.05), parameter.name


@pytest.mark.parametrize("model", ["mobilenetv2_3d", "resnet18_3d", "resnet50_3d", "resnext101_3d", "squeezenet_3d"])
def test_networks_that_begin_with_normal_weights(model: str) -> None:
    large = [p for p in shared(model).get_parameters() if len(p.shape) == 5 and p.size > 2000]
    assert len(large) > 2
    for parameter in large:
        std = np.sqrt(2 / (np.prod(parameter.shape[2:]) * parameter.shape[0]))
        assert parameter.asnumpy().std() == pytest.approx(std, rel=0.08), parameter.name


def test_shortcut_a_picks_values_and_passes_gradients() -> None:
    cell, x = ShortcutA(3, 5, 2), clip(2, 3, 5, 6, 7)

    def product(inputs: Tensor) -> tuple[Tensor, Tensor]:
        out = cell(inputs)
        return (out * out).sum(), out

    (_, out), gradient = ms.value_and_grad(product, 0, has_aux=True)(x)
    picked = x.asnumpy()[:, :, ::2, ::2, ::2]
    np.testing.assert_array_equal(out.asnumpy()[:, :3], picked)
    assert (out.asnumpy()[:, 3:] == 0).all()
    expected = np.zeros(x.shape, np.float32)
    expected[:, :, ::2, ::2, ::2] = 2 * picked
    np.testing.assert_allclose(gradient.asnumpy(), expected, atol=1e-6)


def test_a_block_learns_through_its_shortcut_alone() -> None:
    block, x = BasicBlock(2, 4, 2, "A").set_train(False), clip(1, 2, 4, 4, 4)
    for parameter in block.get_parameters():
        if parameter.name.startswith("conv"):
            parameter.set_data(Tensor(np.zeros(parameter.shape, np.float32)))

    def total(inputs: Tensor) -> Tensor:
        return block(inputs).sum()

    gradient = ms.grad(total)(x).asnumpy()
    expected = np.zeros(x.shape, np.float32)
    expected[:, :, ::2, ::2, ::2] = x.asnumpy()[:, :, ::2, ::2, ::2] > 0
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("model", ["resnet18_3d", "resnet50_3d"])
def test_the_shortcuts_differ_in_their_convolutions_only(model: str) -> None:
    a, b = (
        {p.name: p.shape for p in create_model(model, num_classes=3, width=0.0625, shortcut=kind).get_parameters()}
        for kind in "AB"
    )
    assert a == {name: shape for name, shape in b.items() if "downsample" not in name}
    assert len(b) - len(a) == 5 * (3 if model == "resnet18_3d" else 4)
