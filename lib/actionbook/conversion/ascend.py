"""The commands that turn an exported file into what an Ascend card runs. They are built here and run there.

Options after Huawei's ATC and MindSpore Lite guides; values that ATC is known to trip over are refused.
Show a command with `shlex.join`; run it with `subprocess.run` and no shell.
"""

from __future__ import annotations

import re
from pathlib import Path

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.msexport import INPUT_NAME

ONNX_FRAMEWORK = 5  # atc --framework: 0 Caffe, 1 MindSpore AIR, 3 TensorFlow, 5 ONNX
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
OPTIMISATIONS = ("none", "general", "gpu_oriented", "ascend_oriented")  # converter_lite --optimize


def atc_command(
    onnx_path: Path | str,
    *,
    batch: int,
    clip_shape: tuple[int, ...],
    soc_version: str,
    output: Path | str,
    precision_mode: str | None = None,
) -> list[str]:
    """The `atc` call that makes ``<output>.om`` of an ONNX file for one batch size of clips, `clip_shape` (C, T, H, W).

    `soc_version` is "Ascend" and the Name column of ``npu-smi info``: Ascend310, Ascend310P3, Ascend910B3 (on Atlas A3
    the full chip name, Ascend910_9391). `output` has no suffix. `precision_mode` None leaves ATC's, force_fp16.
    Clips of five axes (segments before C) are passed as format ND. Raises ConversionError for values that ATC refuses.
    """
    if not re.fullmatch(r"Ascend\d\w*(-\w+)?", soc_version):
        name = re.sub(r"(?i)^ascend", "", soc_version)
        hint = f"did you mean 'Ascend{name}'? " if re.match(r"\d", name) else ""
        raise ConversionError(
            f"soc_version {soc_version!r}: {hint}ATC wants 'Ascend' followed by the Name column of `npu-smi info`"
        )
    if precision_mode is not None and precision_mode not in PRECISION_MODES:
        raise ConversionError(f"precision_mode {precision_mode!r}: expected one of {', '.join(PRECISION_MODES)}")
    _check_shape(batch, clip_shape)
    command = [
        "atc",
        f"--framework={ONNX_FRAMEWORK}",
        f"--model={onnx_path}",
        f"--output={_stem(output, '.om')}",
        f"--input_format={'NCDHW' if len(clip_shape) == 4 else 'ND'}",
        f"--input_shape={_shape(batch, clip_shape)}",
        f"--soc_version={soc_version}",
    ]
    if precision_mode is not None:
        command.append(f"--precision_mode={precision_mode}")
    return command


def converter_lite_command(
    mindir_path: Path | str,
    *,
    batch: int,
    clip_shape: tuple[int, ...],
    output: Path | str,
    optimize: str = "ascend_oriented",
    config_path: Path | str | None = None,
) -> list[str]:
    """The `converter_lite` call that makes ``<output>.mindir``, for MindSpore Lite, of an exported MINDIR.

    `optimize` "ascend_oriented" gives a file that runs on Ascend only, "general" on CPU and GPU only. Encryption, the
    converter's default, is switched off. Raises ConversionError for an unknown `optimize` or an impossible shape.
    """
    if optimize not in OPTIMISATIONS:
        raise ConversionError(f"optimize {optimize!r}: expected one of {', '.join(OPTIMISATIONS)}")
    _check_shape(batch, clip_shape)
    command = [
        "converter_lite",
        "--fmk=MINDIR",
        f"--modelFile={mindir_path}",
        f"--outputFile={_stem(output, '.mindir')}",
        f"--inputShape={_shape(batch, clip_shape)}",
        "--saveType=MINDIR",
        f"--optimize={optimize}",
        "--encryption=false",
    ]
    if config_path is not None:
        command.append(f"--configFile={config_path}")
    return command


def _shape(batch: int, clip_shape: tuple[int, ...]) -> str:
    return f"{INPUT_NAME}:{','.join(map(str, (batch, *clip_shape)))}"


def _check_shape(batch: int, clip_shape: tuple[int, ...]) -> None:
    if batch < 1 or len(clip_shape) not in (4, 5) or min(clip_shape) < 1:
        raise ConversionError(
            f"batch {batch}, clip shape {tuple(clip_shape)}: expected a batch of 1 or more and (C, T, H, W)"
        )


def _stem(output: Path | str, suffix: str) -> str:
    """The output path, which both tools want without suffix and in plain letters (else E10001)."""
    text = str(output)
    if text.endswith(suffix):
        raise ConversionError(f"output {text!r}: give it without {suffix!r}, the tool appends that itself")
    if not re.fullmatch(r"[A-Za-z0-9_\-./]+", text):
        raise ConversionError(f"output {text!r}: the tool takes letters, digits and _ - . / only")
    return text
