"""Made-up records in the shape that the stage notebooks write."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionbook.results.records import Record, read_record


def accuracy(correct: int, evaluated: int, expected: int, k: int = 1) -> dict[str, Any]:
    missing = None if evaluated == expected else "0" * 64
    value = round(correct / expected, 6)
    return {
        "k": k,
        "correct": correct,
        "evaluated": evaluated,
        "expected": expected,
        "missing_sha256": missing,
        "value": value,
    }


ENVIRONMENT = {
    "python": "3.11.9",
    "machine": "Linux x86_64",
    "cpu": "A Processor|v2",
    "cores": 2,
    "mindspore": "2.10.0",
    "numpy": "1.26.4",
    "opencv-contrib-python-headless": "4.11",
    "ffmpeg": "libavcodec 61",
    "onnxruntime": "1.22",
    "cann": None,
    "driver": None,
    "library_sha256": "ab" * 32,
}
RUNS = [
    {
        "run": name,
        "seed": seed,
        "folder": "x",
        "epochs": 2,
        "seconds": 9.0,
        "loss": 0.5,
        "parameters": 10,
        "macs": 20,
        "accuracy": accuracy(right, 40, 40),
        "pair_accuracy": pair,
        "pair_videos": 20,
    }
    for name, seed, right, pair in (("clip", 1, 36, 0.9), ("clip", 2, 32, 0.8), ("frame", 1, 20, None))
]
RESULTS: dict[str, dict[str, Any]] = {
    "01_data": {
        "manifest": "mini_ucf101",
        "manifest_sha256": "1" * 64,
        "generated": True,
        "split": 1,
        "videos_expected": 40,
        "videos_found": 40,
        "missing_sha256": None,
        "frames": 900,
        "store_bytes": 12345,
        "index_sha256": "2" * 64,
    },
    "02_architecture": {
        "specified": [
            {"what": "parameters", "found": 2483429, "expected": 2483429},
            {"what": "shape", "found": [1, 2], "expected": [1, 2]},
        ],
        "equivalent": [
            {"network": "net 1.0", "relative_difference": 2.1e-6, "tolerance": 1e-4},
            {"network": "net 0.45", "relative_difference": 0.0, "tolerance": 1e-4},
        ],
    },
    "03_training": {
        "runs": RUNS,
        "model": {"folder": "x", "sha256": "3" * 64},
        "learns": [{"claim": "clips beat frames", "holds": True, "shown": "85.0 % against 50.0 %"}],
    },
    "04_conversion": {
        "ladder": [
            {
                "format": "ONNX",
                "clips": 12,
                "max_abs_difference": 1e-6,
                "relative_difference": 3e-7,
                "top1_agreement": 1.0,
                "passed": True,
                "reason": None,
            }
        ],
        "exports": [
            {"format": "ONNX", "file": "a.onnx", "bytes": 9, "sha256": "4" * 64, "nodes": None, "raw_nodes": None}
        ],
        "throughput": [{"engine": "ONNX Runtime", "batch": 8, "clips_per_second": 123.4, "low": 99.5, "high": 130.0}],
        "not_run": [{"format": "OM", "reason": "no Ascend card", "command": "atc"}],
    },
    "05_accuracy": {
        "protocol": "mini_ucf101 split 1, video level",
        "missing": [],
        "published": [],
        "accuracy": [
            {
                "engine": "ONNX Runtime",
                "top1": accuracy(36, 40, 40),
                "top5": accuracy(40, 40, 40, 5),
                "top1_quirk": accuracy(35, 39, 40),
            }
        ],
    },
}

MakeRecord = Callable[..., Record]


@pytest.fixture
def make_record(tmp_path: Path) -> MakeRecord:
    """Write a record into a workspace and read it. ``stage_03={...}`` changes a stage's results, None leaves it out."""

    def make(recipe: str = "mini", *, chapter: str = "efficient3d", day: int = 1, **changes: Any) -> Record:
        stages = {}
        for name, results in copy.deepcopy(RESULTS).items():
            change = changes.get("stage_" + name[:2], {})
            if change is None:
                continue
            stages[name] = {
                "finished": f"2026-01-{day:02d}T10:00:00+00:00",
                "seconds": 12.3,
                "timings": {"all": 1.0},
                "device": "CPU",
                "environment": ENVIRONMENT,
                "recipe_sections": {},
                "results": {**results, **change},
            }
        head = {"chapter": chapter, "recipe": recipe, "title": f"The recipe {recipe}", "recipe_sha256": "5" * 64}
        path = tmp_path / "work" / chapter / recipe / "record.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**head, "stages": stages}))
        return read_record(path)

    return make


@pytest.fixture
def real_run(make_record: MakeRecord) -> Callable[..., Record]:
    """A record of a run on UCF101 itself that aims at the port's figures; `correct` is counted as the port does."""

    def make(correct: int, evaluated: int = 3783, expected: int = 3783, **options: Any) -> Record:
        quirk = accuracy(correct, evaluated - 1, expected)
        entry = {"engine": "OM", "top1": accuracy(correct + 1, evaluated, expected), "top1_quirk": quirk}
        entry["top5"] = accuracy(min(evaluated, 3643), evaluated, expected, 5)
        published = ["efficient3d.port.top1", "efficient3d.port.top5"]
        changes = {
            "stage_01": {"manifest": "ucf101", "generated": False},
            "stage_05": {"protocol": "ucf101 split 1", "accuracy": [entry], "published": published},
        }
        return make_record("ucf101", **{**changes, **options})

    return make
