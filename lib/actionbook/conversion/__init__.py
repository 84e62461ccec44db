"""From a trained network to files that run without its code: MINDIR, ONNX, and the commands that make OM of it."""

from __future__ import annotations

from actionbook.conversion.ascend import atc_command, converter_lite_command
from actionbook.conversion.check import check_explicit
from actionbook.conversion.errors import ConversionError
from actionbook.conversion.exporter import OnnxExport, export_onnx
from actionbook.conversion.msexport import export_mindir, export_onnx_raw

__all__ = [
    "ConversionError",
    "OnnxExport",
    "atc_command",
    "check_explicit",
    "converter_lite_command",
    "export_mindir",
    "export_onnx",
    "export_onnx_raw",
]
