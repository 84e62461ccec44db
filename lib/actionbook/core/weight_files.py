"""Published weight files: which network each belongs to, how its tensors are called, and the clips that it expects."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.core.sampling import Pathways, check_whole
from actionbook.core.schema import Name, Strict, twice
from actionbook.core.sections import Positive
from actionbook.core.sources import Source
from actionbook.core.spec import BOXES, IMAGE, Shape, Spec
from actionbook.core.transforms import Transforms


class Clips(Transforms):
    """The clips that a published network expects, and how they were drawn in its training."""

    frames: Positive
    sampling: Literal["consecutive", "keyframe", "segments", "superframes"] = "consecutive"
    """Whether the frames follow each other, lie around a keyframe (`core.sampling.Keyframe`), or come from all parts of
    a video, one of each or some neighbours (`core.sampling.Segments`, `Superframes`)."""
    stride: Positive | None = None
    """Of consecutive frames and those around a keyframe every stride-th is taken; segments have none."""
    pathways: Pathways = Field(default={IMAGE: 1})
    """Inputs of the network that are made of the clip: by name, every how many of its frames."""
    boxes: Positive | None = None
    """Of a keyframe: boxes that the network was asked about at once; its weights do not depend on their number."""

    @model_validator(mode="after")
    def _said_in_full(self) -> Clips:
        missing = sorted({"modality", "size", "mean", "std"} - self.model_fields_set)
        if missing:
            raise ValueError(f"{', '.join(missing)} must be said; the defaults are those of recipes")
        if (self.stride is None) == (self.sampling in ("consecutive", "keyframe")):
            raise ValueError(f"stride: consecutive frames have one and segments none, found {self.stride}")
        if (self.boxes is None) == (self.sampling == "keyframe"):
            raise ValueError(f"boxes: clips around a keyframe have them and others none, found {self.boxes}")
        check_whole(self.pathways, self.frames)
        if self.channel_order == "bgr" and len(self.pathways) > 1:
            raise ValueError("channel_order bgr: only the first kernels of a network of one pathway are turned round")
        return self


class TrainedOn(Strict):
    """What a file has learned from."""

    data: str
    """In words, in the order of the trainings."""
    manifest: Name | None = None
    """The data set in data_manifests/ whose classes are the outputs, in its order; None: the book has none."""


class WeightFile(Source):
    """A file that the book can load: of which network it is, and what that network takes."""

    id: Name
    """What `actionbook.load_pretrained` calls it."""
    network: str
    """A name of `actionbook.list_models`."""
    options: dict[str, bool | float | int | str]
    """Of `actionbook.create_model`, ``num_classes`` among them."""
    layout: str
    """How its tensors are called: a name of `actionbook.weights.LAYOUTS`."""
    transform: Clips
    trained_on: TrainedOn

    @property
    def classes(self) -> int:
        """Outputs of the network."""
        return int(self.options["num_classes"])

    @property
    def spec(self) -> Spec:
        """What the network takes, tested clips (C, T, H, W) by pathway and boxes, and what it gives; without N."""
        clips = self.transform
        size = clips.clip_size(tested=True)
        inputs: dict[str, Shape] = {
            name: (clips.channels, clips.frames // every, *size) for name, every in clips.pathways.items()
        }
        if clips.boxes is None:
            return Spec(inputs, (self.classes,))
        return Spec({**inputs, BOXES: (clips.boxes, 4)}, (clips.boxes, self.classes))

    @model_validator(mode="after")
    def _options_agree(self) -> WeightFile:
        classes = self.options.get("num_classes")
        if not isinstance(classes, int) or classes < 1:
            raise ValueError(f"options.num_classes: expected a whole number of at least 1, found {classes!r}")
        if (channels := self.options.get("in_channels", 3)) != self.transform.channels:
            found = f"{self.transform.modality} has {self.transform.channels}"
            raise ValueError(f"options.in_channels is {channels}, but {found}")
        return self


class WeightsManifest(Strict):
    """Published weight files."""

    kind: Literal["weights"]
    name: str
    title: str
    licence: str
    homepage: str
    files: tuple[WeightFile, ...]
    others: tuple[Source, ...] = ()
    """Files beside them that are loaded into no network; the note of each says what it is."""
    traps: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> WeightsManifest:
        for what, names in (
            ("a name", [source.name for source in self.sources]),
            ("an id", [source.id for source in self.files]),
        ):
            if found := twice(names):
                raise ValueError(f"files: {what} stands twice: {found}")
        if silent := [source.name for source in self.others if not source.note]:
            raise ValueError(f"others: a note must say what {', '.join(silent)} is")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        """All files, under the name that they have in a data set's manifest."""
        return (*self.files, *self.others)

    def file(self, name: str) -> WeightFile:
        """The weight file called `name`. Raises BookError listing those that exist."""
        for source in self.files:
            if source.name == name:
                return source
        note = next((f" ({source.note})" for source in self.others if source.name == name), "")
        there = ", ".join(source.name for source in self.files)
        raise BookError(f"{self.name}: no weight file {name!r}{note}; there are: {there}")

    def find(self, source: Source, folder: Path | str) -> Path:
        """Where a file of this manifest is: in `folder` or below. Raises BookError that says where it is had."""
        path = Path(folder) / source.name
        below = [] if path.is_file() else sorted(Path(folder).rglob(glob.escape(source.name)))
        found = next((one for one in [path, *below] if one.is_file()), None)
        if found is None:
            raise BookError(f"{shown(path)}: is missing; get it from {source.url or self.homepage} and put it there")
        return found
