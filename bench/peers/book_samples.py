"""Samples of the book's loader over frame stores that no data set stands behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actionbook.clips.samples import Samples
from actionbook.core.recipe import Recipe
from actionbook.core.sampling import Windows
from actionbook.core.sections import Data, Model
from actionbook.core.training import Training
from actionbook.core.transforms import Transforms
from actionbook.datasets.index import make_index


def settings(clips: Mapping[str, Any]) -> Recipe:
    """A recipe whose clips have these settings: of the sampling (frames, stride, window) and of the transforms."""
    sampling = {name: clips[name] for name in Windows.model_fields if name in clips}
    transforms = {name: clips[name] for name in Transforms.model_fields if name in clips}
    return Recipe(
        chapter="bench",
        name="bench",
        title="Bench",
        data=Data(manifest="mini_ucf101"),
        sampling=Windows(**sampling),
        transforms=Transforms(**transforms),
        model=Model(name="mobilenetv2_3d"),
        training=Training(epochs=1, batch_size=1, lr=0.1),
    )


def samples(stores: Mapping[str, int], folder: Path, clips: Mapping[str, Any]) -> Samples:
    """Samples of the stores ``<folder>/<name>.zip``, given with their numbers of frames; all of class 0."""
    rows = [
        {
            "video": f"v{k}",
            "label": "bench",
            "target": 0,
            "subset": "train",
            "path": "",
            "store": name,
            "frames": frames,
        }
        for k, (name, frames) in enumerate(stores.items())
    ]
    return Samples(make_index(rows), folder, settings(clips), 1)
