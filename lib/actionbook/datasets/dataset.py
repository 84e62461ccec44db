"""A data set: its manifest, where it lies, and the stores and the index that are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from actionbook.core.files import sha256_json
from actionbook.core.keyframes import Cut
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.paths import expanded
from actionbook.core.sections import Data
from actionbook.core.workspace import Stage
from actionbook.datasets.index import Index, read_index
from actionbook.video.digests import frames_sha256
from actionbook.video.resample import cut_name

_SIDES = {"height": "h", "short": "s"}


def store_path(store: Path, name: str) -> Path:
    """The frame store file of one video: ``<store>/<name>.zip``; `name` is the column ``store`` of an index.

    Where there is a folder of that name without ``.zip``, made by the original programs, `open_frames` reads that.
    """
    return store / f"{name}.zip"


@dataclass(frozen=True)
class Dataset:
    """One data set with one split, as a recipe's section `data` wants it."""

    data: Data
    root: Path
    """Folder of the data set as it is published."""
    stores: Path
    """Folder of the frame stores of all data sets."""
    index_folder: Path
    """Where its index lies."""

    @cached_property
    def manifest(self) -> DatasetManifest:
        """What the data set is."""
        return load_dataset(self.data.manifest)

    @property
    def frames_folder(self) -> Path | None:
        """Folder of frames in colour that others have made, if the recipe names one."""
        return self._place(self.data.frames_folder)

    @property
    def flow_folder(self) -> Path | None:
        """Folder of optical flow that others have made, if the recipe names one."""
        return self._place(self.data.flow_folder)

    @property
    def annotation_json(self) -> Path | None:
        """Annotation file that takes the place of the split's lists, if the recipe names one."""
        return self._place(self.data.annotation_json)

    def _place(self, path: str | None) -> Path | None:
        return None if path is None else (self.root / expanded(path)).resolve()

    @property
    def colour_store(self) -> Path:
        """Folder of the frames in colour, shared by all recipes that want the same frames."""
        return self.frames_folder or self.stores / self._colour_name

    @property
    def _colour_name(self) -> str:
        """What distinguishes these frames from others of the data set."""
        if self.frames_folder:  # flow of one folder must not pass for that of another
            return f"{self.manifest.name}-folder-{sha256_json(str(self.frames_folder))[:8]}"
        frames = self.data.frames
        size = "native" if frames.height is None else f"{_SIDES[frames.side]}{frames.height}"
        name = f"{self.manifest.name}-{size}-q{frames.quality}"
        return f"{name}-{cut_name(self.cut)}" if self.cut else name

    @property
    def cut(self) -> Cut | None:
        """The part of each video that is stored; None: all of it."""
        return self.manifest.keyframes.cut if self.manifest.keyframes else None

    @property
    def flow_store(self) -> Path:
        """Folder of the optical flow between those frames."""
        flow = self.data.flow
        name = f"{self._colour_name}-{flow.algorithm}-b{flow.bound:g}-q{flow.quality}"
        return self.flow_folder or self.stores / name

    def store(self, modality: str) -> Path:
        """Folder of what clips are made of: frames in colour ("rgb"), or "flow"."""
        return self.flow_store if modality == "flow" else self.colour_store

    @property
    def index_file(self) -> Path:
        """The index of the split that stage 01 writes, without the endings of its two files."""
        return self.index_folder / f"index-{self.manifest.name}-{self.data.split}"

    def index(self) -> Index:
        """The index that stage 01 has written. Raises BookError where it has not."""
        return read_index(self.index_file)

    @property
    def memory(self) -> Path:
        """File in which digests of frames are remembered (`video.digests`)."""
        return self.stores / f"{self.manifest.name}-digests.json"

    def frames_sha256(self, index: Index, modality: str) -> str:
        """Digest of the frames of all prepared videos of `index`, by content (`video.digests.frames_sha256`)."""
        names = index.videos.store[index.videos.frames > 0]
        return frames_sha256([store_path(self.store(modality), name) for name in names], self.memory)


def dataset_of(stage: Stage) -> Dataset:
    """The data set of a stage's recipe; its index lies in the workspace."""
    return Dataset(stage.recipe.data, stage.data_root, stage.work_root / "frames", stage.workspace)
