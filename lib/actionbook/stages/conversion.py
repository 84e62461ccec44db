"""Stage 04: every stream's network in every format, on the same samples; what a compiler will say; how fast it is."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import pandas as pd
from mindspore import nn

from actionbook.clips.pipeline import tested
from actionbook.clips.samples import Samples, batched
from actionbook.conversion import Preflight, preflight
from actionbook.core import cores
from actionbook.core.errors import BookError
from actionbook.core.files import existing, sha256_file
from actionbook.core.paths import shown
from actionbook.core.process import PAGE_WIDTH, typed
from actionbook.core.recipe import JOINT
from actionbook.core.score import metric_title
from actionbook.core.sections import KEEP_BATCHES, Export
from actionbook.core.spec import Arrays, Spec
from actionbook.core.stage_results import (
    ConversionResults,
    FamilyRow,
    FormatRow,
    PreflightRow,
    StreamConversion,
    ThroughputRow,
)
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.index import Index
from actionbook.evaluation.compare import compare_formats, run_formats
from actionbook.evaluation.formats import Made, make_formats
from actionbook.evaluation.fusion import How, fuse
from actionbook.evaluation.predict import SampleBatches, missing_rule, predictions, samples_of, tested_samples
from actionbook.inference import BatchSet, ais_bench_command, write_batches
from actionbook.models.profile import layer_table
from actionbook.tasks import Predictions
from actionbook.training.runs import finished_run, trained_network


@dataclass
class Converted:
    """One network in every format."""

    stage: Stage
    """Of its stream."""
    network: nn.Cell
    spec: Spec
    index: Index
    batches: BatchSet
    calibration: Arrays
    """Training samples (N, ...) by input, from which 8-bit ranges are taken."""
    made: Made
    found: dict[str, Predictions] = field(default_factory=dict)
    """By format, the network first."""
    formats: tuple[FormatRow, ...] = ()
    """Each format compared with the network."""
    throughput: list[ThroughputRow] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The folder of the exported files."""
        return self.stage.folder / "export"

    @property
    def export(self) -> Export:
        """The recipe's section."""
        return self.stage.recipe.export

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The network's layers with their multiply-accumulates of one sample, see `models.profile.layer_table`."""
        return layer_table(self.network, self.spec)

    @property
    def ais_bench(self) -> str:
        """The command that runs the OM over the batches on a machine with the card; above it how to get their files,
        where they were not kept.
        """
        om = f"{self.folder.name}/network_bs{self.export.inference_batch}.om"
        inputs = [os.path.relpath(self.batches.folder_of(name), self.stage.folder) for name in self.spec.inputs]
        command = typed(ais_bench_command(om, inputs, "ais_bench"), self.stage.folder)
        if self.batches.kept:
            return command
        size = self.batches.total_bytes / 1e9
        return f'# takes {size:,.3g} GB of files: run again with -y "overrides: {KEEP_BATCHES}"\n{command}'

    def check(self) -> Preflight:
        """What Ascend's compiler can be expected to say of the ONNX file. Raises BookError where there is none."""
        if self.made.onnx is None:
            raise BookError(f"{shown(self.folder)}: the network could not be exported as ONNX, see `made.not_made`")
        return preflight(self.made.onnx.path, cann=self.export.cann, soc_version=self.export.soc_version)


@dataclass
class Conversions:
    """All streams' networks."""

    stage: Stage
    streams: dict[str, Converted]
    fused: tuple[FormatRow, ...] = ()
    """The streams together, in every format that all of them have; none for a single stream."""
    family: dict[str, Converted] = field(default_factory=dict)
    """Networks that were trained on the same clips, the main one first, see `stages.family`."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a stream and format: the fields of `FormatRow`, of the score value and correct; "joint" for all."""
        rows = [(name, row) for name, one in self.streams.items() for row in one.formats]
        rows += [(JOINT, row) for row in self.fused]
        scores = [{"value": row.score.value, "correct": row.score.correct} for _, row in rows]
        return pd.DataFrame(
            {"stream": name, **row.model_dump(exclude={"score"}), **score}
            for (name, row), score in zip(rows, scores, strict=True)
        )

    @property
    def summary(self) -> pd.DataFrame:
        """The same for people, by format, or by stream and format where there are several streams.

        Differences in standard deviations of the network's outputs; of all samples the lowest cosine; of winners the
        share that are the network's, right or wrong.
        """
        table = self.table
        names = table.format if len(self.streams) == 1 else table.stream + ", " + table.format
        (metric,) = {row.score.metric for one in self.streams.values() for row in one.formats} or {""}
        return pd.DataFrame(
            {
                "greatest difference": table.relative_difference.astype(float),
                "lowest cosine": table.cosine.astype(float),
                "same winner, %": 100 * table.agreement,
                f"{metric_title(metric)}, %": 100 * table.value,
                "right": table.correct,
                "good if": table.criterion.str.removeprefix("relative "),
                "needed": table.required,
                "passed": table.passed,
            }
        ).set_index(names.rename("format"))

    def failed(self, *, required: bool = False) -> list[str]:
        """What did not pass, of all formats or of those that are required, and why: one line a stream and format."""
        table = self.table
        wrong = table[~table.passed & (table.required | (not required))]
        return [
            f"{stream}, {name}: {why}" if len(self.streams) > 1 else f"{name}: {why}"
            for stream, name, why in zip(wrong.stream, wrong.format, wrong.reason, strict=True)
        ]

    def not_made(self) -> list[str]:
        """What could not be made or run here: stream and format, the reason, the remedy, and the command of a tool.

        What several streams lack for the same reason is said once, with all commands.
        """
        found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for name, one in self.streams.items():
            for step in one.made.not_made:
                found.setdefault((step.format, step.reason, step.remedy), []).append((name, step.command))
        said = []
        for (kind, reason, remedy), each in found.items():
            streams = "".join(f"{name}, " for name, _ in each) if len(self.streams) > 1 else ""
            commands = [command for _, command in each]
            head = textwrap.fill(f"{streams}{kind}: {reason}", PAGE_WIDTH, break_long_words=False)
            said.append("\n".join([*filter(None, (head, remedy, *commands)), ""]))
        return said

    def finish(self) -> ConversionResults:
        """Write the record, after `compare` where that has not run.

        Raises BookError that names the required formats that did not pass, after the record is written: what was found
        stands in it, and the chapter's rung 4 shows as failed.
        """
        if not all(one.formats for one in self.streams.values()):
            compare(self)
        results = ConversionResults(
            streams={name: _conversion(one) for name, one in self.streams.items()},
            fused=self.fused,
            family=tuple(_member(name, one) for name, one in self.family.items()),
        )
        rests_on = {"index": dataset_of(self.stage).index().sha256}
        for name, one in self.streams.items():
            rests_on |= {
                f"{name}.checkpoint": sha256_file(finished_run(one.stage) / "network.ckpt"),
                f"{name}.network": one.made.engines["network"].sha256,
                f"{name}.samples": one.batches.sha256,
            }
        self.stage.finish(results, rests_on)
        if failed := self.failed(required=True):
            raise BookError(
                f"formats that have to give the network's answers do not: {'; '.join(failed)}. The record says so. "
                "actionbook.conversion.layer_differences names the first layer of an ONNX file that differs; "
                "once it is mended, run the notebook again"
            )
        return results


def _member(name: str, one: Converted) -> FamilyRow:
    return FamilyRow(network=name, macs=int(one.layers.macs.sum()), **dict(_conversion(one)))


def _conversion(one: Converted) -> StreamConversion:
    return StreamConversion(
        formats=one.formats,
        exports=one.made.exports,
        preflight=_preflight(one),
        throughput=tuple(one.throughput),
        not_run=one.made.not_made,
    )


def _preflight(one: Converted) -> PreflightRow | None:
    """None where there is no ONNX file."""
    if one.made.onnx is None:
        return None
    found = one.check()
    return PreflightRow(
        cann=found.cann,
        soc_version=found.soc,
        verdict=found.verdict,
        counts={str(verdict): count for verdict, count in found.counts.items()},
    )


def convert(stage: Stage) -> Conversions:
    """Make batches of the test samples, and every format of every chosen stream's trained network.

    What cannot be made here is recorded with its reason (`Made.not_made`). Raises BookError where stage 03 has not
    trained these networks on what is there now.
    """
    stage.require("03_training", "data", "sampling", "transforms", "model")
    stage.set_device()
    with cores.busy():
        return Conversions(stage, {name: _convert(stream, stage) for name, stream in stage.streams.items()})


def _convert(stream: Stage, whole: Stage) -> Converted:
    recipe, index = stream.recipe, dataset_of(stream).index()
    network = trained_network(stream)
    samples = tested_samples(stream, index)
    spec = recipe.spec(samples.classes)
    with whole.timed("write_batches"):
        batches = _batches(stream, samples, spec)
    calibration = calibration_samples(stream, index)
    with whole.timed("export"):
        made = make_formats(network, spec, stream.folder / "export", recipe.export, calibration)
    return Converted(stream, network, spec, index, batches, calibration, made)


def _batches(stream: Stage, samples: Samples, spec: Spec) -> BatchSet:
    """The tested samples as batches; where the recipe does not keep their files, they are made again when needed.

    Raises BookError, before anything is written, where the disk has no room for files that are to be kept.
    """
    folder, export = stream.folder / "batches", stream.recipe.export
    size, keep = export.inference_batch, export.keep_batches
    if keep:
        earlier = sum(path.stat().st_size for path in folder.rglob("*.bin"))  # which are replaced
        needed = -(-len(samples.tests) // size) * size * spec.bytes()
        if needed > (free := shutil.disk_usage(existing(folder)).free + earlier):
            raise BookError(
                f"{shown(folder)}: batches of {len(samples.tests):,} samples take {needed / 1e9:,.3g} GB, "
                f"{free / 1e9:,.3g} GB are free. Make room, set work_root to a larger disk, or leave "
                "export.keep_batches false: then they are made as they are needed"
            )
    ready = ((sample.item, sample.inputs) for sample in tested(samples, samples.tests, stream.workers))
    found = write_batches(ready, folder, batch_size=size, spec=spec, keep=keep)
    return found if keep else replace(found, again=SampleBatches(samples, size, found.sha256, stream.workers).ready)


def calibration_samples(stream: Stage, index: Index) -> Arrays:
    """A few samples of the training set, never of the test set: (N, ...) by input, tested as test samples are."""
    train = index.subset("train")
    count = min(stream.recipe.export.calibration_clips, len(train))
    chosen = train.with_items(train.items.sample(count, random_state=0).reset_index(drop=True))
    samples: Samples = samples_of(stream, chosen)
    table = samples.middles(stream.recipe.sampling.tested)
    _, inputs = next(batched(tested(samples, table, stream.workers), count))
    return inputs


def compare(conversions: Conversions) -> Conversions:
    """Run every format on the same samples and compare each with its network; then the streams together."""
    with conversions.stage.timed("formats"), cores.busy():
        for one in conversions.streams.values():
            of = partial(predictions, one.stage, one.index)
            one.found, failed = run_formats(one.made.engines, one.batches, one.stage.folder / "results", of)
            one.made = one.made.without(failed)
            one.formats = compare_formats(one.found, half=one.made.half)
    streams = {name: one.found for name, one in conversions.streams.items()}
    if len(streams) > 1:
        stage, half = conversions.stage, any(one.made.half for one in conversions.streams.values())
        missing = missing_rule(stage.streams, dataset_of(stage.first).index())
        fused = fuse_formats(streams, stage.recipe.evaluation.fuse, missing=missing)
        conversions.fused = compare_formats(fused, half=half)
    return conversions


def fuse_formats(
    streams: Mapping[str, Mapping[str, Predictions]], how: How, *, missing: Literal["error", "miss"] = "error"
) -> dict[str, Predictions]:
    """The streams together in every format that all of them have, from their stored results, paired by item."""
    first, *others = streams.values()
    common = [kind for kind in first if all(kind in other for other in others)]
    return {kind: fuse({name: its[kind] for name, its in streams.items()}, how, missing=missing) for kind in common}
