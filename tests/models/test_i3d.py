"""I3D: its stages, both heads, and the SAME pool's gradient."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Tensor, nn, ops

from actionbook.core.errors import BookError
from actionbook.models import create_model
from actionbook.models.i3d import AverageHead, Inception, Logits, MaxHead, Unit3D
from actionbook.models.layers import init_fan_out
from actionbook.models.pool_gradient import max_pool_gradient
from actionbook.models.pooling import MaxPool3d, SamePool3d
from actionbook.models.profile import layer_table, watch_outputs

# Output, parameters and thousands of millions of multiply-accumulates of each stage, rgb, 64 frames.
STAGES = {
    "Conv3d_1a_7x7": ((64, 32, 112, 112), 65_984, 26.435),
    "Conv3d_2b_1x1": ((64, 32, 56, 56), 4_224, 0.411),
    "Conv3d_2c_3x3": ((192, 32, 56, 56), 332_160, 33.294),
    "Mixed_3b": ((256, 32, 28, 28), 386_272, 9.672),
    "Mixed_3c": ((480, 32, 28, 28), 837_888, 20.989),
    "Mixed_4b": ((512, 16, 14, 14), 737_760, 2.310),
    "Mixed_4c": ((512, 16, 14, 14), 904_464, 2.832),
    "Mixed_4d": ((512, 16, 14, 14), 1_103_664, 3.457),
    "Mixed_4e": ((528, 16, 14, 14), 1_356_672, 4.250),
    "Mixed_4f": ((832, 16, 14, 14), 1_799_168, 5.636),
    "Mixed_5b": ((832, 8, 7, 7), 1_974_272, 0.773),
    "Mixed_5c": ((1024, 8, 7, 7), 2_784_736, 1.091),
    "logits": ((400, 7, 1, 1), 410_000, 0.003),
}
NARROW: dict[str, Any] = {"num_classes": 3, "width": 0.05}


def test_the_table_of_stages() -> None:
    # At 32 x 32 pixels every map but the last has a 49th of the positions that it has at 224 x 224.
    table = layer_table(create_model("i3d", num_classes=400), (3, 64, 32, 32))
    stage = table.name.str.split(".").str[0]
    totals = table.groupby(stage, sort=False)[["parameters", "macs"]].sum()
    outputs = table.groupby(stage).output.last()
    assert list(totals.index) == list(STAGES)
    for name, (shape, parameters, gmacs) in STAGES.items():
        share = 1 if name == "logits" else 7
        assert totals.parameters[name] == parameters
        assert share**2 * totals.macs[name] / 1e9 == pytest.approx(gmacs, abs=5e-4), name
        assert (outputs[name][1], *(share * side for side in outputs[name][2:])) == shape[1:], name
    assert (table.kind == "batch norm").sum() == 57


def test_positions_in_time() -> None:
    network, found = create_model("i3d", **NARROW), {}
    for frames in (8, 64, 79, 250):
        clip = np.zeros((1, 3, frames, 8, 8), np.float32)

        def note(_name: str, _cell: nn.Cell, output: Tensor, frames: int = frames) -> None:
            found[frames] = output.shape[2:]

        watch_outputs(network, clip, lambda cell: isinstance(cell, AverageHead), note)
    counts = {8: 1, 64: 7, 79: 9, 250: 31}  # 16 and 17 are golden
    assert found == {frames: (count, 1, 1) for frames, count in counts.items()}


@pytest.mark.usefixtures("_pynative")
def test_the_heads_weigh_frames_as_the_originals() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 4, 5)).astype(np.float32)
    frames = x.mean(axis=(3, 4))
    averaged = AverageHead()(Tensor(x))
    assert averaged.shape == (2, 3, 7, 1, 1)
    weights = np.array([1, 2, 2, 2, 2, 2, 2, 1]) / 14
    np.testing.assert_allclose(averaged.asnumpy().mean(axis=(2, 3, 4)), frames @ weights, atol=1e-6)
    for frame in (0, 6):
        expected = x[:, :, frame : frame + 2].mean(axis=(2, 3, 4))
        np.testing.assert_allclose(averaged.asnumpy()[:, :, frame, 0, 0], expected, atol=1e-6)
    single = AverageHead()(Tensor(x[:, :, :1]))
    np.testing.assert_allclose(single.asnumpy()[:, :, 0, 0, 0], frames[:, :, 0], atol=1e-6)
    np.testing.assert_array_equal(MaxHead()(Tensor(x)).asnumpy()[:, :, 0, 0, 0], x.max(axis=(2, 3, 4)))


def test_the_head_of_the_port_is_another_with_the_same_parameters() -> None:
    average, port = create_model("i3d", **NARROW), create_model("i3d", **NARROW, head="max", eps=1e-5)
    assert [p.name for p in average.get_parameters()] == [p.name for p in port.get_parameters()]
    assert isinstance(average.avg_pool, AverageHead)
    assert isinstance(port.avg_pool, MaxHead)
    assert {cell.eps for _, cell in port.cells_and_names() if isinstance(cell, nn.BatchNorm2d)} == {1e-5}


def test_options() -> None:
    with pytest.raises(BookError, match=r"'mean'.*average, max"):
        create_model("i3d", num_classes=3, head="mean")
    channels = {p.name: p.shape for p in create_model("i3d", num_classes=3, width=0.01, in_channels=2).get_parameters()}
    assert channels["Conv3d_1a_7x7.conv3d.weight"] == (1, 2, 7, 7, 7)
    assert channels["Mixed_5c.b0.conv3d.weight"] == (3, 2 + 3 + 1 + 1, 1, 1, 1)
    assert channels["logits.conv3d.weight"] == (3, 3 + 3 + 1 + 1, 1, 1, 1)


@pytest.mark.usefixtures("_pynative")
def test_initial_weights_and_running_statistics() -> None:
    network = create_model("i3d", num_classes=3, width=0.25, seed=1)
    state = {p.name: p.asnumpy() for p in network.get_parameters()}
    for name, fan_out in (("Conv3d_2c_3x3.conv3d.weight", 48 * 27), ("Mixed_5c.b0.conv3d.weight", 96)):
        assert state[name].std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.02)
    assert (state["Mixed_3b.b0.bn.bn2d.gamma"] == 1).all()
    assert not state["logits.conv3d.bias"].any()
    clip = Tensor(np.random.default_rng(0).standard_normal((2, 3, 8, 16, 16)).astype(np.float32))
    before = network.Conv3d_1a_7x7.conv3d(clip).asnumpy()
    network.set_train(True)(clip)
    mean = network.Conv3d_1a_7x7.bn.bn2d.moving_mean.asnumpy()
    np.testing.assert_allclose(mean, 0.01 * before.mean(axis=(0, 2, 3, 4)), atol=1e-6)
    other = create_model("i3d", num_classes=3, width=0.25, seed=2)
    assert (other.Conv3d_1a_7x7.conv3d.weight.asnumpy() != state["Conv3d_1a_7x7.conv3d.weight"]).all()


def test_a_compiled_training_step_moves_every_parameter() -> None:
    norm = partial(nn.BatchNorm3d, eps=1e-3, momentum=0.99)
    inception = Inception(6, (4, 3, 4, 2, 2, 2), norm)
    cells = [Unit3D(3, 6, 7, norm, 2), SamePool3d((1, 3, 3), (1, 2, 2)), inception, SamePool3d(3, 2), AverageHead()]
    network = nn.SequentialCell(*cells, Logits(12, 3), nn.Flatten())
    init_fan_out(network, 0)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    step = nn.TrainOneStepCell(
        nn.WithLossCell(network, nn.CrossEntropyLoss()), nn.SGD(network.trainable_params(), 0.05)
    ).set_train(True)
    clips = Tensor(np.random.default_rng(0).standard_normal((4, 3, 6, 33, 32)).astype(np.float32))
    targets = Tensor(np.array([0, 1, 2, 0], np.int32))
    losses = [float(step(clips, targets).asnumpy()) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]
    assert [p.name for p in network.get_parameters() if (p.asnumpy() == before[p.name]).all()] == []


def windows(size: int, kernel: int, stride: int) -> list[range]:
    """What each window of a SAME pool sees of one axis."""
    count = -(-size // stride)
    front = max((count - 1) * stride + kernel - size, 0) // 2
    return [range(max(i * stride - front, 0), min(i * stride - front + kernel, size)) for i in range(count)]


def pooled(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A SAME max pool, window by window, and the gradient of its sum weighted with 1, 2, 3, ..."""
    axes = [windows(*axis) for axis in zip(x.shape[2:], kernel, stride, strict=True)]
    y, dx = np.empty((*x.shape[:2], *map(len, axes)), np.float32), np.zeros_like(x)
    weights = iter(range(1, y.size + 1))
    for n, c in np.ndindex(*x.shape[:2]):
        for place in np.ndindex(*y.shape[2:]):
            window = list(itertools.product(*(axis[i] for axis, i in zip(axes, place, strict=True))))
            y[n, c, *place] = max(x[n, c, *at] for at in window)
            first = next(at for at in window if x[n, c, *at] == y[n, c, *place])
            dx[n, c, *first] += next(weights)
    return y, dx


@settings(max_examples=60, derandomize=True, database=None)
@given(
    st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(1, 3)] * 3),
    st.integers(1, 9),
)  # fmt: skip
def test_gradient_of_max_pools_goes_to_the_first_maximum(size, kernel, stride, levels) -> None:
    # Few levels make many equal values; whole numbers make sums exact.
    x = np.random.default_rng(sum(size)).integers(-levels, levels, (2, 2, *size)).astype(np.float32)
    y, dx = pooled(x, kernel, stride)
    dy = np.arange(1, y.size + 1, dtype=np.float32).reshape(y.shape)
    np.testing.assert_array_equal(max_pool_gradient(x, y, dy, kernel, stride), dx)


class Gradient(nn.Cell):
    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell, self.derive = cell, ops.GradOperation(sens_param=True)

    def construct(self, x: Tensor, dy: Tensor) -> Tensor:
        return self.derive(self.cell)(x, dy)


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(3, 1, (3, 7, 6)), (3, 2, (5, 6, 7)), ((1, 3, 3), (1, 2, 2), (2, 8, 5))]
)
def test_same_pool_in_a_compiled_graph(kernel: Any, stride: Any, size: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).permutation(2 * 3 * int(np.prod(size))).astype(np.float32).reshape(2, 3, *size)
    whole = [(value,) * 3 if isinstance(value, int) else value for value in (kernel, stride)]
    y, dx = pooled(x - 40, *whole)  # negative values too: padding is never the maximum
    pool = SamePool3d(kernel, stride)
    np.testing.assert_array_equal(pool(Tensor(x - 40)).asnumpy(), y)
    dy = Tensor(np.arange(1, y.size + 1, dtype=np.float32).reshape(y.shape))
    np.testing.assert_array_equal(Gradient(pool)(Tensor(x - 40), dy).asnumpy(), dx)
    pool = SamePool3d(kernel, stride)
    pool.pool = pool.pool.pool  # as on other devices
    np.testing.assert_array_equal(Gradient(pool)(Tensor(x - 40), dy).asnumpy(), dx)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("window", "size"), [((3, 2, 1), (3, 7, 6)), ((3, 2, 1), (4, 8, 8)), (((1, 3, 3), (1, 2, 2), (0, 1, 1)), (2, 8, 5))]
)
def test_padded_pools_have_the_gradient_of_mindspores_own(window: Any, size: tuple[int, ...], ceil_mode: bool) -> None:
    x = Tensor(np.random.default_rng(1).permutation(2 * 3 * int(np.prod(size))).astype(np.float32).reshape(2, 3, *size))
    kernel, stride, padding = window
    quick, own = (MaxPool3d(kernel, stride, padding, ceil_mode=ceil_mode) for _ in range(2))
    own.pool = own.pool.pool  # as on other devices
    y = quick(x)
    dy = Tensor(np.arange(1, y.size + 1, dtype=np.float32).reshape(y.shape))
    np.testing.assert_array_equal(Gradient(quick)(x, dy).asnumpy(), Gradient(own)(x, dy).asnumpy())


def test_half_precision_has_gradients_of_its_own_type() -> None:
    x = Tensor(np.arange(24).reshape(1, 1, 2, 3, 4), ms.float16)
    found = Gradient(SamePool3d(3, 1))(x, ops.ones_like(x))
    assert found.dtype == ms.float16
    assert found.asnumpy().sum() == 24
