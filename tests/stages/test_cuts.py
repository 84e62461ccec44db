"""Stage 01 over films of which a cut is used: what preparing takes is told, and no whole film is decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from actionbook.core.manifest import DatasetManifest
from actionbook.core.sections import Data
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import Dataset
from actionbook.datasets.figures import write_avi
from actionbook.datasets.index import make_index
from actionbook.datasets.preparation import prepare_frames
from actionbook.stages import data as module
from actionbook.stages.data import StageData, class_strips, preparation_line, read

FRAMES = {"long": 100, "short": 50}
"""Of each film, 25 a second; of the first second nothing is used."""


@pytest.fixture
def data(tiny_stage: Callable[..., Stage], tmp_path: Path) -> StageData:
    """Two films of which two seconds are used; one ends before."""
    manifest = DatasetManifest.model_validate(
        {
            "kind": "dataset",
            "name": "cuts",
            "dataset": "ava",
            "title": "Cuts",
            "licence": "none",
            "citation": "none",
            "layout": {"videos": "films", "annotations": "lists"},
            "videos": 2,
            "splits": {"1": {"train": 1, "test": 1}},
            "classes": list(FRAMES),
            "keyframes": {"cut": {"start": 1, "seconds": 2, "rate": 30}, "first": 1, "last": 1.5, "truth": {}},
        }
    )
    (tmp_path / "films").mkdir()
    for name, frames in FRAMES.items():
        grey = np.repeat(np.arange(frames, dtype=np.uint8), 32 * 32 * 3).reshape(frames, 32, 32, 3)
        write_avi(tmp_path / "films" / f"{name}.avi", grey * 2, width=32, height=32, quantiser=2)
    (tmp_path / "cuts.yaml").write_text(json.dumps(manifest.model_dump(mode="json")))
    settings = Data.model_validate(
        {"manifest": str(tmp_path / "cuts.yaml"), "frames": {"height": None, "min_decoded": 0}}
    )
    index = make_index(
        {"video": name, "path": f"films/{name}.avi", "label": name, "target": number, "subset": "train"}
        for number, name in enumerate(FRAMES)
    )
    one = Dataset(settings, tmp_path, tmp_path / "frames", tmp_path / "work")
    return StageData(tiny_stage(), {"cuts": one}, {"cuts": index})


def test_a_film_is_shown_to_the_end_of_its_cut(data: StageData, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> NoReturn:
        raise AssertionError("a whole film is decoded")

    monkeypatch.setattr(module, "iterate", never)
    long, short = class_strips(data, whole=True)
    assert long.numbers is not None
    assert short.numbers is not None
    assert (long.numbers[0], long.numbers[-1], short.numbers[-1]) == (1, 60, 30)
    for strip in (long, short):
        means = strip.frames.mean(axis=(1, 2, 3))
        assert abs(means[0] - 50) < 3
        assert abs(means[-1] - 48 - strip.numbers[-1] * 2 / 30 * 25) < 6


def test_what_preparing_takes_is_told_of_what_is_left(data: StageData, tiny_stage: Callable[..., Stage]) -> None:
    line = preparation_line(data)
    assert line.startswith("cuts: 2 videos, 120 frames: about 0 MB and 0.")
    assert line.endswith(" minutes with 2 workers (told from 2 of them)")
    (index,) = data.indexes.values()
    prepare_frames(data.own, index)
    assert preparation_line(data) == "cuts: nothing is left to prepare"
    assert preparation_line(read(tiny_stage())) == ""


def test_films_that_cannot_be_looked_at_are_left_to_preparation(data: StageData, tmp_path: Path) -> None:
    for path in (tmp_path / "films").iterdir():
        path.write_bytes(b"RIFF")
    assert preparation_line(data).startswith("cuts: what preparing it takes cannot be told: none of 2 videos")
    assert preparation_line(replace(data, sets={})) == ""
