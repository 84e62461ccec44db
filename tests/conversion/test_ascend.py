from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from mindspore import nn

from actionbook.conversion import ConversionError, atc_command, converter_lite_command, msexport
from actionbook.conversion.msexport import export_air
from actionbook.core.spec import Spec, SpecError

CLIP = (3, 16, 112, 112)


def atc(**changes):
    values = {"batch": 8, "spec": CLIP, "soc_version": "Ascend310P3", "output": "out/net_bs8"}
    return atc_command("net.onnx", **{**values, **changes})


def test_atc_command_in_full():
    assert shlex.join(atc()) == (
        "atc --framework=5 --model=net.onnx --output=out/net_bs8 --input_format=NCDHW "
        "--input_shape=image:8,3,16,112,112 --soc_version=Ascend310P3"
    )
    assert atc(precision_mode="must_keep_origin_dtype")[-1] == "--precision_mode=must_keep_origin_dtype"


def test_options_in_full():
    command = atc(
        batch=None,
        dynamic_batch=(1, 4, 8),
        precision_mode_v2="mixed_float16",
        output_type="FP32",
        log="error",
        extra={"op_select_implmode": "high_precision", "optypelist_for_implmode": "Sigmoid"},
    )
    assert command[4:] == [
        "--input_format=NCDHW",
        "--input_shape=image:-1,3,16,112,112",
        "--dynamic_batch_size=1,4,8",
        "--soc_version=Ascend310P3",
        "--precision_mode_v2=mixed_float16",
        "--output_type=FP32",
        "--log=error",
        "--op_select_implmode=high_precision",
        "--optypelist_for_implmode=Sigmoid",
    ]


def test_air_has_its_shape_inside():
    command = atc_command("net.air", batch=8, spec=CLIP, soc_version="Ascend910B3", output="net")
    assert shlex.join(command) == "atc --framework=1 --model=net.air --output=net --soc_version=Ascend910B3"


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("net.mindir", {}, r"does not read MINDIR.*export_onnx.*converter_lite_command"),
        ("net.pb", {}, r"ends in \.onnx or \.air"),
        ("net.air", {"batch": None, "dynamic_batch": (1, 2)}, "dynamic_batch needs ONNX"),
        ("net.air", {"extra": {"out_nodes": "class:0"}}, "ATC ignores it for AIR"),
    ],
)
def test_models_that_atc_refuses(model, changes, message):
    values = {"batch": 8, "spec": CLIP, "soc_version": "Ascend310P3", "output": "out/net", **changes}
    with pytest.raises(ConversionError, match=message):
        atc_command(model, **values)


def test_ambiguous_chips_are_remarked_upon(caplog):
    atc(soc_version="Ascend910B")
    atc(soc_version="Ascend910B3")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "first-generation" in caplog.text


TWO_PATHWAYS = {"slow": (3, 4, 56, 56), "fast": (3, 32, 56, 56)}


def test_six_axes_are_nd():
    assert "--input_format=ND" in atc(spec=(4, 3, 8, 56, 56))


@pytest.mark.parametrize(
    ("inputs", "layout", "shapes"),
    [
        (TWO_PATHWAYS, "NCDHW", "slow:8,3,4,56,56;fast:8,3,32,56,56"),
        (TWO_PATHWAYS | {"boxes": (5, 4)}, "ND", "slow:8,3,4,56,56;fast:8,3,32,56,56;boxes:8,5,4"),
    ],
)
def test_several_inputs_are_one_option(inputs, layout, shapes):
    spec = Spec(inputs)
    assert [f"--input_format={layout}", f"--input_shape={shapes}"] == atc(spec=spec)[4:6]
    opened = atc(spec=spec, batch=None, dynamic_batch=(1, 4))
    assert opened[5:7] == [f"--input_shape={shapes.replace(':8,', ':-1,')}", "--dynamic_batch_size=1,4"]
    assert f"'--input_shape={shapes}'" in shlex.join(atc(spec=spec))  # a shell must not end the command at the ;
    lite = converter_lite_command("net.mindir", batch=8, spec=spec, output="lite")
    assert f"--inputShape={shapes}" in lite


@pytest.mark.parametrize("spec", [(3, 0, 112, 112), ()])
def test_impossible_sizes(spec):
    with pytest.raises(SpecError, match=r"image.*sizes of 1 or more"):
        atc(spec=spec)
    with pytest.raises(SpecError, match=r"image.*sizes of 1 or more"):
        converter_lite_command("net.mindir", batch=8, spec=spec, output="lite")


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
        ({"output": "out/"}, "add a file name"),
        ({"batch": None}, "either `batch`"),
        ({"dynamic_batch": (1, 2)}, "either `batch`"),
        ({"batch": None, "dynamic_batch": (1,)}, "2 to 100 different"),
        ({"batch": None, "dynamic_batch": tuple(range(1, 102))}, "2 to 100 different"),
        ({"batch": None, "dynamic_batch": (1, 4, 4)}, "2 to 100 different"),
        ({"batch": None, "dynamic_batch": (0, 4)}, "2 to 100 different"),
        ({"precision_mode": "force_fp32", "precision_mode_v2": "origin"}, "E10056"),
        ({"precision_mode_v2": "force_fp16"}, "precision_mode_v2 'force_fp16'"),
        ({"log": "verbose"}, "log 'verbose'"),
        ({"output_type": "FP64"}, "output_type 'FP64'"),
        ({"output_type": "node:0:FP16;"}, "output_type"),
        ({"output_type": "node:FP16"}, "output_type"),
        ({"extra": {"op_select_implmod": "high_precision"}}, "did you mean 'op_select_implmode'"),
        ({"extra": {"--log": "info"}}, "is not known"),
        ({"extra": {"soc_version": "Ascend310"}}, "is not known"),
        ({"extra": {"debug_dir": ""}}, "E10004"),
        ({"extra": {"insert_op_conf": "aipp.cfg"}}, "images of four axes"),
        ({"extra": {"dynamic_dims": "1;8"}}, "give `dynamic_batch`"),
        ({"batch": None, "dynamic_batch": (1, 2), "extra": {"dynamic_dims": "1;2"}}, "E10009"),
        ({"extra": {"op_precision_mode": "a.ini", "op_select_implmode": "high_precision"}}, "E10056"),
    ],
)
def test_values_that_atc_refuses(changes, message):
    with pytest.raises(ConversionError, match=message):
        atc(**changes)


def test_values_that_atc_takes():
    for name in ("Ascend310", "Ascend310P3", "Ascend910A", "Ascend910B4-1", "Ascend910_9391"):
        assert f"--soc_version={name}" in atc(soc_version=name)
    for value in ("FP32", "INT8", "node:0:FP16", "a/b:0:FP16;c:12:UINT8"):
        assert atc(output_type=value)[-1] == f"--output_type={value}"
    for count in (2, 100):
        sizes = tuple(range(1, count + 1))
        assert f"--dynamic_batch_size={','.join(map(str, sizes))}" in atc(batch=None, dynamic_batch=sizes)


def test_converter_lite_command_in_full():
    command = converter_lite_command("net.mindir", batch=1, spec=CLIP, output="out/lite", config_path="a.cfg")
    assert shlex.join(command) == (
        "converter_lite --fmk=MINDIR --modelFile=net.mindir --outputFile=out/lite "
        "--inputShape=image:1,3,16,112,112 --saveType=MINDIR --optimize=ascend_oriented --encryption=false "
        "--configFile=a.cfg"
    )
    with pytest.raises(ConversionError, match="optimize 'fast'"):
        converter_lite_command("net.mindir", batch=1, spec=CLIP, output="x", optimize="fast")


@pytest.fixture
def network():
    return nn.ReLU()


@pytest.fixture
def on_ascend(monkeypatch):
    """Make export_air believe that the device is an Ascend card."""
    get = msexport.ms.get_context
    monkeypatch.setattr(msexport.ms, "get_context", lambda key: "Ascend" if key == "device_target" else get(key))


def test_air_is_for_ascend_only(network, tmp_path):
    with pytest.raises(ConversionError, match=r"on Ascend only, and the device is CPU.*deprecated.*export_onnx"):
        export_air(network, tmp_path / "net.air", (3, 8, 48, 48), batch=1)
    with pytest.raises(ConversionError, match=r"ends in \.air"):
        export_air(network, tmp_path / "net.onnx", (3, 8, 48, 48), batch=1)
    with pytest.raises(ConversionError, match="batch 0"):
        export_air(network, tmp_path / "net.air", (3, 8, 48, 48), batch=0)
    assert not list(tmp_path.iterdir())


def test_mindspore_s_own_refusal_of_air(network, on_ascend, tmp_path):
    with pytest.raises(ConversionError, match=r"cannot export this network as AIR: Only support export file in 'AIR'"):
        export_air(network, tmp_path / "net.air", (3, 8, 48, 48), batch=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("large", [False, True])
def test_air_that_was_written(network, on_ascend, tmp_path, monkeypatch, large):
    seen = {}

    def export(forward, example, *, file_name, file_format):
        seen.update(shape=example.shape, format=file_format, training=forward.training)
        Path(file_name).write_bytes(b"air")
        if large:
            Path(file_name).with_name("network_weights").mkdir()

    monkeypatch.setattr(msexport.ms, "export", export)
    path = tmp_path / "out" / "net.air"
    if large:
        with pytest.raises(ConversionError, match="too large for one AIR file"):
            export_air(network, path, (3, 8, 48, 48), batch=4)
        assert not path.exists()
    else:
        assert export_air(network, path, (3, 8, 48, 48), batch=4).read_bytes() == b"air"
    assert seen == {"shape": (4, 3, 8, 48, 48), "format": "AIR", "training": False}
