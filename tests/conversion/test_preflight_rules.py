from __future__ import annotations

import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from actionbook.conversion.preflight import Row, preflight

CLIP = (1, 4, 8, 16, 16)
IMAGE = (1, 4, 16, 16)
RELEASES = ("5.0.4", "6.0.1", "7.0", "8.0", "8.2")


def graph(
    nodes: list[NodeProto], shape: tuple[int | str, ...] = CLIP, *, opset: int = 11, dtype: int = TensorProto.FLOAT
) -> ModelProto:
    """A model that reads ``x``; the output's shape is left open."""
    out = helper.make_tensor_value_info(nodes[-1].output[0], dtype, None)
    body = helper.make_graph(nodes, "test", [helper.make_tensor_value_info("x", dtype, shape)], [out])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)


def judge(
    operator: str,
    shape: tuple[int | str, ...] = CLIP,
    *,
    cann: str = "8.0",
    soc: str = "Ascend910B3",
    opset: int = 11,
    inputs: int = 1,
    outputs: int = 1,
    **attributes: object,
) -> Row:
    """The row of one node on a tensor of this shape."""
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(operator, ["x"] * inputs, names, "node", **attributes)
    found = preflight(graph([node], shape, opset=opset), cann=cann, soc_version=soc)
    row = found.rows[-1]
    assert (row.node, row.operator) == ("node", operator)
    assert [other.verdict for other in found.rows[1:-1]] == ["fine"]  # the input
    return row


def conv(rank: int = 3, **changes: object) -> Row:
    """A convolution's row; the weights are of no interest here."""
    options = {key: changes.pop(key) for key in ("cann", "soc", "opset", "shape") if key in changes}
    values = {"kernel_shape": [3] * rank, "pads": [1] * 2 * rank} | changes
    shape = options.pop("shape", CLIP if rank == 3 else IMAGE)
    return judge("Conv", shape, inputs=2, **options, **values)


@pytest.mark.parametrize(
    ("operator", "opset", "cann", "verdict", "why"),
    [
        ("Relu", 11, "8.0", "fine", ""),
        ("Constant", 11, "9.0", "fine", ""),
        ("Einsum", 11, "8.0", "fine", ""),
        ("Einsum", 11, "5.1.RC2", "risky", "not on the list for CANN 5.1.RC2, but on that of 8.0 and 8.2"),
        ("Einsum", 11, "6.0.1", "risky", "not on the list for CANN 6.0.1, but on that of 8.0 and 8.2"),
        ("Addcmul", 11, "5.0.4", "fine", ""),
        ("Addcmul", 11, "7.0", "risky", "not on the list for CANN 7.0, but on that of 5.0.4"),
        ("Unique", 11, "8.0", "risky", "not on the list for CANN 8.0, but on that of 8.2"),
        ("EmbeddingBag", 11, "9.0", "risky", "not on the list for CANN 9.0, but on that of 5.0.4 and 8.0"),
        ("Gelu", 11, "8.0", "refused", "on no list"),
        ("Gelu", 18, "9.0", "refused", "on no list"),
        ("Loop", 11, "8.0", "refused", "on no list"),
        ("Trilu", 13, "8.2", "refused", "registered for opsets 14-18, the graph has 13"),
        ("Trilu", 14, "8.2", "fine", ""),
        ("Scatter", 11, "8.2", "fine", ""),
        ("Scatter", 12, "8.2", "refused", "registered for opsets 9-11, the graph has 12"),
        ("LSTMP", 17, "8.2", "refused", "registered for opsets 8-16, 18, the graph has 17"),
        ("LayerNormalization", 17, "8.2.RC1", "fine", ""),
        ("LayerNormalization", 18, "8.0", "fine", ""),
    ],
)
def test_operators_of_each_release(operator, opset, cann, verdict, why):
    row = judge(operator, cann=cann, opset=opset)
    assert row.verdict == verdict
    assert row.why.startswith(why)
    assert verdict != "risky" or row.why == why
    assert bool(row.remedy) == (verdict != "fine")


@pytest.mark.parametrize(
    ("operator", "remedy"),
    [
        ("Gelu", "tanh or erf"),
        ("QLinearConv", "AMCT"),
        ("QuantizeLinear", "AMCT"),
        ("DequantizeLinear", "AMCT"),
        ("AdaptiveAvgPool3d", "ReduceMean"),
        ("Scan", "unroll"),
        ("Frobnicate", "listed operators"),
    ],
)
def test_unlisted_operators_say_what_to_do_instead(operator, remedy):
    for cann in RELEASES:
        row = judge(operator, cann=cann)
        assert row.verdict == "refused"
        assert remedy in row.remedy


@pytest.mark.parametrize("cann", RELEASES)
@pytest.mark.parametrize(
    ("attribute", "inside", "outside"),
    [
        ("strides", (1, 63), (0, 64)),
        ("dilations", (1, 255), (0, 256)),
        ("kernel_shape", (1, 255), (0, 256)),
        ("pads", (0, 255), (-1, 256)),
    ],
)
def test_both_sides_of_the_ranges_of_conv3d(cann, attribute, inside, outside):
    for value in inside:
        for axis in (1, 2):
            assert conv(**{attribute: spread(attribute, 3, axis, value)}, cann=cann).verdict == "fine"
    for value in outside:
        for axis in (1, 2):
            row = conv(**{attribute: spread(attribute, 3, axis, value)}, cann=cann)
            assert row.verdict == "refused"
            assert row.why.startswith(f"{attribute} {value}")
    if attribute != "dilations":  # along the depth, the newer prototypes take more
        row = conv(**{attribute: spread(attribute, 3, 0, outside[1])}, cann=cann)
        assert row.verdict == ("fine" if cann == "8.2" else "refused")


def spread(attribute: str, rank: int, axis: int, value: int) -> list[int]:
    """A list for all axes with `value` on one of them; pads take it at the axis' end."""
    values = [0] * 2 * rank if attribute == "pads" else [1] * rank
    values[axis + (rank if attribute == "pads" else 0)] = value
    return values


@pytest.mark.parametrize(
    ("attribute", "inside", "outside"),
    [("strides", 63, 64), ("dilations", 255, 256), ("kernel_shape", 511, 512), ("pads", 255, 256)],
)
def test_both_sides_of_the_ranges_of_conv2d(attribute, inside, outside):
    for axis in (0, 1):
        assert conv(2, **{attribute: spread(attribute, 2, axis, inside)}).verdict == "fine"
        assert conv(2, **{attribute: spread(attribute, 2, axis, outside)}).verdict == "refused"


@pytest.mark.parametrize("rank", [2, 3])
def test_a_width_above_4096_is_risky(rank):
    assert conv(rank, shape=(1, 4, *[8] * (rank - 1), 4096)).verdict == "fine"
    assert conv(rank, shape=(1, 4, *[8] * (rank - 1), 4097)).verdict == "risky"
    assert conv(rank, shape=(1, 4, *[5000] * (rank - 1), 4096)).verdict == "fine"  # only the last axis counts


def test_a_depth_dilation_is_risky():
    row = conv(dilations=[2, 1, 1])
    assert (row.verdict, row.why) == ("risky", "dilations 2 along the depth: only 1 is taken")
    assert conv(dilations=[1, 2, 2]).verdict == "fine"
    assert conv(2, dilations=[2, 1]).verdict == "fine"


AUTO_PAD = [
    ("Conv", "5.1.RC2", {"NOTSET": "fine", "VALID": "risky", "SAME_UPPER": "risky", "SAME_LOWER": "risky"}),
    ("Conv", "6.0.1", {"NOTSET": "fine", "VALID": "risky", "SAME_UPPER": "risky", "SAME_LOWER": "risky"}),
    ("Conv", "7.0", {"NOTSET": "fine", "VALID": "refused", "SAME_UPPER": "refused", "SAME_LOWER": "refused"}),
    ("Conv", "8.0", {"NOTSET": "fine", "VALID": "refused", "SAME_UPPER": "refused", "SAME_LOWER": "refused"}),
    ("Conv", "9.0", {"NOTSET": "fine", "VALID": "fine", "SAME_UPPER": "refused", "SAME_LOWER": "refused"}),
    ("MaxPool", "8.0", {"NOTSET": "fine", "VALID": "fine", "SAME_UPPER": "risky", "SAME_LOWER": "risky"}),
    ("AveragePool", "8.0", {"NOTSET": "fine", "VALID": "fine", "SAME_UPPER": "risky", "SAME_LOWER": "risky"}),
]


@pytest.mark.parametrize(("operator", "cann", "verdicts"), AUTO_PAD)
def test_auto_pad_on_5d_tensors(operator, cann, verdicts):
    inputs = 2 if operator == "Conv" else 1
    for mode, verdict in verdicts.items():
        row = judge(operator, cann=cann, inputs=inputs, kernel_shape=[3, 3, 3], auto_pad=mode)
        assert row.verdict == verdict, mode
        assert ("explicit pads" in row.remedy) == (verdict != "fine")
        flat = judge(operator, IMAGE, cann=cann, inputs=inputs, kernel_shape=[3, 3], auto_pad=mode)
        assert flat.verdict == "fine"
    if operator == "AveragePool":
        assert "silently wrong" in judge(operator, kernel_shape=[3, 3, 3], auto_pad="SAME_UPPER").why


@pytest.mark.parametrize(
    ("soc", "evidence"),
    [
        ("Ascend310", "5.1.RC2"),
        ("Ascend310P3", "6.0.RC1"),
        ("Ascend910A", "910A"),
        ("Ascend910B3", "no conversion is known"),
        ("Ascend910_9391", "no conversion is known"),
    ],
)
def test_grouped_3d_convolutions_are_risky_with_the_evidence(soc, evidence):
    assert conv(group=1, soc=soc).verdict == "fine"
    row = conv(group=2, soc=soc)
    assert row.verdict == "risky"
    assert evidence in row.why
    assert "banded" in row.remedy
    assert conv(2, group=2, soc=soc).verdict == "fine"


def test_the_kernel_may_be_told_by_the_weights_alone():
    weight = helper.make_tensor("w", TensorProto.FLOAT, (4, 2, 3, 3, 3), [0.0] * 216)
    model = graph([helper.make_node("Conv", ["x", "w"], ["y"], "node", group=2, pads=[1] * 6)])
    model.graph.initializer.append(weight)
    assert preflight(model).rows[-1].why.startswith("5-D Conv with group > 1")
    del model.graph.node[0].attribute[:]
    row = preflight(model).rows[-1]
    assert (row.verdict, row.why[:12]) == ("refused", "none of kern")


@pytest.mark.parametrize(
    ("operator", "rank", "verdict"),
    [
        ("Conv", 3, "fine"),
        ("Conv", 6, "refused"),
        ("MaxPool", 6, "refused"),
        ("AveragePool", 6, "refused"),
        ("GlobalAveragePool", 3, "refused"),
        ("GlobalAveragePool", 4, "fine"),
        ("GlobalAveragePool", 5, "fine"),
        ("GlobalAveragePool", 6, "refused"),
        ("AdaptiveAvgPool2d", 4, "fine"),
        ("AdaptiveAvgPool2d", 5, "refused"),
        ("Resize", 4, "fine"),
        ("Resize", 5, "risky"),
        ("Transpose", 5, "fine"),
        ("Transpose", 6, "risky"),
    ],
)
def test_ranks(operator, rank, verdict):
    values = {"kernel_shape": [1] * (rank - 2)} if operator in ("Conv", "MaxPool", "AveragePool") else {}
    values |= {"perm": list(range(rank))} if operator == "Transpose" else {}
    node = helper.make_node(operator, ["x"] * (2 if operator == "Conv" else 1), ["y"], "node", **values)
    row = preflight(graph([node], (2,) * rank), soc_version="Ascend910B3").rows[-1]
    assert row.verdict == verdict
    assert (f"{rank} axes" in row.why) == (verdict != "fine")


def test_max_pool():
    assert judge("MaxPool", kernel_shape=[3, 3, 3], pads=[1] * 6, ceil_mode=1).verdict == "fine"
    assert judge("MaxPool", kernel_shape=[3, 3, 3], outputs=2).why.startswith("the second output")
    assert judge("MaxPool", kernel_shape=[3, 3, 3], storage_order=1).verdict == "refused"
    both = judge("MaxPool", IMAGE, kernel_shape=[3, 3], pads=[1] * 4, auto_pad="SAME_UPPER")
    assert (both.verdict, both.why.split(":")[0]) == ("risky", "auto_pad and pads together")


def test_large_2d_windows_of_max_pool_run_on_the_ai_cpu():
    for kernel, stride, verdict in [([15, 17], 63, "fine"), ([16, 16], 1, "risky"), ([2, 2], 64, "risky")]:
        values = {"kernel_shape": kernel, "strides": [1, stride]}
        assert judge("MaxPool", IMAGE, **values).verdict == verdict
        assert judge("MaxPool", IMAGE, soc="Ascend950PR", **values).verdict == "fine"
    assert judge("MaxPool", kernel_shape=[4, 8, 16], strides=[64] * 3).verdict == "fine"  # known of 2-D windows only


def test_pools_that_a_chip_lacks():
    three = {"kernel_shape": [1, 4, 4]}
    for soc in ("Ascend310", "Ascend310B1", "Ascend310P3", "Ascend910A"):
        assert judge("AveragePool", soc=soc, **three).verdict == "risky"
        assert judge("AveragePool", IMAGE, soc=soc, kernel_shape=[4, 4]).verdict == "fine"
        assert judge("MaxPool", soc=soc, **three).verdict == ("risky" if soc == "Ascend310B1" else "fine")
    for soc in ("Ascend910B3", "Ascend910_9391", "Ascend950PR"):
        assert judge("AveragePool", soc=soc, **three).verdict == "fine"


def test_pad_roi_align_and_float64():
    assert judge("Pad", inputs=2).verdict == "fine"
    assert judge("Pad", inputs=2, mode="reflect").verdict == "risky"
    assert judge("Pad", IMAGE, inputs=2, mode="reflect").verdict == "fine"
    early, late = judge("RoiAlign", IMAGE, inputs=3), judge("RoiAlign", IMAGE, inputs=3, opset=16)
    assert (early.verdict, late.verdict) == ("fine", "fine")
    assert "half-pixel" in early.why
    assert late.why == ""
    double = graph([helper.make_node("Relu", ["x"], ["y"])], dtype=TensorProto.DOUBLE)
    assert preflight(double).rows[-1].why.startswith("float64")


@pytest.mark.parametrize(
    ("operator", "values", "verdict"),
    [
        ("Resize", {}, "risky"),
        ("GlobalAveragePool", {}, "risky"),
        ("Pad", {"mode": "edge"}, "risky"),
        ("Pad", {}, "fine"),
        ("Transpose", {"perm": [0, 2, 1]}, "fine"),
        ("Transpose", {"perm": [0, 2, 1, 3, 4, 5]}, "risky"),
        ("Conv", {"kernel_shape": [1, 1, 1]}, "fine"),
        ("Conv", {"strides": [1, 1, 1]}, "risky"),
    ],
)
def test_limits_that_cannot_be_checked_are_said(operator, values, verdict):
    nodes = [helper.make_node("Corr", ["x", "x"], ["t"]), helper.make_node(operator, ["t", "t"], ["y"], **values)]
    row = preflight(graph(nodes)).rows[-1]
    assert row.verdict == verdict
    assert ("not known" in row.why) == (verdict == "risky" and "perm" not in values)


def test_several_findings_make_one_row():
    row = conv(group=4, strides=[1, 64, 64], auto_pad="SAME_UPPER")
    assert row.verdict == "refused"
    assert row.why.index("strides 64") < row.why.index("auto_pad SAME_UPPER") < row.why.index("group > 1")
    assert row.remedy.count("; ") == 2
