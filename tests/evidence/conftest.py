"""A finished run whose predictions are made up: workspace and record as the stages leave them, two streams of clips."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionbook.core.files import sha256_json, write_json_atomic, write_text_atomic
from actionbook.core.recipe import Recipe
from actionbook.core.score import Score
from actionbook.core.stage_results import (
    AccuracyResults,
    ArchitectureResults,
    ConversionResults,
    DataResults,
    DatasetRow,
    ExportRow,
    ModelRow,
    StreamConversion,
    ThroughputRow,
    TrainingResults,
    TrainingRow,
)
from actionbook.core.workspace import Stage
from actionbook.datasets.index import Index, write_index
from actionbook.evaluation.compare import compare_formats
from actionbook.evaluation.predict import expected, samples_of
from actionbook.evidence.archive import files_of, unpack
from actionbook.evidence.pack import pack
from actionbook.inference import write_batches
from actionbook.stages.accuracy import accuracy_rows, protocols_of
from actionbook.stages.conversion import fuse_formats
from actionbook.tasks import Predictions, task_of
from actionbook.training.schedule import step_rates

FORMATS = ("network", "MINDIR", "ONNX", "OM")
NETWORK, CHECKPOINT, MODEL = "1" * 64, "2" * 64, "3" * 64
RECIPE: dict[str, Any] = {
    "chapter": "tiny",
    "name": "tiny",
    "title": "Two streams of a tiny data set",
    "sampling": {"name": "windows", "frames": 4, "stride": 1, "window": 8},
    "transforms": {"size": 16},
    "model": {"name": "resnet18_3d"},
    "training": {
        "epochs": 3,
        "batch_size": 2,
        "lr": 0.02,
        "lr_steps": [1],
        "runs": [{"name": "clip", "seeds": [1, 2]}, {"name": "short", "overrides": {"weights": {"run": "clip"}}}],
        "result": "clip",
    },
    "streams": {"fast": {"sampling": {"stride": 2}}, "slow": {"evaluation": {"validate_every": 1}}},
    "export": {"inference_batch": 5},
}
Finished = Callable[..., Stage]


@pytest.fixture(scope="session")
def make_finished(tiny: Any, prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A function that makes such a run, in a work root of its own unless one is named, and returns its stage 05.

    Of a partial copy the last `missing` test videos are not there.
    """

    def make(work: Path | None = None, missing: int = 0, **differences: Any) -> Stage:
        root = tmp_path_factory.mktemp("run")
        manifest, path = root / "tiny.yaml", root / "recipe.yaml"
        write_text_atomic(manifest, json.dumps(tiny.manifest.model_dump(mode="json")))
        recipe = {**RECIPE, "data": {"manifest": str(manifest)}, **differences}
        write_text_atomic(path, json.dumps(recipe))
        stage = Stage.open("tiny", "05_accuracy", recipe=str(path), work_root=work or root / "work", device="CPU")
        items = prepared.index.items
        absent = items.index.isin(items.index[items.subset == "test"][14 - missing :])
        items = items.assign(frames=items.frames.where(~absent, 0), path=items.path.where(~absent, ""))
        index = replace(prepared.index, items=items)
        write_index(index, stage.workspace / "index-tiny-1")
        _record(stage, index)
        return stage

    return make


@pytest.fixture(scope="session")
def finished(make_finished: Finished) -> Stage:
    """One such run; tests must not write to it."""
    return make_finished()


@pytest.fixture(scope="session")
def packed(finished: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its pack."""
    return pack(finished, tmp_path_factory.mktemp("packed") / "tiny.zip", by="Ada L.", note="a note")


@pytest.fixture
def opened(packed: Path, tmp_path: Path) -> Path:
    """The pack, unpacked into a folder that a test may change."""
    unpack(packed, folder := tmp_path / "pack")
    return folder


@pytest.fixture
def relist(opened: Path) -> Callable[[], None]:
    """A function that lists the files of the opened pack as they are now, as somebody does who has changed one."""

    def again() -> None:
        listing = json.loads((opened / "evidence.json").read_text("utf-8"))
        write_json_atomic(
            opened / "evidence.json",
            {**listing, "files": {name: one.model_dump() for name, one in files_of(opened).items()}},
        )

    return again


@pytest.fixture
def change(opened: Path, relist: Callable[[], None]) -> Callable[[str, Callable[[Any], Any]], None]:
    """A function that changes a JSON file of the opened pack by a function of its data, and lists all files anew."""

    def edited(name: str, edit: Callable[[Any], Any]) -> None:
        data = json.loads((opened / name).read_text("utf-8"))
        write_json_atomic(opened / name, edit(data) or data)
        relist()

    return edited


def _record(stage: Stage, index: Index) -> None:
    def finish(name: str, results: Any, rests_on: dict[str, str] | None = None) -> None:
        replace(stage, name=name, device="Ascend").finish(results, rests_on)

    finish("01_data", DataResults(own="tiny", sets={"tiny": _data_row(stage, index)}))
    finish("02_architecture", ArchitectureResults())
    finish("03_training", _trainings(stage, index))
    found: dict[tuple[str, str], Predictions] = {}
    digests = {"index": index.sha256}
    for number, (name, own) in enumerate(stage.streams.items()):
        made, samples = _predictions(own, index, np.random.default_rng(number))
        found |= {(name, kind): one for kind, one in made.items()}
        digests |= {f"{name}.checkpoint": CHECKPOINT, f"{name}.network": NETWORK, f"{name}.samples": samples}
    by_stream = {name: {kind: one for (n, kind), one in found.items() if n == name} for name in stage.streams}
    joint = fuse_formats(by_stream, stage.recipe.evaluation.fuse)
    exports = (ExportRow(format="ONNX", file="network.onnx", bytes=1, sha256=MODEL),)
    times = (_throughput(),)
    streams = {
        name: StreamConversion(formats=compare_formats(own), exports=exports, preflight=None, throughput=times)
        for name, own in by_stream.items()
    }
    finish("04_conversion", ConversionResults(streams=streams, fused=compare_formats(joint)), digests)
    found |= {("joint", kind): one for kind, one in joint.items()}
    protocols = protocols_of(stage.recipe, {name: own.recipe for name, own in stage.streams.items()})
    aims = {name: own.recipe.published for name, own in stage.streams.items()} | {"joint": stage.recipe.published}
    results = AccuracyResults(
        scores=accuracy_rows(found), protocols=protocols, missing=len(index.missing), published=aims
    )
    finish("05_accuracy", results, digests)


def _data_row(stage: Stage, index: Index) -> DatasetRow:
    return DatasetRow(
        manifest="tiny",
        manifest_sha256=sha256_json(stage.manifest.model_dump(mode="json")),
        generated=False,
        split=1,
        videos_expected=len(index),
        videos_found=len(index) - len(index.missing),
        missing=tuple(index.missing),
        missing_sha256=sha256_json(sorted(index.missing)) if index.missing else None,
        frames=int(index.items.frames.sum()),
        store_bytes=1,
        index_sha256=index.sha256,
    )


def _trainings(stage: Stage, index: Index) -> TrainingResults:
    rows, models, classes = [], {}, list(stage.manifest.classes)
    for name, own in stage.streams.items():
        first: dict[str, str] = {}
        for run in own.recipe.training.runs:
            recipe = own.recipe.for_run(run)
            for seed in run.seeds:
                basis: dict[str, Any] = {
                    "recipe": recipe.sha256("task", "transforms", "model"),
                    "classes": sha256_json(classes),
                    "index": index.sha256,
                    "frames": "f" * 64,
                    "weights": sha256_json([first, []] if recipe.weights else None),
                    "seed": seed,
                }
                first = first or basis
                folder = own.folder / "training" / f"{run.name}-seed{seed}"
                loss, seconds = _log(folder, recipe, seed + 10 * len(rows))
                score = Score.of_share("top1", 7, map(str, range(14)), map(str, range(14)))
                rows.append(
                    TrainingRow(
                        stream=name,
                        run=run.name,
                        seed=seed,
                        data="tiny",
                        folder=folder.relative_to(stage.workspace).as_posix(),
                        epochs=3,
                        seconds=seconds,
                        data_wait=0.1,
                        loss=loss,
                        parameters=10,
                        macs=1000,
                        score=score,
                        rests_on={**{key: str(value) for key, value in basis.items()}, "code": "c" * 64},
                    )
                )
        models[name] = ModelRow(folder="x", sha256=CHECKPOINT)
    return TrainingResults(runs=tuple(rows), models=models)


def _log(folder: Path, recipe: Recipe, number: int) -> tuple[float, float]:
    rng = np.random.default_rng(number)
    rates = step_rates(recipe.training, 4)[3::4]
    lines = [
        {"epoch": n, "lr": rate, "loss": round(float(rng.uniform(0.1, 2)), 6), "seconds": round(rng.uniform(5, 9), 3)}
        for n, rate in enumerate(rates, 1)
    ]
    write_text_atomic(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return float(lines[-1]["loss"]), float(sum(line["seconds"] for line in lines))


def _predictions(own: Stage, index: Index, rng: np.random.Generator) -> tuple[dict[str, Predictions], str]:
    samples = samples_of(own, index.subset("test"))
    items, spec = samples.tests.item.tolist(), own.recipe.spec(2)
    clips = ((item, {name: np.zeros(shape, np.float32) for name, shape in spec.inputs.items()}) for item in items)
    batches = write_batches(clips, own.folder / "batches", batch_size=5, spec=spec, progress=False)
    logits = rng.normal(0, 2, (len(items), 2)).astype(np.float32)
    found = {}
    for kind, noise in zip(FORMATS, (0, 0, 1e-6, 1e-3), strict=True):
        outputs = (logits + noise * rng.normal(size=logits.shape)).astype(np.float32)
        found[kind] = Predictions(items, outputs, expected(index), own.recipe.evaluation, task_of(own.recipe.task))
        folder = own.folder / "results" / kind
        padded = np.concatenate([outputs, np.zeros((-len(outputs) % 5, 2), np.float32)])
        for number in range(len(batches)):
            path = folder / f"{number}_0.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            padded[5 * number : 5 * number + 5].tofile(path)
        model = {"network": NETWORK, "OM": "4" * 64}.get(kind, MODEL)
        write_json_atomic(folder / "results.json", {"model_sha256": model, "batches_sha256": batches.sha256})
    _tool(folder)
    return found, batches.sha256


def _tool(folder: Path) -> None:
    summary = {"npu_compute_time_list": [4.0, 4.0], "NPU_compute_time": {"mean": 4.0}, "throughput": 1250.0}
    write_json_atomic(folder / "summary.json", summary)
    console = "[INFO] loading /home/zaphod/models/network.om\n[INFO] on magrathea (10.1.2.3) for zaphod\n"
    console += "[INFO] throughput 1000*batchsize.mean(5)/NPU_compute_time.mean(4.0): 1250.0\n"
    write_text_atomic(folder / "console.log", console)


def _throughput() -> ThroughputRow:
    return ThroughputRow(
        engine="OM",
        batch=5,
        inputs={"image": (3, 4, 16, 16)},
        runs=2,
        clips_per_second=1250.0,
        low=1200.0,
        high=1300.0,
        ms_per_batch=4.0,
        first_ms=None,
        peak_rss_mib=None,
        growth_rss_mib=None,
        inside="the computation",
    )
