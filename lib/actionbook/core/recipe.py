"""Recipes: one YAML file with everything that one reproduction needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json
from actionbook.core.paths import shown
from actionbook.core.schema import NAME, Name, Strict, merge, parse_yaml, read_yaml, validate

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Scale = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Place = Annotated[str, Field(min_length=1)] | None


class Frames(Strict):
    """How videos are turned into stored frames."""

    height: Annotated[int, Field(ge=16)] = 240
    """Pixels of the side named by `side`; the other side follows."""
    side: Literal["height", "short"] = "height"
    """Which side becomes `height` pixels: the height (the FFmpeg filter scale=-1:240) or the shorter one."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """JPEG quality."""
    max_failed: Share = 0.0
    """Preparation fails if more than this share of the videos cannot be decoded."""
    min_decoded: Share = 0.9
    """A video with fewer frames than this share of what its header says counts as failed; 0 switches it off.

    A file that was cut off decodes without complaint up to the cut. Headers of whole files may be wrong too, though
    only by a few frames: those that an encoder left out as unchanged or packed into another, or that lie beyond the
    last whole packet. A tenth leaves room for them even in clips of a second; what a broken download lacks is more.
    """


class Flow(Strict):
    """How optical flow is computed from stored frames, and stored."""

    algorithm: Literal["tvl1", "opencv"] = "tvl1"
    """TV-L1 by this book's kernel or by OpenCV's: the same algorithm and parameters, one of them ten times faster."""
    bound: Rate = 20.0
    """Displacements are cut off at this many pixels to either side, then brought to 0..255."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """JPEG quality."""


PLACES = ("frames_folder", "flow_folder", "annotation_json")
"""Keys of `Data` that name what lies on this machine."""


class Data(Strict):
    """The data set, by manifest, and which of its splits is used."""

    manifest: str
    """Name of a file in data_manifests/, or the path of a .yaml file of your own."""
    split: Positive = 1
    allow_missing: bool = False
    """Work with a partial copy; N expected and the missing count then stand beside every result."""
    frames: Frames = Frames()
    flow: Flow = Flow()
    """Used by recipes whose clips are of flow."""
    frames_folder: Place = None
    """Frames that the original scripts have made, ``<class>/<video>/image_00001.jpg`` onwards: read where they are, and
    no video is asked for or prepared. A path below the data root, or anywhere."""
    flow_folder: Place = None
    """Their optical flow, ``image_00001x.jpg`` and ``image_00001y.jpg`` onwards, likewise; none is computed."""
    annotation_json: Place = None
    """Their annotation file of the split, used in place of the data set's own lists."""

    def deciding(self) -> dict[str, Any]:
        """What has an influence on results, as plain data: that frames lie in a folder, but not in which one.

        Which videos an annotation file names, and their numbers of frames, the index records.
        """
        data = self.model_dump(mode="json", exclude=set(PLACES))
        return data | {name: "given" for name in PLACES[:2] if getattr(self, name) is not None}


class Clips(Strict):
    """Clip sampling and spatial transforms."""

    modality: Literal["rgb", "flow"] = "rgb"
    """Frames in colour (3 channels) or optical flow (2: right, down)."""
    frames: Positive = 16
    """Frames of a clip (T)."""
    stride: Positive = 1
    """Every stride-th frame is taken."""
    window: Positive = 16
    """Frames that a clip is drawn from: the test windows' length and distance."""
    size: Annotated[int, Field(ge=16, multiple_of=16)] = 112
    """Height and width of a clip in pixels."""
    short_side: Annotated[int, Field(ge=16)] | None = None
    """Test frames are scaled to this shorter side before the centre crop; None: to `size`."""
    mean: tuple[float, ...] = (114.7748, 107.7354, 99.4750)
    """Of each channel, on the 0..255 scale (the original's "activitynet" mean, RGB)."""
    std: tuple[Rate, ...] = (1.0, 1.0, 1.0)
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = (1.0, 0.84089641, 0.70710678, 0.59460355, 0.5)
    """Training crops: side as a share of the frame's shorter side."""
    crop: Literal["random", "corner", "center"] = "random"
    flip: Share = 0.5
    """Probability of a mirrored training clip. Flow to the right then becomes flow to the left."""
    last_start: bool = False
    """Whether a training clip may begin at the last possible frame; the original programs never draw it."""

    @property
    def channels(self) -> int:
        """Channels of a clip (C)."""
        return {"rgb": 3, "flow": 2}[self.modality]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a clip: (C, T, H, W)."""
        return (self.channels, self.frames, self.size, self.size)

    @model_validator(mode="after")
    def _consistent(self) -> Clips:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values, {self.modality} has {self.channels} channels")
        if self.short_side is not None and self.short_side < self.size:
            raise ValueError(f"short_side {self.short_side} is less than size {self.size}")
        return self


class Model(Strict):
    """A network of `actionbook.list_models` with its options."""

    name: str
    options: dict[str, float | int | str] = {}


class Weights(Strict):
    """Weights that training starts from: a published file, or what an earlier run of this recipe has learned."""

    manifest: str | None = None
    file: str | None = None
    layout: str | None = None
    run: Name | None = None
    """The first seed of this run, instead of a file."""
    skip: tuple[str, ...] = ()
    """Prefixes of parameters that keep their fresh values, such as the classifier when the classes differ."""

    @model_validator(mode="after")
    def _one_origin(self) -> Weights:
        named = [name for name in ("manifest", "file", "layout") if getattr(self, name) is not None]
        if len(named) != (0 if self.run else 3):
            found = ", ".join([*named, *(["run"] if self.run else [])]) or "none of them"
            raise ValueError(f"expected manifest, file and layout, or run alone; found {found}")
        return self


class Run(Strict):
    """One training, repeated for each seed, with its differences from the recipe."""

    name: Name
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (1,)
    overrides: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Run:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"run {self.name!r}: seeds must differ, found {list(self.seeds)}")
        inner = self.overrides.get("training")
        given = [*self.overrides, *(f"training.{key}" for key in inner)] if isinstance(inner, dict) else self.overrides
        whole = [key for key in ("chapter", "name", "title", "training.runs", "training.result") if key in given]
        if whole:
            raise ValueError(f"run {self.name!r}: {', '.join(whole)} belong to the whole recipe, not to overrides")
        return self


class Training(Strict):
    """Optimisation. The defaults are those of the original program (facts: opts.py of okankop/Efficient-3DCNNs)."""

    epochs: Annotated[int, Field(ge=0)]
    """0 trains nothing: the initial weights are the result."""
    batch_size: Positive
    """Clips per step over all devices; the learning rate belongs to this number."""
    reference_batch: Positive | None = None
    """Clips per step that the rates were chosen for; with another batch_size all rates change in proportion (Goyal et
    al., arXiv 1706.02677). None: the rates are taken as they are."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum and dampening, or Adam with its usual constants (0.9, 0.999, 1e-8)."""
    lr: Rate
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    dampening: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    lr_steps: tuple[Positive, ...] = ()
    """Epochs after which the rate is multiplied by lr_factor."""
    lr_factor: Rate = 0.1
    lr_restarts: tuple[tuple[Positive, Rate], ...] = ()
    """(epoch, rate) pairs: after that epoch the rate is set anew, and later lr_steps go on from there."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs in which the rate rises in equal steps from near 0 (the original has none; small batches like it)."""
    clips_per_video: Positive = 1
    """Training clips drawn from each video in one epoch."""
    trainable: tuple[str, ...] = ()
    """Prefixes of the parameters that are trained; the others are frozen, their batch norm as in evaluation.
    None named: all are trained."""
    amp_level: Literal["O0", "O1", "O2", "O3"] = "O0"
    loss_scale: Rate = 1.0
    checkpoint_epochs: Positive = 1
    """A checkpoint to resume from is written every so many epochs, and at the end."""
    checkpoint_steps: Positive | None = None
    """Within an epoch, one is also written every so many steps; None: at the end of epochs only."""
    hang_minutes: Rate = 30.0
    """A training on several devices is stopped when none of its figures has changed for so long."""
    keep_epochs: Annotated[int, Field(ge=0)] = 0
    """The networks of this many last epochs are kept, to be compared (the last one always is)."""
    validate_epochs: Positive = 1
    """The middle clips of the test videos are classified every so many epochs, and at the end."""
    any_library: bool = False
    """Go on with a training that another version of the library began, instead of starting afresh."""
    runs: tuple[Run, ...] = (Run(name="clip"),)
    """The trainings of this recipe, in order: a run may start from what an earlier one has learned."""
    result: Name | None = None
    """The run whose first seed is converted and evaluated; None: the first."""

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        for name, epochs in (("lr_steps", self.lr_steps), ("lr_restarts", tuple(e for e, _ in self.lr_restarts))):
            if list(epochs) != sorted(set(epochs)):
                raise ValueError(f"the epochs of {name} must rise, found {list(epochs)}")
        names = [run.name for run in self.runs]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"runs need different names and at least one, found {names}")
        if self.result not in (None, *names):
            raise ValueError(f"result {self.result!r} is none of the runs {names}")
        return self


class Export(Strict):
    """Formats and batch sizes for offline inference."""

    batch_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 4, 8, 16, 32, 64)
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

    clips: Literal["windows", "centre"] = "windows"
    """Every window of a video, or the one clip in its middle."""
    frames: Positive | None = None
    """Frames of a tested clip, if others than in training; shorter videos are repeated from their start."""
    compare_frames: tuple[Positive, ...] = ()
    """Further numbers of frames whose accuracy is shown beside the reported one."""
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

        A file that ``extends`` another recipe of its folder holds only the differences. `overrides` is a nested mapping
        or its YAML text, for example ``{training: {epochs: 2}}``.
        Raises BookError naming file, key, what is wrong and what is allowed.
        """
        data, source = _read(Path(path)), shown(path)
        changes = parse_overrides(overrides)
        if changes:
            source += " with overrides"
        recipe = validate(cls, merge(data, changes), source)
        earlier: list[str] = []
        for run in recipe.training.runs:
            # So that a mistake in the last run is found before the first one trains.
            origin = recipe.for_run(run, source).weights
            if origin is not None and origin.run is not None and origin.run not in earlier:
                raise BookError(
                    f"{source}: run {run.name!r} starts from run {origin.run!r}, which is not among the runs before: "
                    f"{', '.join(earlier) or 'there are none'}"
                )
            earlier.append(run.name)
        return recipe

    def for_run(self, run: Run, source: str | None = None) -> Recipe:
        """This recipe as `run` changes it, with that run as its only one.

        A run on another data set does not look for it in this one's folders of frames. Raises BookError if a run names
        other folders for the same data set, which has one index.
        """
        only = {"training": {"runs": [{"name": run.name, "seeds": list(run.seeds)}], "result": None}}
        base, changes, where = self.as_dict(), run.overrides.get("data"), f"{source or self.name}, run {run.name!r}"
        if isinstance(changes, dict):
            if changes.get("manifest", self.data.manifest) != self.data.manifest:
                base = merge(base, {"data": dict.fromkeys(PLACES)})
            elif named := sorted(set(PLACES) & set(changes)):
                raise BookError(f"{where}: data.{named[0]} is the same in all runs on a data set; name it in data")
        return validate(type(self), merge(merge(base, run.overrides), only), where)

    @property
    def main_run(self) -> Run:
        """The run that goes on to conversion and evaluation."""
        return next(run for run in self.training.runs if self.training.result in (None, run.name))

    @property
    def tested(self) -> Clips:
        """How test clips are made: `clips` with the evaluation's number of frames."""
        return self.clips.model_copy(update={"frames": self.evaluation.frames or self.clips.frames})

    @property
    def model_options(self) -> dict[str, float | int | str]:
        """Options of the network; one for flow is told its number of channels."""
        channels = self.clips.channels
        return {**self.model.options, **({} if channels == 3 else {"in_channels": channels})}

    def as_dict(self) -> dict[str, Any]:
        """The complete recipe, defaults filled in, as plain data."""
        return self.model_dump(mode="json")

    def sha256(self, *sections: str) -> str:
        """Digest of the complete recipe, or of the named sections only, wherever the data lies (`Data.deciding`)."""
        data = self.as_dict() | {"data": self.data.deciding()}
        return sha256_json({key: data[key] for key in sections} if sections else data)


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
