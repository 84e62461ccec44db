"""Clips, batches and engines small enough to check by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import actionbook  # noqa: F401 (sets what MindSpore reads when it is imported)
from actionbook.core.spec import Arrays, Spec
from actionbook.inference import BatchSet, write_batches

SHAPE = (3, 2, 4, 5)


class SumEngine:
    """Logits of a clip: its sum, and the sum of its first channel. Counts its runs; fails at one if told to."""

    name = "sums"
    sha256 = "0" * 64

    def __init__(self, batch_size: int | None = None, fail_at: int | None = None) -> None:
        self.batch_size, self.spec = batch_size, Spec.of(SHAPE)
        self.fail_at = fail_at
        self.runs = 0

    def run(self, batch: Arrays | np.ndarray) -> np.ndarray:
        batch = self.spec.named(batch)["image"]
        if self.runs == self.fail_at:
            raise KeyboardInterrupt
        self.runs += 1
        sums = [batch.sum(axis=(1, 2, 3, 4)), batch[:, 0].sum(axis=(1, 2, 3))]
        return np.stack(sums, axis=1).astype(np.float32)


@pytest.fixture
def clips() -> list[tuple[str, np.ndarray]]:
    """Seven clips of four videos."""
    random = np.random.default_rng(0)
    return [(f"v_打_g0{i // 2}", random.standard_normal(SHAPE, dtype=np.float32)) for i in range(7)]


@pytest.fixture
def batches(clips, tmp_path) -> BatchSet:
    """Three batches of three; the last holds one clip and two rows of padding."""
    return write_batches(clips, tmp_path / "batches", batch_size=3, spec=SHAPE, progress=False)


@pytest.fixture
def sum_engine() -> type[SumEngine]:
    return SumEngine


@pytest.fixture
def drawn(request) -> Callable[..., list[tuple[str, dict[str, np.ndarray]]]]:
    """Draws samples of a test module's SPEC, whose inputs are not in the spec's order."""
    spec = request.module.SPEC

    def draw(seed: int = 0, count: int = 7) -> list[tuple[str, dict[str, np.ndarray]]]:
        arrays = spec.random(count, seed)
        return [(f"v,{k}", {name: arrays[name][k] for name in reversed(spec.inputs)}) for k in range(count)]

    return draw


@pytest.fixture
def samples(drawn) -> list[tuple[str, dict[str, np.ndarray]]]:
    return drawn()


@pytest.fixture
def stacked(request) -> Callable[..., dict[str, np.ndarray]]:
    """Makes one batch of samples of a test module's SPEC."""
    names = request.module.SPEC.inputs
    return lambda samples: {name: np.stack([arrays[name] for _, arrays in samples]) for name in names}


@pytest.fixture
def write(request) -> Callable[..., BatchSet]:
    """Writes samples of a test module's SPEC as batches."""

    def of(samples, folder, size=3, spec=request.module.SPEC) -> BatchSet:
        return write_batches(samples, folder, batch_size=size, spec=spec, progress=False)

    return of


STAND_INS = Path(__file__).parent / "stand_ins"


@pytest.fixture
def om(tmp_path) -> Callable[..., Path]:
    """Writes a model file for the stand-ins of ais_bench and msame (see stand_ins/fake_om.py)."""

    def write(batch: int, **options: object) -> Path:
        folder = tmp_path / "模型, a;b $(c)"
        folder.mkdir(exist_ok=True)
        path = folder / "net.om"
        path.write_text(json.dumps({"batch": batch, "clip": int(np.prod(SHAPE)), **options}))
        return path

    return write


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """Puts the stand-ins where the engines look: ais_bench on PYTHONPATH, msame on a PATH without anything else.

    Returns the folder of that PATH.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "msame"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_INS / "msame.py"}" "$@"\n')
    program.chmod(0o755)
    (folder / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(STAND_INS))
    return folder
