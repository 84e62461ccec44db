"""What each stage measures: the strict schemas of the results in a record."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from actionbook.core.recipe import JOINT
from actionbook.core.schema import Name, Strict
from actionbook.core.score import Score
from actionbook.core.sources import Count, Sha256

MOST_NAMES = 100
"""Missing videos that are named in a record; the digest is of all of them."""


def _finite(value: Any, info: ValidationInfo) -> Any:
    return None if info.mode == "python" and isinstance(value, float) and not math.isfinite(value) else value


Measured = Annotated[float | None, BeforeValidator(_finite)]
"""A measured number; None where it is not finite, which is no plain data and stands in no file."""


class StageResults(Strict):
    """Base of what the stages write."""

    stage: ClassVar[str]
    by_stream: ClassVar[tuple[str, ...]] = ()
    """Fields that hold something of each stream, or of all together: mappings by stream, and rows."""

    def with_streams(self, last: Self, kept: Collection[str], order: Sequence[str]) -> Self:
        """These results, and beside them what `last` holds of the streams `kept`; streams come in `order`.

        Rows that name no stream are of all together. Other fields than `by_stream` names are those of these results.
        """
        joined: dict[str, Any] = {}
        for field in self.by_stream:
            mine, theirs = _parts(getattr(self, field)), _parts(getattr(last, field))
            own = {stream for stream, _ in mine}
            both = [part for part in theirs if part[0] in kept and part[0] not in own] + mine
            both.sort(key=lambda part: order.index(part[0]))
            joined[field] = dict(both) if isinstance(getattr(self, field), dict) else tuple(row for _, row in both)
        return self.model_copy(update=joined)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """(stream, part) of a mapping by stream, or of rows."""
    return list(value.items()) if isinstance(value, dict) else [(getattr(row, "stream", JOINT), row) for row in value]


class DatasetRow(Strict):
    """One data set as it was found and prepared."""

    manifest: Name
    manifest_sha256: Sha256
    generated: bool
    """Whether a program has made it."""
    split: int
    videos_expected: Count
    videos_found: Count
    missing: Annotated[tuple[str, ...], Field(max_length=MOST_NAMES)]
    """Names of the first ones without frames."""
    missing_sha256: Sha256 | None
    """Of all names; None if there are none."""
    lacks: str = ""
    """The same in one line, with the classes of which a subset has no video; empty if nothing is missing."""
    frames: Count
    store_bytes: Count
    flow_bytes: Count = 0
    index_sha256: Sha256

    @model_validator(mode="after")
    def _missing_fit(self) -> DatasetRow:
        if bool(self.missing) != (self.missing_sha256 is not None):
            raise ValueError("missing and missing_sha256 stand together or not at all")
        return self


class DataResults(StageResults):
    """Stage 01: the data sets that the recipe and its runs need."""

    stage: ClassVar[str] = "01_data"
    own: Name
    """The recipe's own, which is tested."""
    sets: dict[Name, DatasetRow]
    """By manifest."""

    @model_validator(mode="after")
    def _own_is_there(self) -> DataResults:
        if self.own not in self.sets:
            raise ValueError(f"own is {self.own!r}, sets are {', '.join(self.sets) or 'empty'}")
        return self

    @property
    def dataset(self) -> DatasetRow:
        """The recipe's own."""
        return self.sets[self.own]


class SpecifiedRow(Strict):
    """A count or shape of a network beside the one that its authors give."""

    what: str
    found: int | float | str | tuple[int, ...]
    expected: int | float | str | tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether they are equal, to the last digit."""
        return self.found == self.expected


class EquivalentRow(Strict):
    """Outputs of a network beside those of the authors' program with the same weights."""

    network: str
    relative_difference: Measured
    """In standard deviations of the authors' outputs."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is finite and within the tolerance."""
        return self.relative_difference is not None and self.relative_difference <= self.tolerance


class ArchitectureResults(StageResults):
    """Stage 02: rungs 1 and 2."""

    stage: ClassVar[str] = "02_architecture"
    specified: tuple[SpecifiedRow, ...] = ()
    equivalent: tuple[EquivalentRow, ...] = ()


class TrainingRow(Strict):
    """One training: a run of a stream with one seed."""

    stream: str
    run: str
    seed: int
    data: Name
    """Manifest of its data set."""
    folder: str
    """Below the workspace."""
    epochs: Count
    seconds: float
    data_wait: float | None
    """Share of the time in which the network waited for clips, 0..1; None without an epoch."""
    loss: Measured
    """Of the last epoch, nats; None without one, or where it was not finite."""
    parameters: Count
    macs: Count
    """Multiply-accumulates of one sample."""
    score: Score
    """The main one, of the test set."""
    further: tuple[Score, ...] = ()
    rests_on: dict[str, str]
    """Digests of all that decides the training."""

    def other(self, metric: str) -> Score | None:
        """A further score, None where there is none of this metric."""
        return next((score for score in self.further if score.metric == metric), None)


class ModelRow(Strict):
    """The network of a stream that goes on to conversion."""

    folder: str
    """Below the workspace."""
    sha256: Sha256
    """Of its checkpoint."""


class FusedRow(Strict):
    """The streams together, for one seed."""

    seed: int
    values: dict[str, float]
    """The main score of each stream, and of all together as "joint"."""
    score: Score
    """Of all together."""


class Claim(Strict):
    """Something that the trainings should show."""

    claim: str
    holds: bool
    shown: str
    """What was measured, in words."""
    stream: str = JOINT
    """Which one it is about."""


class TrainingResults(StageResults):
    """Stage 03: all trainings, and rung 3."""

    stage: ClassVar[str] = "03_training"
    by_stream = ("runs", "models", "fused", "learns")
    runs: tuple[TrainingRow, ...]
    models: dict[str, ModelRow]
    """By stream."""
    fused: tuple[FusedRow, ...] = ()
    learns: tuple[Claim, ...] = ()


class FormatRow(Strict):
    """A network in one format, compared with the network itself."""

    format: str
    samples: Count
    max_abs_difference: Measured
    relative_difference: Measured
    """The same in standard deviations of the network's outputs."""
    cosine: Measured
    """The lowest of a sample's outputs and the network's, -1..1."""
    agreement: Annotated[float, Field(ge=0, le=1)]
    """Share of winners that are the network's."""
    score: Score
    """The main one."""
    criterion: str
    """When the format counts as good, in words."""
    tolerance: float | None
    """Of the relative difference; None where the format is judged by its score."""
    required: bool
    """Whether rung 4 fails where this format does."""
    passed: bool
    reason: str = ""
    """Why it failed; empty where it passed."""

    @model_validator(mode="after")
    def _verdict_fits(self) -> FormatRow:
        if self.passed == bool(self.reason):
            raise ValueError("a format passes, or says the reason why not")
        relative = math.inf if self.relative_difference is None else self.relative_difference
        if self.passed and self.tolerance is not None and not relative <= self.tolerance:
            raise ValueError(f"passed with a relative difference of {relative:g}, above {self.tolerance:g}")
        return self


class ExportRow(Strict):
    """An exported file."""

    format: str
    file: str
    """Below the stream's folder."""
    bytes: Count
    sha256: Sha256
    nodes: Count | None = None
    """Of an ONNX graph, repaired."""
    raw_nodes: Count | None = None
    """The same as it was exported."""


class Step(Strict):
    """What could not be done here, and how it can be done."""

    format: str
    reason: str
    remedy: str = ""
    command: str = ""
    """Command line of the tool that is missing or has failed."""


class PreflightRow(Strict):
    """What Ascend's compiler can be expected to say of an ONNX graph."""

    cann: str
    soc_version: str
    verdict: str
    """The worst: fine, risky or refused."""
    counts: dict[str, Count]
    """Nodes by verdict."""


class ThroughputRow(Strict):
    """Samples per second of one engine at one batch size."""

    engine: str
    batch: Count
    inputs: dict[str, tuple[int, ...]]
    """Shapes of a sample's inputs."""
    runs: Count
    clips_per_second: float
    low: float
    """Lower quartile of single runs."""
    high: float
    ms_per_batch: float
    first_ms: float | None
    peak_rss_mib: float | None
    growth_rss_mib: float | None
    inside: str
    """What was timed; figures with another text do not compare."""


class StreamConversion(Strict):
    """One network in every format."""

    formats: tuple[FormatRow, ...]
    exports: tuple[ExportRow, ...]
    preflight: PreflightRow | None
    throughput: tuple[ThroughputRow, ...] = ()
    not_run: tuple[Step, ...] = ()


class FamilyRow(StreamConversion):
    """Another network of the paper that was trained on the same clips."""

    network: str
    """Name of its run."""
    macs: Count
    """Multiply-accumulates of one sample."""


class ConversionResults(StageResults):
    """Stage 04: every network in every format, and rung 4."""

    stage: ClassVar[str] = "04_conversion"
    by_stream = ("streams", "fused")
    streams: dict[str, StreamConversion]
    fused: tuple[FormatRow, ...] = ()
    """The streams together, in every format that all of them have."""
    family: tuple[FamilyRow, ...] = ()


class AccuracyRow(Strict):
    """All scores of one stream in one format."""

    stream: str
    """Or "joint": all together."""
    format: str
    scores: Annotated[tuple[Score, ...], Field(min_length=1)]
    """The main one first."""

    @property
    def main(self) -> Score:
        """The main score."""
        return self.scores[0]

    def score(self, metric: str) -> Score | None:
        """The score of this metric, None where there is none."""
        return next((score for score in self.scores if score.metric == metric), None)


class AccuracyResults(StageResults):
    """Stage 05: every format scored, and rung 5."""

    stage: ClassVar[str] = "05_accuracy"
    by_stream = ("scores", "protocols", "published")
    scores: tuple[AccuracyRow, ...]
    protocols: dict[str, str]
    """How it was measured, by stream."""
    missing: Count
    """Test items that no clip can be tested of: they were not prepared, or are too short. All are misses."""
    published: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 (pydantic copies defaults)
    """Ids of the published figures that are aimed at, by stream."""

    @model_validator(mode="after")
    def _streams_have_protocols(self) -> AccuracyResults:
        lacking = {row.stream for row in self.scores} - set(self.protocols)
        if lacking:
            raise ValueError(f"no protocol says how {', '.join(sorted(lacking))} was measured")
        return self
