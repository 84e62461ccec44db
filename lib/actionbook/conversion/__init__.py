"""From a trained network to files that run without its code: MINDIR, ONNX, OM, and what must be known beforehand."""

from __future__ import annotations

from actionbook.conversion.ascend import atc_command, converter_lite_command, om_command
from actionbook.conversion.atc_codes import explain
from actionbook.conversion.check import check_explicit
from actionbook.conversion.converter import (
    AtcResult,
    ConverterError,
    ConverterMissing,
    run_atc,
    run_converter_lite,
)
from actionbook.conversion.differences import first_difference, layer_differences, spoil
from actionbook.conversion.errors import ConversionError
from actionbook.conversion.exporter import OnnxExport, export_onnx
from actionbook.conversion.msexport import export_air, export_mindir, export_onnx_raw
from actionbook.conversion.precision import quantise, store_half
from actionbook.conversion.preflight import Preflight, preflight

__all__ = [
    "AtcResult",
    "ConversionError",
    "ConverterError",
    "ConverterMissing",
    "OnnxExport",
    "Preflight",
    "atc_command",
    "check_explicit",
    "converter_lite_command",
    "explain",
    "export_air",
    "export_mindir",
    "export_onnx",
    "export_onnx_raw",
    "first_difference",
    "layer_differences",
    "om_command",
    "preflight",
    "quantise",
    "run_atc",
    "run_converter_lite",
    "spoil",
    "store_half",
]
