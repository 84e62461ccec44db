from __future__ import annotations

import shlex

import pytest

from actionbook.conversion import ConversionError, atc_command, converter_lite_command

CLIP = (3, 16, 112, 112)


def atc(**changes):
    values = {"batch": 8, "clip_shape": CLIP, "soc_version": "Ascend310P3", "output": "out/net_bs8"}
    return atc_command("net.onnx", **{**values, **changes})


def test_atc_command_in_full():
    assert shlex.join(atc()) == (
        "atc --framework=5 --model=net.onnx --output=out/net_bs8 --input_format=NCDHW "
        "--input_shape=image:8,3,16,112,112 --soc_version=Ascend310P3"
    )
    assert atc(precision_mode="must_keep_origin_dtype")[-1] == "--precision_mode=must_keep_origin_dtype"


def test_six_axes_are_nd():
    assert "--input_format=ND" in atc(clip_shape=(4, 3, 8, 56, 56))


@pytest.mark.parametrize("name", ["Ascend310", "Ascend310P3", "Ascend910A", "Ascend910B4-1", "Ascend910_9391"])
def test_soc_versions_that_atc_knows(name):
    assert f"--soc_version={name}" in atc(soc_version=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soc_version": "310P3"}, "did you mean 'Ascend310P3'"),
        ({"soc_version": "ascend310P3"}, "did you mean 'Ascend310P3'"),
        ({"soc_version": "Ascend"}, "npu-smi info"),
        ({"output": "net.om"}, "without '.om'"),
        ({"output": "out/my net"}, "letters, digits"),
        ({"precision_mode": "fp16"}, "precision_mode 'fp16'"),
        ({"batch": 0}, "batch 0"),
        ({"clip_shape": (3, 112, 112)}, "expected a batch"),
    ],
)
def test_values_that_atc_refuses(changes, message):
    with pytest.raises(ConversionError, match=message):
        atc(**changes)


def test_converter_lite_command_in_full():
    command = converter_lite_command("net.mindir", batch=1, clip_shape=CLIP, output="out/lite", config_path="a.cfg")
    assert shlex.join(command) == (
        "converter_lite --fmk=MINDIR --modelFile=net.mindir --outputFile=out/lite "
        "--inputShape=image:1,3,16,112,112 --saveType=MINDIR --optimize=ascend_oriented --encryption=false "
        "--configFile=a.cfg"
    )
    with pytest.raises(ConversionError, match="optimize 'fast'"):
        converter_lite_command("net.mindir", batch=1, clip_shape=CLIP, output="x", optimize="fast")
