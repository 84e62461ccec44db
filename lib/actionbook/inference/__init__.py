"""Offline inference: raw tensor batches on disk, the engines that run them, and how fast they do."""

from __future__ import annotations

from actionbook.inference.batches import BatchSet, read_batches, write_batches
from actionbook.inference.engines import (
    Engine,
    MindirEngine,
    NetworkEngine,
    OnnxEngine,
    ais_bench_command,
    open_engine,
)
from actionbook.inference.errors import InferenceError
from actionbook.inference.runner import read_results, run_batches
from actionbook.inference.throughput import Throughput, measure

__all__ = [
    "BatchSet",
    "Engine",
    "InferenceError",
    "MindirEngine",
    "NetworkEngine",
    "OnnxEngine",
    "Throughput",
    "ais_bench_command",
    "measure",
    "open_engine",
    "read_batches",
    "read_results",
    "run_batches",
    "write_batches",
]
