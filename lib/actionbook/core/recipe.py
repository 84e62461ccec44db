"""Recipes: one YAML file with everything that one reproduction needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json
from actionbook.core.paths import shown
from actionbook.core.schema import Strict, merge, parse_yaml, read_yaml, validate

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Frames(Strict):
    """How videos are turned into stored frames."""

    height: Annotated[int, Field(ge=16)] = 240
    """Frames are scaled to this height, the width follows (the original's FFmpeg filter is scale=-1:240)."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """JPEG quality."""
    max_failed: Share = 0.0
    """Preparation fails if more than this share of the videos cannot be decoded."""


class Data(Strict):
    """The data set, by manifest, and which of its splits is used."""

    manifest: str
    """Name of a file in data_manifests/, or the path of a .yaml file of your own."""
    split: Positive = 1
    allow_missing: bool = False
    """Work with a partial copy; N expected and the missing count then stand beside every result."""
    frames: Frames = Frames()


class Clips(Strict):
    """Clip sampling and spatial transforms."""

    frames: Positive = 16
    """Frames of a clip (T)."""
    stride: Positive = 1
    """Every stride-th frame is taken."""
    window: Positive = 16
    """Frames that a clip is drawn from: the test windows' length and distance."""
    size: Annotated[int, Field(ge=16, multiple_of=16)] = 112
    """Height and width of a clip in pixels."""
    mean: tuple[float, float, float] = (114.7748, 107.7354, 99.4750)
    """RGB, on the 0..255 scale (the original's "activitynet" mean)."""
    std: tuple[Rate, Rate, Rate] = (1.0, 1.0, 1.0)
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0, 0.84089641, 0.70710678, 0.59460355, 0.5)
    """Training crops: side as a share of the frame's shorter side."""
    crop: Literal["random", "corner", "center"] = "random"
    flip: Share = 0.5
    """Probability of a mirrored training clip."""


class Model(Strict):
    """A network of `actionbook.list_models` with its options."""

    name: str
    options: dict[str, float | int | str] = {}


class Weights(Strict):
    """Foreign weights that training starts from."""

    manifest: str
    file: str
    layout: str
    skip: tuple[str, ...] = ()
    """Prefixes of parameters that keep their fresh values, such as the classifier when the classes differ."""


class Run(Strict):
    """One training, repeated for each seed, with its differences from the recipe."""

    name: Name
    seeds: tuple[int, ...] = (1,)
    overrides: dict[str, Any] = {}


class Training(Strict):
    """Optimisation. The defaults are those of the original program (facts: opts.py of okankop/Efficient-3DCNNs)."""

    epochs: Annotated[int, Field(ge=0)]
    """0 trains nothing: the initial weights are the result."""
    batch_size: Positive
    """Clips per step over all devices; the learning rate belongs to this number."""
    lr: Rate
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    dampening: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    lr_steps: tuple[Positive, ...] = ()
    """Epochs after which the rate is multiplied by lr_factor."""
    lr_factor: Rate = 0.1
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs in which the rate rises in equal steps from near 0 (the original has none; small batches like it)."""
    clips_per_video: Positive = 1
    """Training clips drawn from each video in one epoch."""
    amp_level: Literal["O0", "O1", "O2", "O3"] = "O0"
    loss_scale: Rate = 1.0
    checkpoint_epochs: Positive = 1
    """A checkpoint is kept every so many epochs, and at the end."""
    validate_epochs: Positive = 1
    """The middle clips of the test videos are classified every so many epochs, and at the end."""
    any_library: bool = False
    """Go on with a training that another version of the library began, instead of starting afresh."""
    runs: tuple[Run, ...] = (Run(name="clip"),)
    """The trainings of this recipe. The first seed of the first run is the one that is converted and evaluated."""

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        if list(self.lr_steps) != sorted(set(self.lr_steps)):
            raise ValueError(f"lr_steps must rise, found {list(self.lr_steps)}")
        names = [run.name for run in self.runs]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"runs need different names and at least one, found {names}")
        return self


class Export(Strict):
    """Formats and batch sizes for offline inference."""

    batch_sizes: tuple[Positive, ...] = (1, 4, 8, 16, 32, 64)
    """Batch sizes whose throughput is measured."""
    inference_batch: Positive = 16
    """Clips in one .bin file (the original port's default)."""
    depthwise: Literal["banded", "grouped"] = "banded"
    """How grouped 3-D convolutions are exported: in two dimensions along a band, or as they are."""
    calibration_clips: Positive = 64
    """Training clips from which the 8-bit quantisation takes its ranges."""
    cann: str = "8.0"
    """Release of CANN whose operators the preflight asks for."""
    soc_version: str = "Ascend310P3"
    """What `npu-smi info` names, with Ascend before it."""


class Evaluation(Strict):
    """The protocol of the reported accuracy."""

    topk: tuple[Positive, ...] = (1, 5)
    pool: Literal["softmax_mean", "logit_mean"] = "softmax_mean"
    """How the clips of a video become one prediction."""
    skip_last_video: bool = False
    """The original's quirk: the last video is never scored and counts as a miss. Both figures are always shown;
    this one decides which is called the result."""


class Recipe(Strict):
    """Everything that one reproduction needs; see `Recipe.load`."""

    chapter: Name
    name: Name
    title: str
    data: Data
    clips: Clips
    model: Model
    weights: Weights | None = None
    training: Training
    export: Export = Export()
    evaluation: Evaluation = Evaluation()
    published: tuple[str, ...] = ()
    """Ids of the published figures (book/published/*.yaml) that this recipe aims at."""

    @classmethod
    def load(cls, path: Path | str, overrides: dict[str, Any] | str | None = None) -> Recipe:
        """Read a recipe file, lay `overrides` over it and check all of it.

        `overrides` is a nested mapping or its YAML text, for example ``{training: {epochs: 2}}``.
        Raises BookError naming file, key, what is wrong and what is allowed.
        """
        data, source = read_yaml(path), shown(path)
        changes = parse_overrides(overrides)
        if changes:
            source += " with overrides"
        recipe = validate(cls, merge(data, changes), source)
        for run in recipe.training.runs:
            recipe.for_run(run, source)  # so that a mistake in the last run is found before the first one trains
        return recipe

    def for_run(self, run: Run, source: str | None = None) -> Recipe:
        """This recipe as `run` changes it, with that run as its only one."""
        only = {"training": {"runs": [{"name": run.name, "seeds": list(run.seeds)}]}}
        data = merge(merge(self.as_dict(), run.overrides), only)
        return validate(type(self), data, f"{source or self.name}, run {run.name!r}")

    def as_dict(self) -> dict[str, Any]:
        """The complete recipe, defaults filled in, as plain data."""
        return self.model_dump(mode="json")

    def sha256(self, *sections: str) -> str:
        """Digest of the complete recipe, or of the named sections only."""
        data = self.as_dict()
        return sha256_json({key: data[key] for key in sections} if sections else data)


def parse_overrides(overrides: dict[str, Any] | str | None) -> dict[str, Any]:
    """A mapping from what a notebook's parameter cell may hold: nothing, a mapping, or YAML text of one."""
    if not overrides:
        return {}
    if isinstance(overrides, str):
        return parse_yaml(overrides, "overrides")
    if not isinstance(overrides, dict):
        raise BookError(f"overrides: expected a mapping such as {{training: {{epochs: 2}}}}, found {overrides!r}")
    return overrides
