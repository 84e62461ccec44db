"""Stage 04, every network that was trained on the same clips as the main one: all formats of each, side by side."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from actionbook.core import cores
from actionbook.core.progress import tracked
from actionbook.evaluation.changes import changed_answers, rounding
from actionbook.evaluation.compare import compare_formats, run_formats
from actionbook.evaluation.formats import CRITERIA, NETWORK, make_formats
from actionbook.evaluation.predict import predictions
from actionbook.stages.conversion import Conversions, Converted
from actionbook.training.runs import runs_of_same_clips, trained_network

IN_PROCESS = (NETWORK, "MINDIR", "ONNX", "ONNX-fp16", "ONNX-int8")
"""Formats that need no tool of a card."""


def convert_family(conversions: Conversions) -> dict[str, Converted]:
    """Every network that was trained on the same clips as the main one, in every format, by name, the main one first.

    For networks that differ in nothing but themselves one set of batches serves all. They are kept in
    `Conversions.family`, too. For recipes of one stream, after `stages.conversion.compare`.
    """
    ((_, main),) = conversions.streams.items()
    recipe = main.stage.recipe
    family = {recipe.model.name: main}
    others = [name for name in runs_of_same_clips(recipe) if name != recipe.main_run.name]
    with conversions.stage.timed("family"), cores.busy():
        for name in tracked(others, "family", "networks"):
            network, folder = trained_network(main.stage, name), main.stage.folder / "family" / name
            made = make_formats(network, main.spec, folder, main.export, main.calibration, only=IN_PROCESS)
            of = partial(predictions, main.stage, main.index)
            found, failed = run_formats(made.engines, main.batches, folder / "results", of, progress=False)
            made = made.without(failed)
            formats = compare_formats(found, half=made.half)
            family[name] = replace(main, network=network, made=made, found=found, formats=formats, throughput=[])
    conversions.family = family
    return family


def export_table(conversions: Conversions) -> pd.DataFrame:
    """What became of each network of the family: operations, nodes, the compiler's verdict, the files' sizes.

    One row a network; multiply-accumulates of one sample in millions, files in KiB.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, one in conversions.family.items():
        onnx = one.made.onnx
        rows[name] = {
            "million MACs": float(one.layers.macs.sum()) / 1e6,
            "nodes exported": onnx.raw_nodes if onnx else None,
            "nodes repaired": onnx.nodes if onnx else None,
            "preflight": one.check().verdict if onnx else None,
            **{f"{row.format}, KiB": round(row.bytes / 1024) for row in one.made.exports if row.format != "MINDIR"},
        }
    return pd.DataFrame(rows.values(), index=pd.Index(rows, name="network"))


def answers_table(conversions: Conversions, kind: str) -> pd.DataFrame:
    """One format of every network of the family: its score, and what it changes in single answers.

    One row a network: videos that are right by the network itself and in the format, those of
    `evaluation.changes.changed_answers`, same winner (% of samples), lowest cosine, whether the format passed.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, one in conversions.family.items():
        for row in one.formats:
            if row.format == kind:
                rows[name] = {
                    "network right": one.formats[0].score.correct,
                    f"{kind} right": row.score.correct,
                    **changed_answers(one.found[kind], one.found[NETWORK]),
                    "same winner, %": 100 * row.agreement,
                    "lowest cosine": row.cosine,
                    "passed": row.passed,
                }
    return pd.DataFrame(rows.values(), index=pd.Index(rows, name="network"))


def rounding_table(conversions: Conversions, kind: str) -> pd.DataFrame:
    """One format of every network of the family: how the differences of single samples spread.

    One row a network: its convolutions and dense layers, `evaluation.changes.rounding` at the format's tolerance, and
    whether it passed.
    """
    tolerance = CRITERIA[kind].tolerance or 0.0
    rows: dict[str, dict[str, Any]] = {}
    for name, one in conversions.family.items():
        for row in one.formats:
            if row.format == kind:
                found = rounding(one.found[kind], one.found[NETWORK], tolerance)
                rows[name] = {"layers": int((one.layers.macs > 0).sum()), **found, "passed": row.passed}
    return pd.DataFrame(rows.values(), index=pd.Index(rows, name="network"))
