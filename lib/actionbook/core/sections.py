"""Sections of a recipe: data, network, weights, export, evaluation, and what is asked of the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from actionbook.core.schema import Name, Strict

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Place = Annotated[str, Field(min_length=1)] | None


class Frames(Strict):
    """How videos are turned into stored frames."""

    height: Annotated[int, Field(ge=16)] | None = 240
    """Pixels of the side named by `side`; the other side follows. None: frames stay as large as they are."""
    side: Literal["height", "short"] = "height"
    """Which side becomes `height` pixels: the height (the FFmpeg filter scale=-1:240) or the shorter one."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """JPEG quality."""
    max_failed: Share = 0.0
    """Preparation fails if more than this share of the videos cannot be decoded."""
    min_decoded: Share = 0.9
    """A video with fewer frames than this share of what its header says counts as failed; 0 switches it off. Where the
    header has no number of frames (Matroska, WebM, MPEG-TS), its duration and the gaps in the time stamps tell it.

    A file that was cut off decodes without complaint up to the cut. Headers of whole files may be wrong too, though
    only by a few frames: those that an encoder left out as unchanged or packed into another, or that lie beyond the
    last whole packet. A tenth leaves room for them even in clips of a second; what a broken download lacks is more.
    """
    hang_minutes: Rate = 5.0
    """A video in which no new frame has come for so long counts as failed: its decoder hangs. Frames come many times a
    second, so only a disk that does not answer may take a fraction of it."""


class Flow(Strict):
    """How optical flow is computed from stored frames, and stored."""

    algorithm: Literal["tvl1", "opencv"] = "tvl1"
    """TV-L1 by this book's kernel or by OpenCV's: the same algorithm and parameters, one of them ten times faster."""
    bound: Rate = 20.0
    """Displacements are cut off at this many pixels to either side, then brought to 0..255."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """JPEG quality."""


class Boxes(Strict):
    """Which boxes of a detector count, of data sets that have such lists."""

    min_score: Share = 0.8
    """Boxes with a lower score are left out; PySlowFast's DETECTION_SCORE_THRESH."""
    learn_detected: bool = True
    """Training learns from them as well as from those that people have drawn: from boxes without a class, too."""
    test: Literal["detected", "truth"] = "detected"
    """What a network is asked about in the test: the detector's boxes, as in every published figure, or people's."""


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
    boxes: Boxes = Boxes()
    """Used by data sets of keyframes."""
    flow: Flow = Flow()
    """Used by recipes whose clips are of flow."""
    frames_folder: Place = None
    """Frames that other programs have made, ``<class>/<video>/image_00001.jpg`` (or ``img_``) onwards, those of AVA,
    ``<video>/<video>_000001.jpg``, or the packs and lists of StNet's programs, ``train/<video>.pkl`` and
    ``train.json``: read there, and no video is asked for or prepared. A path below the data root, or anywhere."""
    flow_folder: Place = None
    """Their optical flow, ``image_00001x.jpg`` and ``image_00001y.jpg`` onwards, likewise; none is computed."""
    annotation_json: Place = None
    """Their annotation file of the split, used in place of the data set's own lists."""


class Model(Strict):
    """A network of `actionbook.list_models` with its options."""

    name: str
    options: dict[str, bool | float | int | str] = {}


class Weights(Strict):
    """Weights that training starts from: a published file, or what an earlier run of this recipe has learned."""

    manifest: str | None = None
    """Name of a weights manifest in data_manifests/, or the path of a .yaml file of your own."""
    file: str | None = None
    """One of its files, in ``<data_root>/weights/``; the manifest says its layout."""
    also: tuple[str, ...] = ()
    """Further files of the manifest, loaded behind `file` and without `skip`: each for another part of the network."""
    run: Name | None = None
    """The first seed of this run, instead of a file."""
    skip: tuple[str, ...] = ()
    """Prefixes of parameters that keep their fresh values, such as the classifier when the classes differ."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files, in the order in which they are loaded."""
        return () if self.file is None else (self.file, *self.also)

    def skipped(self, name: str) -> tuple[str, ...]:
        """What is skipped of the file of that name."""
        return self.skip if name == self.file else ()

    @model_validator(mode="after")
    def _one_origin(self) -> Weights:
        named = [name for name in ("manifest", "file") if getattr(self, name) is not None]
        if self.also and self.file is None:
            raise ValueError("also names further files; expected manifest and file before them")
        if len(named) != (0 if self.run else 2):
            found = ", ".join([*named, *(["run"] if self.run else [])]) or "none of them"
            raise ValueError(f"expected manifest and file, or run alone; found {found}")
        return self


KEEP_BATCHES = "{export: {keep_batches: true}}"
"""Overrides of a recipe, for messages."""


class Export(Strict):
    """Formats and batch sizes for offline inference."""

    batch_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 4, 8, 16, 32, 64)
    """Batch sizes whose throughput is measured."""
    inference_batch: Positive = 16
    """Clips in one .bin file (the original port's default)."""
    keep_batches: bool = False
    """Whether the files of all tested clips stay on disk, for a card in another machine; they take terabytes for AVA.
    Without them every format reads the clips again."""
    depthwise: Literal["banded", "grouped"] = "banded"
    """How grouped 3-D convolutions are exported: in two dimensions along a band, or as they are."""
    calibration_clips: Positive = 64
    """Training clips from which the 8-bit quantisation takes its ranges."""
    cann: str = "8.0"
    """Release of CANN whose operators the preflight asks for."""
    soc_version: str = "Ascend310P3"
    """What `npu-smi info` names, with Ascend before it."""


class Evaluation(Strict):
    """The protocol of the reported scores; which clips of a video are tested is said by `sampling`."""

    compare_frames: tuple[Positive, ...] = ()
    """Further numbers of frames of a tested clip whose scores are shown beside the reported ones."""
    pool: Literal["softmax_mean", "logit_mean"] = "softmax_mean"
    """How the clips of a video become one prediction."""
    fuse: Literal["logit_sum", "softmax_mean"] = "logit_sum"
    """How the streams of a recipe become one prediction."""
    validate_every: Positive = 1
    """While training, keyframes of every so many seconds are scored alone (4 in PySlowFast); the test scores all."""
    skip_last_video: bool = False
    """The original's quirk: the last video is never scored and counts as a miss. Both figures are always shown;
    this one decides which is called the result."""


class Classification(Strict):
    """One class for each item."""

    name: Literal["classification"] = "classification"


class Detection(Strict):
    """Any number of classes for each box of an item."""

    name: Literal["detection"]
    boxes: Positive
    """Boxes of one sample (M); fewer are filled up and masked, more are an error."""


Task = Annotated[Classification | Detection, Field(discriminator="name")]
