"""What a run of each published recipe takes: data, disk and computing, for people who think of handing one in.

Nothing is typed in: all is computed from recipes, manifests, published figures and the networks' own counts. Sizes of
frames and batches are told from the mean length of a data set's videos, as the doctor does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from actionbook.clips.sampling import Sampler
from actionbook.core.chapters import Chapter, recipe_files
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.recipe import Recipe
from actionbook.doctor.machine import MEAN_VIDEO, frames_bytes
from actionbook.evaluation.formats import FORMATS
from actionbook.results.markdown import escape, table
from actionbook.results.side_by_side import full_size, gmacs, hours, network_of

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Needs:
    """What one recipe takes; bytes are decimal, None is what nobody states."""

    recipe: Recipe

    @cached_property
    def manifest(self) -> DatasetManifest:
        """Of the recipe's data set."""
        return load_dataset(self.recipe.data.manifest)

    @property
    def parts(self) -> list[Recipe]:
        """The recipe of each stream."""
        return [self.recipe.for_stream(name) for name in self.recipe.stream_names]

    @property
    def videos_bytes(self) -> int | None:
        """Of the published files, one of those with the same contents; None where the size of one is not known."""
        sizes = [one.bytes for one in self.manifest.sources if one.alternative_to is None]
        return None if not sizes or None in sizes or self.manifest.by_hand else sum(size or 0 for size in sizes)

    @property
    def frames_bytes(self) -> float:
        """Of the prepared frames, and of the flow where a stream takes it, about."""
        kinds = {"rgb", *(part.transforms.modality for part in self.parts)}
        return len(kinds) * frames_bytes(self.manifest, self.recipe.data.frames)

    def items(self, subset: str) -> int:
        """Videos of "train" or "test"; of a data set of keyframes, all keyframes that may have a box."""
        keyframes = self.manifest.keyframes
        each = int(keyframes.last - keyframes.first) + 1 if keyframes else 1
        return each * int(getattr(self.manifest.splits[str(self.recipe.data.split)], subset))

    @property
    def training(self) -> list[tuple[int, int, float | None]]:
        """Of each stream that trains: clips of an epoch, epochs, 10^15 multiply-accumulates of the forward passes.

        The last is None where the network was not counted with the clips of training.
        """
        return [
            (clips, part.training.epochs, None if each is None else clips * part.training.epochs * each / 1e6)
            for part in self.parts
            if part.training.epochs
            for clips, each in [(self.items("train") * part.training.clips_per_video, self._gmacs(part))]
        ]

    def _gmacs(self, part: Recipe) -> float | None:
        network = network_of(part)
        shapes = tuple(part.spec(len(self.manifest.classes), tested=False).inputs.values())
        if network is None:
            return None
        shape, cost = gmacs(network, shapes)
        return cost if shape in shapes else None

    @property
    def tested_clips(self) -> list[int]:
        """Of each stream, clips that its network is asked about, if all videos have the mean length."""
        video = SimpleNamespace(frames=MEAN_VIDEO[self.manifest.dataset][0], frame=-1)
        return [self.items("test") * len(Sampler(part.sampling).test(video)) for part in self.parts]

    @property
    def batches_bytes(self) -> int:
        """Of all tested clips as raw batches on disk, where they are kept for a card in another machine."""
        specs = [part.spec(len(self.manifest.classes)) for part in self.parts]
        return sum(clips * spec.bytes() for clips, spec in zip(self.tested_clips, specs, strict=True))

    @property
    def answers_bytes(self) -> int | None:
        """Of the answers of all formats, before they are packed; None for boxes, whose number the lists tell."""
        if self.manifest.keyframes:
            return None
        formats = sum(one.engine is not None for one in FORMATS)
        return formats * FLOAT_BYTES * len(self.manifest.classes) * sum(self.tested_clips)


def published_recipes(book: Sequence[Chapter]) -> Iterator[tuple[Chapter, Recipe]]:
    """The recipes of all chapters whose data set is published, not drawn, by chapter and name."""
    for chapter in book:
        for recipe in map(Recipe.load, recipe_files(chapter.name)):
            if load_dataset(recipe.data.manifest).generator is None:
                yield chapter, recipe


def pages(book: Sequence[Chapter]) -> dict[str, str]:
    """Files by name, in Markdown: what each published recipe takes on the disk, and what those that train compute."""
    found = [(chapter, Needs(recipe)) for chapter, recipe in published_recipes(book)]
    return {"needs_disk.md": _disk(found), "needs_training.md": _training(found)}


def _disk(found: Sequence[tuple[Chapter, Needs]]) -> str:
    rows = [
        [
            _name(chapter, one),
            escape(one.manifest.short_title),
            *map(size, (one.videos_bytes, one.frames_bytes, one.batches_bytes, one.answers_bytes)),
        ]
        for chapter, one in found
    ]
    return table(["Recipe", "Data set", "Videos", "Frames", "Batches, if kept", "Answers"], rows, right=(2, 3, 4, 5))


def _training(found: Sequence[tuple[Chapter, Needs]]) -> str:
    rows: list[list[Any]] = []
    for chapter, one in found:
        if one.training:
            clips = dict.fromkeys(f"{count:,} × {epochs}" for count, epochs, _ in one.training)
            macs = [work for _, _, work in one.training if work is not None]
            own = full_size(chapter.name)
            published = hours(chapter.name) if own is not None and own.name == one.recipe.name else ""
            work = f"{sum(macs):,.3g}" if len(macs) == len(one.training) else None
            rows.append([_name(chapter, one), " and ".join(clips), work, escape(published)])
    return table(["Recipe", "Clips × epochs", "10¹⁵ MACs", "Hours, published"], rows, right=(1, 2))


def _name(chapter: Chapter, one: Needs) -> str:
    return f"{escape(chapter.title)}, `{one.recipe.name}`"


def size(count: float | None) -> str | None:
    """Bytes for people, two digits."""
    if count is None:
        return None
    unit, name = next(
        (unit, name) for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1, "B")) if count >= unit
    )
    number = float(f"{count / unit:.2g}")
    return f"{number:g} {name}"
