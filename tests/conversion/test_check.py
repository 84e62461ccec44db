from __future__ import annotations

import numpy as np
import onnx
import pytest
from mindspore import Tensor, nn
from onnx import helper

from actionbook.conversion import ConversionError, check_explicit
from actionbook.conversion.check import compare


def conv(**values):
    return helper.make_node("Conv", ["image", "w"], ["class"], kernel_shape=[3, 3], **values)


W = np.ones((1, 1, 3, 3), np.float32)
SHAPE = (1, 1, 8, 8)


def test_a_graph_that_says_everything_passes(build):
    check_explicit(build([conv(pads=[1, 1, 1, 1])], ("batch", 1, 8, 8), ("batch", 1, 8, 8), w=W))


@pytest.mark.parametrize(
    ("values", "message"), [({"auto_pad": "SAME_UPPER"}, "auto_pad SAME_UPPER"), ({}, "expected explicit pads")]
)
def test_implicit_pads_are_refused(build, values, message):
    with pytest.raises(ConversionError, match=message):
        check_explicit(build([conv(**values)], SHAPE, (1, 1, None, None), w=W))


def test_a_farm_of_splits_is_refused(build):
    outputs = [f"s{i}" for i in range(8)]
    nodes = [
        helper.make_node("Split", ["image"], outputs, axis=1),
        helper.make_node("Concat", outputs, ["class"], axis=1),
    ]
    with pytest.raises(ConversionError, match="8 outputs"):
        check_explicit(build(nodes, (1, 8, 4), (1, 8, 4)))


def test_shapes_that_are_not_static_are_refused(build):
    nodes = [helper.make_node("NonZero", ["image"], ["x"]), helper.make_node("Cast", ["x"], ["class"], to=1)]
    with pytest.raises(ConversionError, match="expected static sizes"):
        check_explicit(build(nodes, (4, 4), (2, None)))


def test_shapes_that_contradict_each_other_are_refused(build):
    nodes = [helper.make_node("Conv", ["image", "w"], ["class"], kernel_shape=[3, 3], pads=[1] * 4)]
    with pytest.raises(ConversionError, match="do not fit"):
        check_explicit(build(nodes, SHAPE, (1, 1, 5, 5), w=W))


def test_a_second_operator_domain_is_refused(build):
    model = build([conv(pads=[1] * 4)], SHAPE, SHAPE, w=W)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ConversionError, match="operator sets"):
        check_explicit(model)


class Means(nn.Cell):
    """The mean of every channel; with `mixed`, less that of all clips in the batch."""

    def __init__(self, mixed: bool) -> None:
        super().__init__()
        self.mixed = mixed

    def construct(self, x: Tensor) -> Tensor:
        means = x.mean(axis=(2, 3, 4))
        return means - means.mean(axis=0, keep_dims=True) if self.mixed else means


CLIP = (2, 3, 4, 4)


@pytest.fixture(scope="module")
def means_file(build, tmp_path_factory):
    node = helper.make_node("ReduceMean", ["image"], ["class"], axes=[2, 3, 4], keepdims=0)
    path = tmp_path_factory.mktemp("means") / "net.onnx"
    onnx.save(build([node], ("batch", 2, 3, 4, 4), ("batch", 2)), path)
    return path


def test_a_file_that_agrees_differs_by_rounding(means_file):
    clips = np.random.default_rng(0).standard_normal((18, 2, 3, 4, 4), dtype=np.float32)
    difference, relative = compare(Means(mixed=False), means_file, CLIP, clips, (18, 1))  # the network takes 6 at once
    assert difference < 1e-6
    assert relative < 1e-5


def test_a_network_that_mixes_the_clips_of_a_batch_is_seen(means_file):
    clips = np.random.default_rng(0).standard_normal((3, 2, 3, 4, 4), dtype=np.float32)
    assert compare(Means(mixed=True), means_file, CLIP, clips, (3, 1))[1] > 0.1


def test_nan_is_an_infinite_difference(means_file):
    clips = np.full((1, 2, 3, 4, 4), np.nan, np.float32)
    assert compare(Means(mixed=False), means_file, CLIP, clips, (1,)) == (np.inf, np.inf)


def test_a_file_that_does_not_run_is_refused(means_file):
    clips = np.zeros((1, 3, 3, 4, 4), np.float32)
    with pytest.raises(ConversionError, match="ONNX Runtime cannot run it"):
        compare(Means(mixed=False), means_file, (3, 3, 4, 4), clips, (1,))
