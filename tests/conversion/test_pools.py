from __future__ import annotations

from collections.abc import Callable, Sequence

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Tensor, nn, ops
from onnx import helper

from actionbook.conversion import ConversionError
from actionbook.conversion.graph import attributes, count_operators
from actionbook.conversion.msexport import export_raw
from actionbook.conversion.pools import Pool, count_the_padding, extend_for_ceil, needs_pools, restore_pools
from actionbook.core.spec import Spec
from actionbook.models.pooling import AvgPool3d, MaxPool3d

Triple = tuple[int, int, int]
Reduce = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # values, which lie inside, which in the padding


@st.composite
def windows(draw: st.DrawFn) -> tuple[Triple, Triple, Triple, bool, np.ndarray]:
    """Kernel, stride, padding, ceil_mode (only where no window is all padding) and clips, all of them negative."""
    kernel, stride, padding, sizes = [], [], [], []
    ceil = draw(st.booleans())
    for _ in range(3):
        kernel.append(draw(st.integers(1, 4)))
        padding.append(draw(st.integers(0, kernel[-1] // 2)))
        stride.append(draw(st.integers(1, kernel[-1] - padding[-1] if ceil else 3)))
        sizes.append(draw(st.integers(max(kernel[-1] - 2 * padding[-1], 2), 7)))
    clips = -1 - np.random.default_rng(0).random((2, 3, *sizes), np.float32)
    return tuple(kernel), tuple(stride), tuple(padding), ceil, clips


def pool(clips: np.ndarray, window: Sequence[Triple], *, ceil: bool, reduce: Reduce) -> np.ndarray:
    """`reduce` of every window by definition; what lies in the padding is NaN, what lies beyond it infinite."""
    kernel, stride, padding = window
    out = []
    for size, k, s, p in zip(clips.shape[2:], *window, strict=True):
        out.append((-(-(size + 2 * p - k) // s) if ceil else (size + 2 * p - k) // s) + 1)
    padded = np.pad(clips, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=np.nan)
    padded = np.pad(padded, [(0, 0), (0, 0), *((0, s) for s in stride)], constant_values=np.inf)
    result = np.empty((*clips.shape[:2], *out))
    for place in np.ndindex(*out):
        region = tuple(slice(o * s, o * s + k) for o, s, k in zip(place, stride, kernel, strict=True))
        values = padded[:, :, *region].reshape(*clips.shape[:2], -1)
        result[:, :, *place] = reduce(np.where(np.isinf(values), np.nan, values), np.isfinite(values), np.isnan(values))
    return result


def largest(values: np.ndarray, _inside: np.ndarray, _padding: np.ndarray) -> np.ndarray:
    return np.nanmax(values, axis=-1)


def pynative(cell: nn.Cell, clips: np.ndarray) -> np.ndarray:
    mode = ms.get_context("mode")
    try:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        return cell(Tensor(clips)).asnumpy()
    finally:
        ms.set_context(mode=mode)


@settings(max_examples=25, derandomize=True)
@given(windows())
def test_max_pools_are_the_definition(case):
    *window, ceil, clips = case
    expected = pool(clips, window, ceil=ceil, reduce=largest)
    np.testing.assert_array_equal(pynative(MaxPool3d(*window, ceil_mode=ceil), clips), expected.astype(np.float32))


@settings(max_examples=25, derandomize=True)
@given(windows(), st.booleans())
def test_average_pools_are_the_definition(case, include):
    *window, ceil, clips = case

    def mean(values: np.ndarray, inside: np.ndarray, padding: np.ndarray) -> np.ndarray:
        return np.nansum(values, axis=-1) / (inside.sum(-1) + include * padding.sum(-1))

    cell = AvgPool3d(3, *window, count_include_pad=include, ceil_mode=ceil)
    np.testing.assert_allclose(pynative(cell, clips), pool(clips, window, ceil=ceil, reduce=mean), rtol=1e-5)


def test_images_are_pooled_as_one_frame():
    images = np.random.default_rng(0).standard_normal((2, 3, 7, 6), dtype=np.float32)
    for cell in (MaxPool3d((1, 3, 3), (1, 2, 2)), AvgPool3d(3, (1, 3, 2), 2, (0, 1, 1), count_include_pad=False)):
        np.testing.assert_array_equal(pynative(cell, images), pynative(cell, images[:, :, np.newaxis])[:, :, 0])


def test_windows_of_padding_alone_are_refused():
    with pytest.raises(ValueError, match="at most half of the kernel"):
        MaxPool3d(3, 2, 2)
    with pytest.raises(ValueError, match="all padding"):
        AvgPool3d(2, 2, 2, 1, ceil_mode=True)


class Branches(nn.Cell):
    """Pools of equal kernel and stride whose padding differs, in branches, and one used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one = MaxPool3d(3, 2)
        self.two = nn.SequentialCell(nn.ReLU(), nn.MaxPool3d(3, 2, pad_mode="pad", padding=(0, 1, 1), ceil_mode=True))
        self.three = ops.MaxPool3D(3, 2, "same")

    def construct(self, x: Tensor) -> Tensor:
        pools = (self.two(x), self.one(x), self.one(-x), self.three(x))
        return ops.concat([pool.mean(axis=(2, 3, 4)) for pool in pools], 1)


@pytest.fixture(scope="module")
def branches():
    return export_raw(Branches(), Spec.of((2, 7, 8, 9)), 1)


def test_what_the_exporter_loses_is_found_in_mindir(branches):
    kernel, stride = (3, 3, 3), (2, 2, 2)
    padded = Pool(kernel, stride, "CALCULATED", (1, 1, 1), (1, 1, 1), False, "one.pool")
    model, pools = branches
    assert needs_pools(model)
    assert [pool.cell for pool in pools] == ["two.1", "one.pool", "one.pool", ""]
    assert pools[0] == Pool(kernel, stride, "CALCULATED", (0, 1, 1), (0, 1, 1), True, "two.1")
    assert pools[1:3] == [padded, padded]
    assert (pools[3].mode, pools[3].ceil) == ("SAME", False)
    # The exporter's file tells none of them from the others.
    told = {str(attributes(node)) for node in model.graph.node if node.op_type == "MaxPool"}
    assert len(told) == 1


def test_pools_of_another_network_are_refused(graph, branches):
    node = helper.make_node("MaxPool", ["image"], ["class"], kernel_shape=[3, 3], strides=[2, 2])
    with pytest.raises(ConversionError, match=r"those of the ONNX export \[\(\(3, 3\), \(2, 2\)\)\]"):
        restore_pools(graph([node], (1, 1, 8, 8), (1, 1, 3, 3)), branches[1])


@settings(max_examples=25, derandomize=True)
@given(windows())
def test_ceil_mode_becomes_padding(graph, run, case):
    kernel, stride, padding, _, clips = case
    if any(s > k - p for k, s, p in zip(kernel, stride, padding, strict=True)):
        return
    values = {"kernel_shape": kernel, "strides": stride, "pads": [*padding, *padding], "ceil_mode": 1}
    node = helper.make_node("MaxPool", ["image"], ["class"], **values)
    repaired = graph([node], clips.shape, (*clips.shape[:2], None, None, None))
    extend_for_ceil(repaired)
    assert "ceil_mode" not in attributes(repaired.nodes[0])
    expected = pool(clips, case[:3], ceil=True, reduce=largest)
    np.testing.assert_array_equal(run(repaired.to_model(), clips), expected.astype(np.float32))


def test_ceil_mode_on_sizes_that_are_not_static_is_refused(graph):
    node = helper.make_node("MaxPool", ["image"], ["class"], kernel_shape=[2], strides=[2], pads=[0, 0], ceil_mode=1)
    with pytest.raises(ConversionError, match="ceil_mode on a size that is not static"):
        extend_for_ceil(graph([node], (1, 1, "width"), (1, 1, None)))


def test_a_window_of_padding_alone_cannot_be_written(graph):
    node = helper.make_node("MaxPool", ["image"], ["class"], kernel_shape=[2], strides=[2], pads=[1, 1], ceil_mode=1)
    with pytest.raises(ConversionError, match="last window of axis 2 sees nothing but padding"):
        extend_for_ceil(graph([node], (1, 1, 5), (1, 1, 4)))


def test_a_file_without_max_pools_needs_none(build):
    node = helper.make_node("AveragePool", ["image"], ["class"], kernel_shape=[2])
    assert not needs_pools(build([node], (1, 1, 4), (1, 1, 3)))


def mean_of_what_is_there(build, window, shape, factor):
    kernel, stride, padding = window
    values = {"kernel_shape": kernel, "strides": stride, "pads": [*padding, *padding]}
    nodes = [
        helper.make_node("AveragePool", ["image"], ["mean"], **values),
        helper.make_node("Mul", ["factor", "mean"], ["class"]),
    ]
    return build(nodes, shape, (*shape[:2], *[None] * len(kernel)), factor=factor.astype(np.float32))


def shares(window, sizes):
    """What a pool that counts its zeros makes of ones."""

    def share(_, inside, padding):
        return inside.sum(-1) / (inside | padding).sum(-1)

    return pool(np.ones((1, 1, *sizes)), window, ceil=False, reduce=share)[0, 0]


@settings(max_examples=25, derandomize=True)
@given(windows())
def test_a_mean_times_the_share_that_is_there_is_one_pool(build, kept, case):
    *window, _, clips = case
    model = mean_of_what_is_there(build, window, clips.shape, shares(window, clips.shape[2:]))
    graph = kept(model, count_the_padding, atol=1e-6)
    assert count_operators(graph.to_model()) == {"AveragePool": 1}


@pytest.mark.parametrize("change", [lambda share: share * 1.01, lambda share: share[:1, :1], lambda share: share[None]])
def test_another_factor_stays(build, kept, change):
    window = (3, 3), (1, 1), (1, 1)
    share = shares(((1, 3, 3), (1, 1, 1), (0, 1, 1)), (1, 5, 6))[0]
    graph = kept(mean_of_what_is_there(build, window, (2, 3, 5, 6), change(share)), count_the_padding, atol=1e-6)
    expected = ["AveragePool"] if change(share).ndim == 3 else ["AveragePool", "Mul"]
    assert [node.op_type for node in graph.nodes] == expected


def test_a_mean_that_is_read_elsewhere_or_of_open_size_stays(build, kept):
    window = (3, 3), (1, 1), (1, 1)
    share = shares(((1, 3, 3), (1, 1, 1), (0, 1, 1)), (1, 3, 3))[0]
    twice = mean_of_what_is_there(build, window, (1, 1, 3, 3), share)
    twice.graph.node.append(helper.make_node("Add", ["class", "mean"], ["sum"]))
    twice.graph.node[1].output[0] = "product"
    twice.graph.node[2].input[0], twice.graph.node[2].output[0] = "product", "class"
    open_size = mean_of_what_is_there(build, window, (1, 1, "height", 3), share)
    for model in (twice, open_size):
        assert count_operators(kept(model, count_the_padding).to_model())["Mul"] == 1
