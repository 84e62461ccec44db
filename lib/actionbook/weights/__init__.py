"""Readers of foreign checkpoints that execute nothing, name maps, and a strict load with a report."""

from __future__ import annotations

from actionbook.weights.errors import WeightsError
from actionbook.weights.layouts import LAYOUTS, Layout
from actionbook.weights.loading import export_state, load
from actionbook.weights.report import LoadReport, WrongShape
from actionbook.weights.torch_reader import read_torch, read_torch_metadata

__all__ = [
    "LAYOUTS",
    "Layout",
    "LoadReport",
    "WeightsError",
    "WrongShape",
    "export_state",
    "load",
    "read_torch",
    "read_torch_metadata",
]
