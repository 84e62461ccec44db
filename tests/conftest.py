"""What several floors share: a tiny data set of real video files in UCF101's layout, its prepared frames, its stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import actionbook  # noqa: F401  before any test module imports MindSpore, whose environment it sets
from actionbook.clips.pipeline import store_path
from actionbook.core.manifest import DatasetManifest, Layout, Split
from actionbook.core.recipe import Frames
from actionbook.core.schema import merge
from actionbook.core.workspace import Stage
from actionbook.datasets.index import write_index
from actionbook.datasets.miniature import MiniSpec, write_ucf101
from actionbook.datasets.ucf101 import ucf101_index
from actionbook.video.prepare import Job, prepare_video

SPEC = MiniSpec(
    seed=5,
    groups=10,
    clips_per_group=1,
    min_frames=18,
    max_frames=36,
    width=64,
    height=48,
    classes=("MoonWalk", "Walking"),
)


@dataclass(frozen=True)
class Tiny:
    """A data set of 20 videos: split 1 trains on 6 and tests on 14, splits 2 and 3 as their groups fall."""

    root: Path
    manifest: DatasetManifest


@dataclass(frozen=True)
class Prepared:
    """The frame store of the tiny data set and its index of split 1, numbers of frames filled in."""

    store: Path
    index: pd.DataFrame
    frames: Frames


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny data set with a manifest of its own counts; tests must not write to it."""
    root = tmp_path_factory.mktemp("tiny") / "data"
    write_ucf101(root, spec=SPEC)
    manifest = DatasetManifest(
        kind="dataset",
        name="tiny",
        dataset="ucf101",
        title="Twenty small videos",
        licence="none",
        citation="none",
        layout=Layout(videos="UCF-101", annotations="ucfTrainTestlist"),
        videos=20,
        # Of ten groups, 1 to 7 test in split 1, 8 to 10 in split 2, none in split 3.
        splits={"1": Split(train=6, test=14), "2": Split(train=14, test=6), "3": Split(train=20, test=0)},
        classes=SPEC.classes,
    )
    return Tiny(root, manifest)


@pytest.fixture(scope="session")
def prepared(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """All 20 videos as frame store files; tests must not write to them."""
    store, frames = tmp_path_factory.mktemp("tiny_store"), Frames(height=32)
    index = ucf101_index(tiny.root, tiny.manifest, 1)
    counts = []
    for video, label, path in zip(index.video, index.label, index.path, strict=True):
        result = prepare_video(Job(video, tiny.root / path, store_path(store, label, video)), frames)
        assert not result.error
        counts.append(result.frames)
    return Prepared(store, index.assign(frames=counts), frames)


@pytest.fixture
def tiny_stage(tiny: Tiny, prepared: Prepared, tmp_path: Path) -> Callable[..., Stage]:
    """A function that opens stage 03 of a recipe over the tiny data set, given the recipe's differences.

    Indexes and frames of all its runs are there. ``other.yaml`` in `tmp_path` is the manifest of a second data set with
    the same videos and three classes. The work root is the folder `work` in `tmp_path`.
    """
    for manifest in (
        tiny.manifest,
        tiny.manifest.model_copy(update={"name": "other", "classes": (*SPEC.classes, "Waving")}),
    ):
        (tmp_path / f"{manifest.name}.yaml").write_text(json.dumps(manifest.model_dump(mode="json")), encoding="utf-8")
    recipe: dict[str, Any] = {
        "chapter": "tiny",
        "name": "tiny",
        "title": "Tiny",
        "data": {"manifest": str(tmp_path / "tiny.yaml"), "frames": {"height": 32}},
        "clips": {"frames": 4, "stride": 1, "window": 8, "size": 16},
        "model": {"name": "mobilenetv2_3d", "options": {"width": 0.2}},
        "training": {"epochs": 0, "batch_size": 2, "lr": 0.02},
        "export": {"inference_batch": 5},
    }

    def open_stage(work: str = "work", **differences: Any) -> Stage:
        file = tmp_path / "recipe.yaml"
        file.write_text(json.dumps(merge(recipe, differences)), encoding="utf-8")  # JSON is YAML
        parameters = {"recipe": str(file), "data_root": str(tiny.root), "work_root": str(tmp_path / work)}
        others = {"device": "CPU", "workers": 2, "overrides": None}
        stage = Stage.open("tiny", "03_training", parameters | others)
        for own in stage.data_sets():
            write_index(prepared.index, own.index_file)
            own.colour_store.parent.mkdir(parents=True, exist_ok=True)
            if not own.colour_store.exists():
                own.colour_store.symlink_to(prepared.store)
        return stage

    return open_stage
