"""Manifests: what a data set or a set of weight files is, by size, digest and count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from actionbook.core.errors import BookError
from actionbook.core.keyframes import Keyframes
from actionbook.core.paths import MANIFESTS, expanded, shown
from actionbook.core.schema import Name, Strict, load, read_yaml, twice
from actionbook.core.sources import Below, Count, Sha256, Source
from actionbook.core.weight_files import WeightsManifest


class Split(Strict):
    """Numbers of videos of one train/test split, and of those that it leaves out."""

    train: Count
    test: Count
    unused: Count = 0
    lists_sha256: Sha256 | None = None
    """Of all list files of the split, where a data set has one for each class: one after the other in class order,
    every line as two words, a space between, LF after them."""
    truth_sha256: Sha256 | None = None
    """Of the test items with their labels, as the published lists name them: `datasets.index.Index.truth_sha256`, by
    which anybody can tell without the data set that an index is of this split."""


class Layout(Strict):
    """Folders below the data root, with ``/`` between the parts."""

    videos: Below
    annotations: Below
    suffix: str = ".avi"


class Generator(Strict):
    """Settings of a procedural data set."""

    seed: int
    groups: Annotated[int, Field(ge=2, le=99)] = 25
    clips_per_group: Annotated[int, Field(ge=1, le=99)] = 2
    min_frames: Annotated[int, Field(ge=17)] = 34
    max_frames: Annotated[int, Field(ge=17)] = 50
    width: Annotated[int, Field(ge=32, multiple_of=2)] = 320
    height: Annotated[int, Field(ge=32, multiple_of=2)] = 240

    @model_validator(mode="after")
    def _ordered(self) -> Generator:
        if self.max_frames < self.min_frames:
            raise ValueError(f"max_frames {self.max_frames} is less than min_frames {self.min_frames}")
        return self


class DatasetManifest(Strict):
    """A data set: sources, licence, layout, classes, counts, known traps."""

    kind: Literal["dataset"]
    name: Name
    dataset: Literal["ava", "hmdb51", "kinetics400", "ucf101"]
    """The reader in `actionbook.datasets` that understands the layout."""
    title: str
    licence: str
    citation: str
    homepage: str = ""
    sources: tuple[Source, ...] = ()
    annotation_files: tuple[Source, ...] = ()
    layout: Layout
    videos: Count
    splits: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]*$")], Split]
    """By number, as text: ``"1"``."""
    classes: Annotated[tuple[Annotated[str, Field(pattern=r"^\S(.*\S)?$")], ...], Field(min_length=1)]
    """In the order of their numbers. Whether they are names of folders, too, is a matter of the layout."""
    class_groups: dict[str, tuple[tuple[str, ...], ...]] = {}
    """Named sets of classes that the book looks at together, such as pairs that are reversals of each other."""
    keyframes: Keyframes | None = None
    """Of a data set whose items are keyframes with boxes, and of no other."""
    generator: Generator | None = None
    by_hand: str = ""
    """What a reader fetches without this library, and how: commands for a shell in the folder of the data set."""
    traps: tuple[str, ...] = ()

    @property
    def short_title(self) -> str:
        """The title up to its first comma: what people call the data set."""
        return self.title.partition(",")[0]

    def groups(self, kind: str) -> tuple[tuple[int, ...], ...]:
        """The numbers of the classes in each of the groups called `kind`. Raises BookError for a kind not named."""
        if kind not in self.class_groups:
            known = ", ".join(self.class_groups) or "none"
            raise BookError(f"{self.name} has no groups of classes called {kind!r}; there are: {known}")
        numbers = {label: number for number, label in enumerate(self.classes)}
        return tuple(tuple(numbers[label] for label in group) for group in self.class_groups[kind])

    @model_validator(mode="after")
    def _counts_agree(self) -> DatasetManifest:
        for name, split in self.splits.items():
            if split.train + split.test + split.unused != self.videos:
                parts = f"{split.train} + {split.test}" + (f" + {split.unused} unused" if split.unused else "")
                raise ValueError(f"split {name}: {parts} videos, but the data set has {self.videos}")
        if found := twice(self.classes):
            raise ValueError(f"a class is listed twice: {found}")
        if not self.splits:
            raise ValueError("splits: at least one is needed, found none")
        if found := twice(source.name for source in self.sources):
            raise ValueError(f"two sources have the same name: {found}")
        firsts = {source.name for source in self.sources if source.alternative_to is None}
        for source in self.sources:
            if source.alternative_to not in {None, *firsts}:
                raise ValueError(
                    f"{source.name}: alternative_to names {source.alternative_to!r}, expected one of the others"
                )
        unknown = {c for sets in self.class_groups.values() for s in sets for c in s} - set(self.classes)
        if unknown:
            raise ValueError(f"class_groups name classes that do not exist: {', '.join(sorted(unknown))}")
        if (self.keyframes is None) == (self.dataset == "ava"):
            raise ValueError("keyframes: expected for a data set in the form of AVA, and for no other")
        if self.keyframes and (strange := set(self.keyframes.unscored) - set(self.classes)):
            raise ValueError(f"keyframes.unscored names classes that do not exist: {', '.join(sorted(strange))}")
        if self.generator is not None and self.keyframes is None:
            drawn = len(self.classes) * self.generator.groups * self.generator.clips_per_group
            if drawn != self.videos:
                raise ValueError(f"the generator draws {drawn} videos, but the data set has {self.videos}")
        return self


def load_dataset(name: str) -> DatasetManifest:
    """The manifest ``data_manifests/<name>.yaml`` of a data set; a `name` that ends in .yaml is a path."""
    return load(DatasetManifest, _path(name))


def load_weights(name: str) -> WeightsManifest:
    """The manifest ``data_manifests/<name>.yaml`` of weight files; a `name` that ends in .yaml is a path."""
    return load(WeightsManifest, _path(name))


def weights_manifests() -> list[str]:
    """Names of the book's manifests of weight files."""
    return sorted(path.stem for path in MANIFESTS.glob("weights_*.yaml"))


def load_manifest(name: str) -> DatasetManifest | WeightsManifest:
    """The manifest of that name, or at that path, of a data set or of weight files."""
    path = _path(name)
    if read_yaml(path).get("kind") == "weights":
        return load(WeightsManifest, path)
    return load(DatasetManifest, path)


def _path(name: str) -> Path:
    if name.endswith(".yaml"):
        return expanded(name).resolve()
    path = MANIFESTS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in MANIFESTS.glob("*.yaml")))
        raise BookError(f"manifest {name!r}: {shown(path)} does not exist; there are: {known}")
    return path
