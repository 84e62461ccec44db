"""Workspaces that notebook 04 has left, as far as another machine needs them, and that machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from actionbook.core.record import SCHEMAS, Head, StageEntry, write_stage
from actionbook.core.schema import read_yaml
from actionbook.core.spec import Spec
from actionbook.inference import write_batches

TESTS = Path(__file__).parents[1]
DOCUMENTS = read_yaml(TESTS / "core" / "data" / "documents.yaml")
COUNT = 12
"""Samples of each stream."""
BATCH = 1

Streams = Mapping[str, Spec]
Arrays = dict[str, np.ndarray]


def _onnx(path: Path, seed: int) -> None:
    """Any graph; the stand-in of ATC does not look into it."""
    node = helper.make_node("Identity", ["image"], ["class"])
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", 3)) for name in ("image", "class")]
    path.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(helper.make_graph([node], f"network {seed}", shapes[:1], shapes[1:])), path)


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Arrays]]]:
    """Make a workspace; returns it and the samples of its streams, (N, ...) by input."""

    def make(
        streams: Streams, name: str = "toy", seed: int = 0, network: int = 0, *, kept: bool = True
    ) -> tuple[Path, dict[str, Arrays]]:
        folder, samples = tmp_path / "工作" / "chapter" / name, {}
        row = DOCUMENTS["results of 04_conversion"]["streams"]["rgb"]
        for stream, spec in streams.items():
            inner = folder / stream if len(streams) > 1 else folder
            samples[stream] = spec.random(COUNT, seed)
            rows = [(f"v{k}", {key: array[k] for key, array in samples[stream].items()}) for k in range(COUNT)]
            write_batches(rows, inner / "batches", batch_size=BATCH, spec=spec, keep=kept, progress=False)
            _onnx(inner / "export" / "network.onnx", network)
        head = Head(chapter="chapter", recipe=name, title="A toy", recipe_sha256="5" * 64, streams=tuple(streams))
        entry: dict[str, Any] = {
            "name": "04_conversion",
            "finished": "2026-01-01T10:00:00+00:00",
            "seconds": 1.0,
            "timings": {},
            "device": "CPU",
            "devices": 1,
            "environment": {},
            "recipe_sections": {},
            "rests_on": {},
            "results": SCHEMAS["04_conversion"](streams=dict.fromkeys(streams, row)),
        }
        write_stage(folder, head, StageEntry(**entry))
        return folder, samples

    return make


class Card:
    """A machine with the tools and a Python that has nothing but its standard library."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        python = self.bin / "python3"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
        msame = self.bin / "msame"
        msame.write_text(f'#!/bin/sh\nexec "{python}" "{TESTS / "inference" / "stand_ins" / "msame.py"}" "$@"\n')
        shutil.copy(TESTS / "core" / "stand_ins" / "npu-smi", self.bin)
        shutil.copy(TESTS / "elsewhere" / "stand_ins" / "atc", self.bin)
        for program in self.bin.iterdir():
            program.chmod(0o755)
        (folder / "cann").mkdir()
        (folder / "cann" / "version.cfg").write_text("# version: 1.0\ntoolkit_running_version=[7.3.0.1.231:8.0.RC2]\n")

    def carry(self, out: Path) -> Path:
        """A copy of the folder `out` on this machine."""
        return Path(shutil.copytree(out, self.folder / "taken", dirs_exist_ok=True))

    def run(self, *arguments: str, tool: str = "ais_bench", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script of the folder that was carried here."""
        environment = {
            "PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "PYTHONPATH": str(TESTS / "inference" / "stand_ins") if tool == "ais_bench" else "",
            "STAND_IN": "310P",
            "STAND_IN_TEXTS": str(TESTS / "core" / "stand_ins" / "npu_smi"),
            "STAND_IN_CALL": os.devnull,
            "ASCEND_HOME_PATH": str(self.folder / "cann"),
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-S", str(self.folder / "taken" / "run_om.py"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path / "box")
