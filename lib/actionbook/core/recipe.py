"""Recipes: one YAML file with everything that one reproduction needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import model_validator

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json
from actionbook.core.paths import shown
from actionbook.core.sampling import Sampling
from actionbook.core.schema import NAME, Name, Strict, as_yaml, merge, parse_yaml, read_yaml, validate
from actionbook.core.sections import PLACES, Classification, Data, Evaluation, Export, Model, Task, Weights
from actionbook.core.spec import BOXES, Shape, Spec
from actionbook.core.training import Run, Training
from actionbook.core.transforms import Transforms

JOINT = "joint"
"""What all streams together are called."""


class Recipe(Strict):
    """Everything that one reproduction needs; see `Recipe.load`."""

    chapter: Name
    name: Name
    title: str
    task: Task = Classification()
    data: Data
    sampling: Sampling
    transforms: Transforms
    model: Model
    weights: Weights | None = None
    training: Training
    export: Export = Export()
    evaluation: Evaluation = Evaluation()
    published: tuple[str, ...] = ()
    """Ids of the published figures (book/published/*.yaml) that this recipe aims at, with all its streams together."""
    streams: dict[Name, dict[str, Any]] = {}
    """Networks that see the same items and are fused, by name: the differences of each from the recipe. None: one
    network, and the stream is called as its modality."""

    @model_validator(mode="after")
    def _streams_are_differences(self) -> Recipe:
        whole = sorted({k for s in self.streams.values() for k in s} & {"chapter", "name", "streams", "task", "data"})
        if whole:
            raise ValueError(f"streams: {', '.join(whole)} belong to the whole recipe")
        if len(self.streams) == 1 or JOINT in self.streams:
            found = ", ".join(self.streams)
            raise ValueError(f"streams: expected two or more, none called {JOINT!r}; found {found}")
        return self

    @model_validator(mode="after")
    def _compared_clips_are_whole(self) -> Recipe:
        try:
            self.sampling.check_lengths(*self.evaluation.compare_frames)
        except ValueError as error:
            raise ValueError(f"evaluation.compare_frames: {error}") from error
        return self

    @classmethod
    def load(cls, path: Path | str, overrides: dict[str, Any] | str | None = None) -> Recipe:
        """Read a recipe file, lay `overrides` over it and check all of it.

        A file that ``extends`` another recipe of its folder holds only the differences. `overrides` is a nested mapping
        or its YAML text, for example ``{training: {epochs: 2}}``; they hold in all streams.
        Raises BookError naming file, key, what is wrong and what is allowed.
        """
        data, source = _read(Path(path)), shown(path)
        changes = parse_overrides(overrides)
        if changes:
            source += " with overrides"
        recipe = validate(cls, merge(data, changes), source)
        recipe = recipe.model_copy(update={"streams": _overridden(recipe.streams, changes)})
        for stream in recipe.stream_names:
            _check_runs(recipe.for_stream(stream, source), source)
        return recipe

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of the streams; of a recipe without any, its modality alone."""
        return tuple(self.streams) or (self.transforms.modality,)

    def for_stream(self, stream: str, source: str | None = None) -> Recipe:
        """This recipe as the stream of that name changes it, without streams. Raises BookError if there is none."""
        if stream not in self.stream_names:
            raise BookError(
                f"{source or self.name}: there is no stream {stream!r}, only {', '.join(self.stream_names)}"
            )
        if not self.streams:
            return self
        base = {**self.as_dict(), "streams": {}, "published": []}
        return validate(type(self), merge(base, self.streams[stream]), f"{source or self.name}, stream {stream!r}")

    def for_run(self, run: Run, source: str | None = None) -> Recipe:
        """This recipe as `run` changes it, with that run as its only one.

        Raises BookError where the result is no recipe. On another data set, the folders that the recipe names for its
        own mean nothing; on the same one a run cannot have others. A task or a sampler of another name has keys of its
        own, so nothing of the recipe's is left of them.
        """
        only = {"training": {"runs": [{"name": run.name, "seeds": list(run.seeds)}], "result": None}}
        base, changes, where = self.as_dict(), run.overrides.get("data"), f"{source or self.name}, run {run.name!r}"
        for section in ("task", "sampling"):
            if self._another_kind(run, section):
                base[section] = {}
        if isinstance(changes, dict):
            if changes.get("manifest", self.data.manifest) != self.data.manifest:
                base = merge(base, {"data": dict.fromkeys(PLACES)})
            elif named := sorted(set(PLACES) & set(changes)):
                raise BookError(f"{where}: data.{named[0]} is the same in all runs on a data set; name it in data")
        return validate(type(self), merge(merge(base, run.overrides), only), where)

    def _another_kind(self, run: Run, section: str) -> bool:
        """Whether a run has another task, or another sampler, than the recipe."""
        changes, own = run.overrides.get(section), getattr(self, section).name
        return isinstance(changes, dict) and changes.get("name", own) != own

    @property
    def main_run(self) -> Run:
        """The run that goes on to conversion and evaluation."""
        return next(run for run in self.training.runs if self.training.result in (None, run.name))

    def spec(self, classes: int, *, tested: bool = True) -> Spec:
        """What the network takes and gives: tested clips, or those of training."""
        size, frames = self.transforms.clip_size(tested), self.sampling.tested if tested else self.sampling.drawn
        inputs: dict[str, Shape] = {
            name: (self.transforms.channels, len(taken), *size)
            for name, taken in self.sampling.shared_out(frames).items()
        }
        if isinstance(self.task, Classification):
            return Spec(inputs, (classes,))
        return Spec({**inputs, BOXES: (self.task.boxes, 4)}, (self.task.boxes, classes))

    def with_test_frames(self, frames: int) -> Recipe:
        """This recipe, with tested clips of so many frames."""
        return self.model_copy(update={"sampling": self.sampling.model_copy(update={"test_frames": frames})})

    @property
    def model_options(self) -> dict[str, bool | float | int | str]:
        """Options of the network; one for flow is told its number of channels."""
        channels = self.transforms.channels
        return {**self.model.options, **({} if channels == 3 else {"in_channels": channels})}

    @property
    def untrained(self) -> str:
        """Layers that keep random values to the end, as nothing is loaded into them or trains them, in words; or ""."""
        skip, training = self.weights.skip if self.weights else (), self.training
        only = training.trainable
        frozen = [
            one for one in skip if only and not any(one.startswith(name) or name.startswith(one) for name in only)
        ]
        if not training.epochs:
            layers, why = list(skip), "training.epochs is 0"
        else:
            layers, why = frozen, "training.trainable does not name them"
        return f"{', '.join(layers)}: random values, as weights.skip loads none and {why}" if layers else ""

    def as_dict(self) -> dict[str, Any]:
        """The complete recipe, defaults filled in, as plain data."""
        return self.model_dump(mode="json")

    def as_yaml(self) -> str:
        """The complete recipe as the text of a recipe file: `load` makes the same recipe of it."""
        return as_yaml(self.as_dict())

    def sha256(self, *sections: str) -> str:
        """Digest of the complete recipe, or of the named sections only."""
        data = self.as_dict()
        return sha256_json({key: data[key] for key in sections} if sections else data)


def _overridden(streams: dict[str, dict[str, Any]], changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The streams' differences under overrides: what is overridden for the whole recipe holds in each stream, too."""
    rest = {key: value for key, value in changes.items() if key not in ("streams", "title", "published")}
    own = changes.get("streams") or {}
    return {name: merge(_laid_over(stream, rest), own.get(name) or {}) for name, stream in streams.items()}


def _laid_over(stream: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`stream` with the values of `changes` for those keys that it sets itself."""
    result = dict(stream)
    for key in set(stream) & set(changes):
        both = isinstance(stream[key], dict) and isinstance(changes[key], dict)
        result[key] = _laid_over(stream[key], changes[key]) if both else changes[key]
    return result


def _check_runs(recipe: Recipe, source: str) -> None:
    """So that a mistake in the last run is found before the first one trains."""
    earlier: list[str] = []
    for run in recipe.training.runs:
        origin = recipe.for_run(run, source).weights
        if origin is not None and origin.run is not None and origin.run not in earlier:
            raise BookError(
                f"{source}: run {run.name!r} starts from run {origin.run!r}, which is not among the runs before: "
                f"{', '.join(earlier) or 'there are none'}"
            )
        earlier.append(run.name)
    if recipe._another_kind(recipe.main_run, "task"):
        name, asked = recipe.main_run.name, recipe.main_run.overrides["task"]["name"]
        raise BookError(
            f"{source}: run {name!r} is the result, and its task is {asked!r}, the recipe's {recipe.task.name!r}; name "
            "another run in training.result"
        )


def _read(path: Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The mapping in a recipe file, laid over that of the recipe which it extends."""
    data = read_yaml(path)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str) or not re.fullmatch(NAME, base) or base in (path.stem, *seen):
        raise BookError(f"{shown(path)}: key 'extends': expected the name of another recipe, found {base!r}")
    file = path.parent / f"{base}.yaml"
    if not file.is_file():
        raise BookError(f"{shown(path)}: key 'extends': {shown(file)} does not exist; check the name")
    return merge(_read(file, (*seen, path.stem)), {**data, "name": data.get("name", path.stem)})


def parse_overrides(overrides: dict[str, Any] | str | None) -> dict[str, Any]:
    """A mapping from what a notebook's parameter cell may hold: nothing, a mapping, or YAML text of one."""
    if not overrides:
        return {}
    if isinstance(overrides, str):
        return parse_yaml(overrides, "overrides")
    if not isinstance(overrides, dict):
        raise BookError(f"overrides: expected a mapping such as {{training: {{epochs: 2}}}}, found {overrides!r}")
    return overrides
