"""Readers of foreign weight files that execute nothing, name maps, and a strict load with a report."""

from __future__ import annotations

from actionbook.weights.errors import WeightsError
from actionbook.weights.layouts import LAYOUTS, Layout
from actionbook.weights.loading import export_state, fits, load
from actionbook.weights.reader import read, read_metadata, read_shapes, read_torch
from actionbook.weights.report import LoadReport, WrongShape
from actionbook.weights.safetensors_files import write_safetensors

__all__ = [
    "LAYOUTS",
    "Layout",
    "LoadReport",
    "WeightsError",
    "WrongShape",
    "export_state",
    "fits",
    "load",
    "read",
    "read_metadata",
    "read_shapes",
    "read_torch",
    "write_safetensors",
]
