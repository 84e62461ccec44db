"""Offline inference: raw tensor batches on disk, the engines that run them, and how fast they do."""

from __future__ import annotations

from actionbook.inference.batches import BatchSet, read_batches, write_batches
from actionbook.inference.commands import ais_bench_command, msame_command, msit_command
from actionbook.inference.engines import MindirEngine, NetworkEngine, OnnxEngine
from actionbook.inference.errors import InferenceError
from actionbook.inference.interface import Engine, FolderEngine, FolderRun
from actionbook.inference.om import AisBenchEngine, MsameEngine
from actionbook.inference.online import Online, Running
from actionbook.inference.opening import open_engine
from actionbook.inference.port import read_port_batches
from actionbook.inference.port_boxes import PortBoxes, read_port_boxes, read_port_scores, write_port_boxes
from actionbook.inference.port_videos import (
    PortLayout,
    PortVideos,
    read_port_labels,
    read_port_results,
    read_port_time,
    read_port_videos,
    write_port_labels,
    write_port_videos,
)
from actionbook.inference.runner import read_results, run_batches
from actionbook.inference.summaries import Summary, parse_msame_console, read_summary
from actionbook.inference.throughput import Throughput, measure, measure_sizes, throughput_table

__all__ = [
    "AisBenchEngine",
    "BatchSet",
    "Engine",
    "FolderEngine",
    "FolderRun",
    "InferenceError",
    "MindirEngine",
    "MsameEngine",
    "NetworkEngine",
    "Online",
    "OnnxEngine",
    "PortBoxes",
    "PortLayout",
    "PortVideos",
    "Running",
    "Summary",
    "Throughput",
    "ais_bench_command",
    "measure",
    "measure_sizes",
    "msame_command",
    "msit_command",
    "open_engine",
    "parse_msame_console",
    "read_batches",
    "read_port_batches",
    "read_port_boxes",
    "read_port_labels",
    "read_port_results",
    "read_port_scores",
    "read_port_time",
    "read_port_videos",
    "read_results",
    "read_summary",
    "run_batches",
    "throughput_table",
    "write_batches",
    "write_port_boxes",
    "write_port_labels",
    "write_port_videos",
]
