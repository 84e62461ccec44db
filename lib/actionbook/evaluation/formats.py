"""One network in every format: how each is made, what runs it, when it counts as good. One table for all chapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path

from mindspore import nn

from actionbook.conversion import (
    OnnxExport,
    converter_lite_command,
    export_mindir,
    export_onnx,
    om_command,
    quantise,
    run_atc,
    run_converter_lite,
    store_half,
)
from actionbook.conversion.check import HALF_TOLERANCE, TOLERANCE
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.process import typed
from actionbook.core.sections import Export
from actionbook.core.spec import Arrays, Spec, samples
from actionbook.core.stage_results import ExportRow, Step
from actionbook.inference import Engine, MindirEngine, NetworkEngine, OnnxEngine, open_engine

NETWORK = "network"
"""The format that the others are compared with: none, MindSpore's own."""
POINTS = 1.0  # percentage points of the main score: the pass mark of the original Ascend port for its OM
AGREEMENT = 0.99  # of winners; of classification with one clip a video, fewer changed winners cannot cost a point


@dataclass(frozen=True)
class Criterion:
    """When a format counts as good: by its outputs, where it should be exact, else by what its answers lose.

    A loss of the main score alone says little: answers that become wrong and others that become right cancel, the more
    so the weaker the network and the fewer the videos. So most winners have to be the network's as well.
    """

    tolerance: float | None = None
    """Greatest difference of an output from the network's, in standard deviations of the network's outputs."""
    points: float | None = None
    """Greatest loss of the main score, in percentage points."""
    agreement: float | None = None
    """Least share of winners, sample by sample (or box and class), that are the network's, right or wrong."""
    required: bool = True
    """Whether rung 4 fails where this format does; else it is shown for what it is."""
    half: bool = False
    """Whether the tolerance is that of a network which computes in 16 bits itself."""

    def __str__(self) -> str:
        if self.tolerance is None:
            same = "" if self.agreement is None else f", same winner >= {100 * self.agreement:g} %"
            return f"loses <= {self.points:g} point{'' if self.points == 1 else 's'}{same}"
        return f"relative difference <= {self.tolerance:g}{', as the network computes in 16 bits' if self.half else ''}"

    def in_half(self) -> Criterion:
        """The same for a network that computes in 16 bits, which no two programs round alike."""
        if self.tolerance is None:
            return self
        return replace(self, tolerance=max(self.tolerance, HALF_TOLERANCE), half=True)


@dataclass(frozen=True)
class Job:
    """What the formats of one network are made from."""

    network: nn.Cell
    spec: Spec
    folder: Path
    export: Export
    calibration: Arrays
    """Training samples (N, ...) by input."""
    onnx: list[OnnxExport] = field(default_factory=list)
    """What `export_onnx` says of its file, once it is made."""
    made: dict[str, Path] = field(default_factory=dict)
    """The files that were made, by format."""

    @property
    def batch(self) -> int:
        """Samples of a batch."""
        return self.export.inference_batch

    def path(self, name: str) -> Path:
        """A file of the folder."""
        return self.folder / name

    def source(self, name: str) -> Path:
        """The file of a format that another one is made from. Raises BookError where it was not made this time."""
        if name not in self.made:
            raise BookError(f"{name} could not be made, and this is made from it")
        return self.made[name]


@dataclass(frozen=True)
class Format:
    """One row of the table."""

    name: str
    criterion: Criterion
    make: Callable[[Job], Path] | None
    """Writes the file; None where there is none."""
    engine: Callable[[Job, Path], Engine] | None
    """What runs the file; None where nothing here does."""
    command: Callable[[Job], Sequence[str]] | None = None
    """The command line of a tool that only some machines have, to be run in the job's folder: the tools take plain
    names only, and the folders above may be called anything. Raises BookError for what the tool is known to refuse."""


def _onnx(job: Job) -> Path:
    form, path = job.export.depthwise, job.path("network.onnx")
    # Compared on real samples: random boxes would be none.
    few = {name: array[:3] for name, array in job.calibration.items()} if samples(job.calibration) >= 3 else None
    job.onnx[:] = [export_onnx(job.network, path, job.spec, depthwise=form, example=few)]
    return job.onnx[0].path


def _atc(job: Job) -> list[str]:
    half = any(one.half for one in job.onnx)
    return om_command(job.batch, job.spec, job.export.soc_version, half=half)


def _om(job: Job) -> Path:
    job.source("ONNX")
    with chdir(job.folder):
        return job.path(run_atc(_atc(job)).om.name)


def _lite(job: Job) -> list[str]:
    return converter_lite_command("network.mindir", batch=job.batch, spec=job.spec, output="lite")


def _lite_mindir(job: Job) -> Path:
    job.source("MINDIR")
    with chdir(job.folder):
        return job.path(run_converter_lite(_lite(job)).path.name)


FORMATS = (
    Format("network", Criterion(tolerance=TOLERANCE), None, lambda j, _: NetworkEngine(j.network, j.batch, j.spec)),
    Format(
        "MINDIR",
        Criterion(tolerance=TOLERANCE),
        lambda j: export_mindir(j.network, j.path("network.mindir"), j.spec, batch=j.batch),
        lambda _, path: MindirEngine(path),
    ),
    Format("ONNX", Criterion(tolerance=TOLERANCE), _onnx, lambda _, path: OnnxEngine(path)),
    Format(
        "ONNX-fp16",
        Criterion(tolerance=HALF_TOLERANCE, required=False),
        lambda j: store_half(j.source("ONNX"), j.path("network-fp16.onnx")),
        lambda _, path: OnnxEngine(path),
    ),
    Format(
        "ONNX-int8",
        Criterion(points=POINTS, agreement=AGREEMENT, required=False),
        lambda j: quantise(j.source("ONNX"), j.path("network-int8.onnx"), j.calibration),
        lambda _, path: OnnxEngine(path),
    ),
    Format(
        "OM",
        Criterion(points=POINTS, agreement=AGREEMENT),
        _om,
        lambda j, path: open_engine(path, batch_size=j.batch, spec=j.spec),
        _atc,
    ),
    Format(
        "MINDIR for MindSpore Lite",
        Criterion(tolerance=TOLERANCE),
        _lite_mindir,
        None,
        _lite,
    ),
)
"""ONNX-fp16 holds 16-bit weights, ONNX-int8 is quantised; OM is computed in 16 bits unless ATC is told."""
CRITERIA = {one.name: one.criterion for one in FORMATS}


@dataclass(frozen=True)
class Made:
    """All formats of one network that could be made here."""

    engines: Mapping[str, Engine]
    """By format, the network first."""
    exports: tuple[ExportRow, ...]
    not_made: tuple[Step, ...]
    """What could not be made or run here, with the reason and, of a tool, the command."""
    onnx: OnnxExport | None

    @property
    def half(self) -> bool:
        """Whether the network computes in 16 bits, as far as its ONNX file says."""
        return self.onnx is not None and self.onnx.half

    def without(self, failed: Sequence[Step]) -> Made:
        """The same, without the engines of formats that could not be run, which are noted."""
        names = {step.format for step in failed}
        engines = {name: engine for name, engine in self.engines.items() if name not in names}
        earlier = tuple(step for step in self.not_made if step.format not in names)
        return replace(self, engines=engines, not_made=(*earlier, *failed))


def make_formats(
    network: nn.Cell, spec: Spec, folder: Path, export: Export, calibration: Arrays, *, only: Sequence[str] = ()
) -> Made:
    """Make every format of a network, or those named in `only`, into `folder`, and open what runs it.

    A step that fails (a tool that is not here or ends with an error, a missing card) is recorded with its reason, and
    the others go on. `calibration` are samples of the training set, from which 8-bit ranges are taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(network, spec, folder, export, calibration)
    engines: dict[str, Engine] = {}
    exports: list[ExportRow] = []
    not_made: list[Step] = []
    for one in FORMATS:
        if only and one.name not in only:
            continue
        try:
            path = one.make(job) if one.make else folder
            if one.make:
                job.made[one.name] = path
                exports.append(_row(one.name, path, job))
            if one.engine:
                engines[one.name] = one.engine(job, path)
        except BookError as error:
            not_made.append(step_of(one.name, error, _typed(one, job)))
    return Made(engines, tuple(exports), tuple(not_made), job.onnx[0] if job.onnx else None)


def step_of(name: str, error: BookError, command: str = "") -> Step:
    """What is to be said of a format that failed: the first line of the error is the reason, the rest the remedy.

    Lines that `command` holds already are left out, however it is broken.
    """
    reason, *rest = str(error).split("\n")
    said = " ".join(command.replace("\\\n", " ").split())
    remedy = "\n".join(line for line in rest if not command or line.strip() not in said)
    return Step(format=name, reason=reason, remedy=remedy, command=command)


def _typed(one: Format, job: Job) -> str:
    """The command of a format's tool for people; none where what is asked of it is impossible, as the error says."""
    try:
        return typed(one.command(job), job.folder) if one.command else ""
    except BookError:
        return ""


def _row(name: str, path: Path, job: Job) -> ExportRow:
    nodes = job.onnx[0] if name == "ONNX" else None
    return ExportRow(
        format=name,
        file=f"{job.folder.name}/{path.name}",
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        nodes=nodes.nodes if nodes else None,
        raw_nodes=nodes.raw_nodes if nodes else None,
    )
