from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from actionbook.conversion import ConversionError, check_explicit


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
