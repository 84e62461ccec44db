"""Random small networks of the layers that the papers use: whatever is exported computes what the network computes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from mindspore import Tensor, nn, ops

from actionbook.conversion import check_explicit, export_onnx
from actionbook.conversion.graph import attributes
from actionbook.models.eco import eco_full, eco_lite
from actionbook.models.layers import ChannelShuffle, GroupedConv3d
from actionbook.models.pooling import AvgPool3d, MaxPool3d

Shape = tuple[int, ...]  # (N, C, T, H, W) or (N, C, H, W)

# Every example costs an export: few, the same in every run, and not shrunk.
FEW = settings(derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def _pynative() -> Iterator[None]:
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)  # the small networks are run once or twice: compiling takes longer
    yield
    ms.set_context(mode=mode)


class Residual(nn.Cell):
    def __init__(self, inner: nn.Cell) -> None:
        super().__init__()
        self.inner = inner

    def construct(self, x: Tensor) -> Tensor:
        return ops.relu(x + self.inner(x))


class Branches(nn.Cell):
    def __init__(self, one: nn.Cell, two: nn.Cell) -> None:
        super().__init__()
        self.one, self.two = one, two

    def construct(self, x: Tensor) -> Tensor:
        return ops.concat((self.one(x), x, self.two(x)), 1)


class Halves(nn.Cell):
    """One half of the channels as it is, the other through `inner`, then a shuffle."""

    def __init__(self, channels: int, inner: nn.Cell) -> None:
        super().__init__()
        self.half, self.inner, self.shuffle = channels // 2, inner, ChannelShuffle(channels, 2)

    def construct(self, x: Tensor) -> Tensor:
        kept, changed = ops.split(x, self.half, 1)
        return self.shuffle(ops.concat((self.inner(changed), kept), 1))


class Images(nn.Cell):
    """Frames as images of their own: (N, C, T, H, W) -> (N * T, C, H, W)."""

    def construct(self, x: Tensor) -> Tensor:
        n, c, t, h, w = x.shape
        return x.transpose(0, 2, 1, 3, 4).reshape(n * t, c, h, w)


class Head(nn.Cell):
    """Mean or maximum over the pixels, a dense layer, and the mean over `frames` images of a clip, if any."""

    def __init__(self, kind: str, shape: Shape, frames: int) -> None:
        super().__init__()
        self.kind, self.axes, self.frames = kind, tuple(range(2, len(shape))), frames
        self.dense = nn.Dense(shape[1], 4)

    def construct(self, x: Tensor) -> Tensor:
        x = self.dense(x.mean(axis=self.axes) if self.kind == "mean" else ops.amax(x, self.axes))
        return x.reshape(-1, self.frames, 4).mean(axis=1) if self.frames else x


class Regions(nn.Cell):
    """RoIAlign of two boxes on the map of a clip's first frame, as detectors on top of these networks read it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels, 3, (1, 3, 3), pad_mode="pad", padding=(0, 0, 1, 1, 1, 1))
        self.align = ops.ROIAlign(2, 2, 0.5, 2, 0)
        self.boxes = Tensor([[0, 1.0, 1.0, 9.0, 8.0], [0, 0.0, 2.5, 6.0, 9.5]], ms.float32)
        self.dense = nn.Dense(12, 4)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(self.align(self.convolution(x).mean(axis=2), self.boxes).reshape(2, 12))


def output_shape(cell: nn.Cell, shape: Shape) -> Shape:
    return cell.set_train(False)(Tensor(np.zeros(shape, np.float32))).shape


def chain(cells: list[nn.Cell]) -> nn.Cell:
    return nn.SequentialCell(*cells) if len(cells) != 1 else cells[0]


@st.composite
def convolutions(draw: st.DrawFn, shape: Shape, out: int, keep: bool) -> nn.Cell:
    """Any kernel, stride, padding and dilation that fit; `keep` leaves the sizes as they are."""
    kernel, stride, dilation, pads = [], [], [], []
    mode = "same" if keep else draw(st.sampled_from(["pad", "same", "valid"]))
    dilated = draw(st.booleans())
    for size in shape[2:]:
        kernel.append(draw(st.integers(1, min(3, size))))
        fits = kernel[-1] == 1 or (kernel[-1] - 1) * 2 < size
        dilation.append(draw(st.sampled_from([1, 2])) if dilated and fits else 1)
        stride.append(1 if dilated or keep else draw(st.integers(1, 3)))
        pads += [draw(st.integers(0, 2)), draw(st.integers(0, 2))]
    kind = nn.Conv2d if len(shape) == 4 else nn.Conv3d
    values: dict[str, Any] = {"padding": tuple(pads)} if mode == "pad" else {}
    values.update(stride=tuple(stride), pad_mode=mode, dilation=tuple(dilation), has_bias=draw(st.booleans()))
    note(f"{kind.__name__} {shape[1]} -> {out}, kernel {kernel}, {values}")
    return kind(shape[1], out, tuple(kernel), **values)


@st.composite
def grouped(draw: st.DrawFn, shape: Shape, out: int, keep: bool) -> nn.Cell:
    """Grouped or depthwise, of any odd kernel."""
    groups = draw(st.sampled_from([g for g in (1, 2, 4, 8, 16) if shape[1] % g == 0 and out % g == 0][-2:]))
    kernel, stride = draw(st.sampled_from([1, 3, 5])), (1, 1, 1) if keep else draw(st.tuples(*[st.integers(1, 2)] * 3))
    note(f"grouped {shape[1]} -> {out}, kernel {kernel}, stride {stride}, {groups} groups")
    return GroupedConv3d(shape[1], out, kernel, stride, groups)


@st.composite
def pools(draw: st.DrawFn, shape: Shape) -> nn.Cell:
    """The library's own pools and those of MindSpore that it can export, in 2-D and 3-D."""
    kernel, stride, padding = [], [], []
    ceil = draw(st.booleans())
    for size in shape[2:]:
        kernel.append(draw(st.integers(1, min(3, size))))
        padding.append(draw(st.integers(0, kernel[-1] // 2)))
        stride.append(draw(st.integers(1, min(2, kernel[-1] - padding[-1] if ceil else 2))))
    flat = len(shape) == 4
    kind = draw(st.sampled_from(["max", "average", "MaxPool", "same", "valid"]))
    note(f"pool {kind}, kernel {kernel}, stride {stride}, padding {padding}, ceil {ceil}")
    if kind in ("same", "valid"):
        mindspores = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d])) if flat else nn.MaxPool3d
        return mindspores(tuple(kernel), tuple(stride), kind)
    if kind == "MaxPool" and not flat:
        return nn.MaxPool3d(tuple(kernel), tuple(stride), "pad", tuple(padding), ceil_mode=ceil)
    window = [(1, *kernel), (1, *stride), (0, *padding)] if flat else [tuple(kernel), tuple(stride), tuple(padding)]
    if kind == "average":
        return AvgPool3d(shape[1], *window, count_include_pad=draw(st.booleans()), ceil_mode=ceil)
    return MaxPool3d(*window, ceil_mode=ceil)


@st.composite
def layers(draw: st.DrawFn, shape: Shape, out: int = 0, keep: bool = False) -> nn.Cell:
    """Convolution, batch norm and activation, each of the last two or not."""
    channels = out or draw(st.sampled_from([2, 4, 8, 16]))
    kinds = [convolutions, grouped] if len(shape) == 5 else [convolutions]
    cells = [draw(draw(st.sampled_from(kinds))(shape, channels, keep))]
    if draw(st.booleans()):
        norm = nn.BatchNorm3d if len(shape) == 5 else nn.BatchNorm2d
        cells.append(norm(channels, eps=draw(st.sampled_from([1e-5, 1e-3, 0.1]))))
    activation = draw(st.sampled_from([None, nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.SiLU]))
    note(f"{len(cells) - 1} norms, {activation}")
    return chain(cells + ([activation()] if activation else []))


@st.composite
def blocks(draw: st.DrawFn, kind: str, shape: Shape) -> nn.Cell:
    channels = shape[1]
    if kind == "pool":
        return draw(pools(shape))
    if kind == "residual":
        return Residual(chain([draw(layers(shape, 4, keep=True)), draw(layers((1, 4, *shape[2:]), channels, True))]))
    if kind == "branches":
        return Branches(draw(layers(shape, keep=True)), draw(layers(shape, keep=True)))
    if kind == "halves" and channels % 2 == 0:
        return Halves(channels, draw(layers((1, channels // 2, *shape[2:]), channels // 2, keep=True)))
    if kind == "norm":
        return nn.BatchNorm3d(channels) if len(shape) == 5 else nn.BatchNorm2d(channels)
    return draw(layers(shape))


@st.composite
def networks(draw: st.DrawFn, images: bool) -> tuple[nn.Cell, Shape]:
    """A network in evaluation mode with random weights and statistics, and the shape of its clips (C, T, H, W)."""
    clip = (draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 3, 6])), draw(st.integers(5, 9)), 8)
    shape: Shape = (1, *clip)
    cells: list[nn.Cell] = [Images()] if images else []
    if images:
        shape = (clip[1], clip[0], *clip[2:])
    kinds = ["pool", "layers", "halves", "branches", "residual", "norm", "pool", "layers"]
    for kind in draw(st.permutations(kinds))[:4]:
        cells.append(draw(blocks(kind, shape)))
        shape = output_shape(cells[-1], shape)
    kind = draw(st.sampled_from(["mean", "max"]))
    note(f"clips {clip}, head {kind}")
    cells.append(Head(kind, shape, clip[1] if images else 0))
    network = nn.SequentialCell(*cells).set_train(False)
    random_weights(network, draw(st.integers(0, 99)))
    return network, clip


def random_weights(network: nn.Cell, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, parameter in network.parameters_and_names():
        shape = tuple(parameter.shape)
        value = rng.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 1)
        value = np.abs(value) + 0.05 if name.endswith("moving_variance") else value
        parameter.set_data(Tensor(value.astype(np.float32)))


def check_export(network: nn.Cell, clip: Shape, batch: int | None, form: str) -> None:
    """The property: the file agrees with the network at several batch sizes and says everything itself."""
    clips = np.random.default_rng(1).standard_normal((5, *clip), dtype=np.float32)
    expected = network(Tensor(clips)).asnumpy()
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(network, Path(folder) / "net.onnx", clip, batch=batch, depthwise=form).path
        model = onnx.load(path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in (1, 2, 5) if batch is None else (batch,):
        logits = session.run(["class"], {"image": clips[:size]})[0]
        np.testing.assert_allclose(logits, expected[:size], atol=1e-4 * expected.std(), rtol=1e-5)
    check_explicit(model)
    graph = model.graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["class"]
    assert len({node.name for node in graph.node}) == len(graph.node)
    readers = [name for node in graph.node for name in node.input]
    single = {node.output[0] for node in graph.node if node.op_type == "Conv" and readers.count(node.output[0]) == 1}
    for node in graph.node:
        assert not {"auto_pad", "ceil_mode"} & attributes(node).keys()
        assert node.op_type != "Identity"
        assert node.op_type != "BatchNormalization" or node.input[0] not in single
        assert node.op_type != "Conv" or node.doc_string or "AvgPool" in str(network)  # whose weights are constants


@settings(FEW, max_examples=12)
@given(networks(images=False), st.sampled_from([None, None, 1, 3]), st.sampled_from(["banded", "grouped"]))
def test_networks_of_3d_layers_are_exported_as_they_are(case, batch, form):
    check_export(*case, batch, form)


@settings(FEW, max_examples=6)
@given(networks(images=True), st.sampled_from([None, None, 2]))
def test_networks_of_2d_layers_are_exported_as_they_are(case, batch):
    check_export(*case, batch, "banded")


def test_a_batch_norm_behind_the_dense_layer_is_the_output():
    network = nn.SequentialCell(Head("mean", (1, 3, 2, 4, 4), 0), nn.BatchNorm1d(4)).set_train(False)
    random_weights(network, 0)
    check_export(network, (3, 2, 4, 4), None, "banded")


@pytest.mark.parametrize(("make", "frames", "batch"), [(eco_full, 4, 4), (eco_lite, 8, None)])
def test_frames_of_clips_go_through_2d_layers_and_on_into_3d_ones(make, frames, batch):
    network = make(4, 0.0625).set_train(False)
    random_weights(network, 0)
    check_export(network, (3, frames, 32, 32), batch, "banded")


def test_region_features_are_exported_with_a_fixed_number_of_clips():
    network = Regions(2).set_train(False)
    random_weights(network, 0)
    clips = np.random.default_rng(1).standard_normal((1, 2, 3, 6, 7), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(network, Path(folder) / "net.onnx", clips.shape[1:], batch=1).path
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        logits = session.run(["class"], {"image": clips})[0]
    np.testing.assert_allclose(logits, network(Tensor(clips)).asnumpy(), rtol=1e-4, atol=1e-5)
