"""The commands that turn an exported file into what an Ascend card runs: built and checked here, run by atc and lite.

Options after Huawei's ATC and MindSpore Lite guides; values that ATC is known to trip over are refused.
Show a command with `shlex.join`; no shell is needed to run it.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from actionbook.conversion.errors import ConversionError
from actionbook.core.npu_smi import soc_remark
from actionbook.core.paths import is_plain
from actionbook.core.spec import Shape, Spec

FRAMEWORKS = {".onnx": 5, ".air": 1}  # atc --framework; 0 is Caffe, 3 TensorFlow, and there is none for MINDIR
PRECISION_MODES = (
    "force_fp16",  # ATC's default
    "force_fp32",
    "cube_fp16in_fp32out",
    "allow_fp32_to_fp16",
    "must_keep_origin_dtype",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "allow_mix_precision_bf16",
    "allow_fp32_to_bf16",
)
PRECISION_MODES_V2 = (
    "fp16",  # ATC's default
    "origin",
    "cube_fp16in_fp32out",
    "mixed_float16",
    "mixed_bfloat16",
    "mixed_hif8",
    "cube_hif8",
)
LOG_LEVELS = ("null", "debug", "info", "warning", "error")
OPTIMISATIONS = ("none", "general", "gpu_oriented", "ascend_oriented")  # converter_lite --optimize
# Further options of ATC that fit clips, and those among them whose value is a path.
ATC_PATHS = (
    "op_precision_mode",
    "fusion_switch_file",
    "keep_dtype",
    "modify_mixlist",
    "customize_dtypes",
    "op_compiler_cache_dir",
    "op_bank_path",
    "mdl_bank_path",
    "op_name_map",
    "debug_dir",
)
ATC_EXTRAS = (
    *ATC_PATHS,
    "op_select_implmode",
    "optypelist_for_implmode",
    "op_compiler_cache_mode",
    "op_debug_level",
    "buffer_optimize",
    "deterministic",
    "disable_reuse_memory",
    "out_nodes",
    "input_fp16_nodes",
    "host_env_os",
    "host_env_cpu",
    "virtual_type",
    "core_type",
    "aicore_num",
    "display_model_info",
)
_DYNAMIC = ("dynamic_image_size", "dynamic_dims", "input_shape_range")
_NOT_FOR_AIR = ("out_nodes", "input_fp16_nodes", "op_name_map")  # ATC ignores them with --framework=1

logger = logging.getLogger(__name__)


def atc_command(
    model_path: Path | str,
    *,
    spec: Spec | Shape,
    soc_version: str,
    output: Path | str,
    batch: int | None = None,
    dynamic_batch: tuple[int, ...] | None = None,
    precision_mode: str | None = None,
    precision_mode_v2: str | None = None,
    output_type: str | None = None,
    log: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> list[str]:
    """The `atc` call that makes ``<output>.om`` of an ONNX or AIR file with the inputs of `spec`.

    A shape alone, (C, T, H, W), is one input ``image``. The file takes `batch` samples at once or, with
    `dynamic_batch`, any of those numbers (2 to 100 of them; the ONNX file must leave its batch open, in all inputs). An
    AIR file has its shape inside: `batch` is then that of its export. Where an input has not four axes (segments before
    C; boxes) all are passed as format ND. `output` has no suffix.

    `soc_version` is "Ascend" and the Name column of ``npu-smi info``: Ascend310, Ascend310P3, Ascend910B3 (on Atlas A3
    the full chip name, Ascend910_9391); `npu_smi.soc_version` finds it. Ambiguous names are logged as a warning.
    Without `precision_mode` or its successor `precision_mode_v2` ATC computes in 16 bits. `output_type` is FP32, FP16,
    UINT8 or INT8, or "node:0:FP16;…". `log` is the level of ATC's own log. `extra` holds further options (`ATC_EXTRAS`)
    by their name without dashes, such as {"op_select_implmode": "high_precision"}.

    Raises ConversionError for values and combinations that ATC refuses, and for a .mindir, which it does not read;
    SpecError for impossible sizes.
    """
    spec = Spec.of(spec)
    framework = _framework(model_path)
    extra = dict(extra or {})
    _check_soc(soc_version)
    _check_choice("precision_mode", precision_mode, PRECISION_MODES)
    _check_choice("precision_mode_v2", precision_mode_v2, PRECISION_MODES_V2)
    _check_choice("log", log, LOG_LEVELS)
    if precision_mode is not None and precision_mode_v2 is not None:
        raise ConversionError("precision_mode and precision_mode_v2 exclude each other (ATC: E10056); give one of them")
    if output_type is not None and not re.fullmatch(
        r"(FP32|FP16|UINT8|INT8)|([^;:]+:\d+:(FP32|FP16|UINT8|INT8)(;(?!$)|$))+", output_type
    ):
        raise ConversionError(
            f"output_type {output_type!r}: expected FP32, FP16, UINT8 or INT8, or 'node:0:FP16' parted by ';'"
        )
    _check_extra(extra, framework, dynamic_batch)
    shape = _input_shape(batch, dynamic_batch, spec)
    command = ["atc", f"--framework={framework}", f"--model={model_path}", f"--output={_stem(output, '.om')}"]
    if framework != FRAMEWORKS[".air"]:
        layout = "NCDHW" if all(len(sizes) == 4 for sizes in spec.inputs.values()) else "ND"
        command += [f"--input_format={layout}", f"--input_shape={shape}"]
    elif dynamic_batch is not None:
        raise ConversionError(f"{model_path}: an AIR file has its batch inside; dynamic_batch needs ONNX")
    if dynamic_batch is not None:
        command.append(f"--dynamic_batch_size={','.join(map(str, dynamic_batch))}")
    command.append(f"--soc_version={soc_version}")
    options = {
        "precision_mode": precision_mode,
        "precision_mode_v2": precision_mode_v2,
        "output_type": output_type,
        "log": log,
        **extra,
    }
    return command + [f"--{name}={value}" for name, value in options.items() if value is not None]


def om_command(batch: int, spec: Spec | Shape, soc_version: str, *, half: bool = False) -> list[str]:
    """The `atc_command` of every chapter: ``network_bs<batch>.om`` of ``network.onnx`` in the folder where it is run.

    `half` says that the ONNX file computes in 16 bits: its output may then be float16, and results are float32.
    """
    return atc_command(
        "network.onnx",
        batch=batch,
        spec=spec,
        soc_version=soc_version,
        output=f"network_bs{batch}",
        output_type="FP32" if half else None,
    )


def converter_lite_command(
    mindir_path: Path | str,
    *,
    batch: int,
    spec: Spec | Shape,
    output: Path | str,
    optimize: str = "ascend_oriented",
    config_path: Path | str | None = None,
) -> list[str]:
    """The `converter_lite` call that makes ``<output>.mindir``, for MindSpore Lite, of an exported MINDIR.

    `optimize` "ascend_oriented" gives a file that runs on Ascend only, "general" on CPU and GPU only. Encryption, the
    converter's default, is switched off. `spec` is as in `atc_command`. Raises ConversionError for an unknown
    `optimize` or an impossible batch, SpecError for impossible sizes.
    """
    _check_choice("optimize", optimize, OPTIMISATIONS)
    command = [
        "converter_lite",
        "--fmk=MINDIR",
        f"--modelFile={mindir_path}",
        f"--outputFile={_stem(output, '.mindir')}",
        f"--inputShape={_input_shape(batch, None, Spec.of(spec))}",
        "--saveType=MINDIR",
        f"--optimize={optimize}",
        "--encryption=false",
    ]
    if config_path is not None:
        command.append(f"--configFile={config_path}")
    return command


def _framework(model_path: Path | str) -> int:
    suffix = Path(model_path).suffix.lower()
    if suffix == ".mindir":
        raise ConversionError(
            f"{model_path}: ATC does not read MINDIR. Export the network as ONNX (export_onnx) for ATC, "
            "or convert the MINDIR for MindSpore Lite (converter_lite_command)"
        )
    if suffix not in FRAMEWORKS:
        raise ConversionError(f"{model_path}: expected a model for ATC that ends in {' or '.join(FRAMEWORKS)}")
    return FRAMEWORKS[suffix]


def _check_soc(soc_version: str) -> None:
    if not re.fullmatch(r"Ascend\d\w*(-\w+)?", soc_version):
        name = re.sub(r"(?i)^ascend", "", soc_version)
        hint = f"did you mean 'Ascend{name}'? " if re.match(r"\d", name) else ""
        raise ConversionError(
            f"soc_version {soc_version!r}: {hint}ATC wants 'Ascend' followed by the Name column of `npu-smi info`"
        )
    if remark := soc_remark(soc_version):
        logger.warning("soc_version %s", remark)


def _check_choice(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise ConversionError(f"{name} {value!r}: expected one of {', '.join(allowed)}")


def _check_extra(extra: dict[str, str], framework: int, dynamic_batch: tuple[int, ...] | None) -> None:
    for name, value in extra.items():
        if name in _DYNAMIC:
            raise ConversionError(
                f"extra option {name!r}: "
                + (
                    "dynamic_batch_size, dynamic_image_size, dynamic_dims and input_shape_range exclude one another "
                    "(ATC: E10009)"
                    if dynamic_batch is not None
                    else "clips have a fixed size, and only their number may stay open: give `dynamic_batch`"
                )
            )
        if name == "insert_op_conf":
            raise ConversionError("extra option 'insert_op_conf': AIPP takes images of four axes, not clips of five")
        if name not in ATC_EXTRAS:
            near = difflib.get_close_matches(name, ATC_EXTRAS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConversionError(f"extra option {name!r} is not known; {hint}expected {', '.join(ATC_EXTRAS)}")
        if framework == FRAMEWORKS[".air"] and name in _NOT_FOR_AIR:
            raise ConversionError(f"extra option {name!r}: ATC ignores it for AIR files; export as ONNX")
        if value == "":
            raise ConversionError(f"extra option {name!r}: the value is empty (ATC: E10004)")
    if "op_precision_mode" in extra and "op_select_implmode" in extra:
        raise ConversionError("op_precision_mode replaces op_select_implmode (ATC: E10056); give one of them")


def _input_shape(batch: int | None, dynamic_batch: tuple[int, ...] | None, spec: Spec) -> str:
    """The shapes as both tools write them, ``slow:8,3,4,56,56;fast:8,3,32,56,56``, with -1 for an open batch."""
    if batch is not None and batch < 1:
        raise ConversionError(f"batch {batch}: expected 1 or more")
    if (batch is None) == (dynamic_batch is None):
        raise ConversionError("expected either `batch`, one number of samples, or `dynamic_batch`, several of them")
    if dynamic_batch is not None and not (
        2 <= len(dynamic_batch) <= 100 and min(dynamic_batch) >= 1 and len(set(dynamic_batch)) == len(dynamic_batch)
    ):
        raise ConversionError(f"dynamic_batch {dynamic_batch}: expected 2 to 100 different sizes of 1 or more")
    return ";".join(f"{name}:{','.join(map(str, (batch or -1, *sizes)))}" for name, sizes in spec.inputs.items())


def _stem(output: Path | str, suffix: str) -> str:
    """The output path, which both tools want without suffix and in plain letters (else E10001)."""
    text = str(output)
    if text.endswith(suffix):
        raise ConversionError(f"output {text!r}: give it without {suffix!r}, the tool appends that itself")
    if text.endswith("/"):
        raise ConversionError(f"output {text!r}: add a file name (ATC: E10022)")
    if not is_plain(text):
        raise ConversionError(
            f"output {text!r}: the tool takes letters, digits and _ - . / only. Change to the folder and give its name "
            "alone; run_atc and run_converter_lite then do in folders of any name"
        )
    return text
