"""Made-up records of what the stages write."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from actionbook.core.files import write_json_atomic
from actionbook.core.record import SCHEMAS, Head, Record, StageEntry, read_record, write_stage
from actionbook.core.schema import read_yaml
from actionbook.core.score import QUIRK
from actionbook.results.compare import comparisons


def score(correct: int, evaluated: int, expected: int, metric: str = "top1") -> dict[str, Any]:
    return {
        "metric": metric,
        "value": correct / expected,
        "correct": correct,
        "evaluated": evaluated,
        "expected": expected,
        "missing_sha256": None if evaluated == expected else "0" * 64,
    }


ENVIRONMENT = {
    "python": "3.11.9",
    "machine": "Linux x86_64",
    "cpu": "A Processor|v2",
    "cores": 2,
    "mindspore": "2.10.0",
    "numpy": "1.26.4",
    "opencv-contrib-python-headless": "4.11",
    "ffmpeg": "libavcodec 61",
    "onnxruntime": "1.22",
    "cann": None,
    "driver": None,
    "library_sha256": "ab" * 32,
}
# What is the same in every record comes from the small documents that the schemas are tested with.
DOCUMENTS = read_yaml(Path(__file__).parents[1] / "core" / "data" / "documents.yaml")
RESULTS: dict[str, dict[str, Any]] = {name: DOCUMENTS[f"results of {name}"] for name in SCHEMAS}
DATASET = {
    **RESULTS["01_data"]["sets"]["mini_ucf101"],
    "videos_found": 40,
    "missing": [],
    "missing_sha256": None,
}
RUNS = [
    {
        **RESULTS["03_training"]["runs"][0],
        "run": name,
        "seed": seed,
        "score": score(right, 40, 40),
        "further": [score(pairs, 20, 20, "within groups")] if pairs else [],
    }
    for name, seed, right, pairs in (("clip", 1, 36, 18), ("clip", 2, 32, 16), ("frame", 1, 20, None))
]
STREAM = RESULTS["04_conversion"]["streams"]["rgb"]
FORMAT = STREAM["formats"][0]
SCORES = [score(36, 40, 40), score(40, 40, 40, "top5"), score(35, 39, 40, f"top1, {QUIRK}")]
RESULTS |= {
    "01_data": {"own": "mini_ucf101", "sets": {"mini_ucf101": DATASET}},
    "02_architecture": {
        "specified": [
            {"what": "parameters", "found": 2483429, "expected": 2483429},
            {"what": "shape", "found": [1, 2], "expected": [1, 2]},
        ],
        "equivalent": [
            {"network": "net 1.0", "relative_difference": 2.1e-6, "tolerance": 1e-4},
            {"network": "net 0.45", "relative_difference": 0.0, "tolerance": 1e-4},
        ],
    },
    "03_training": {
        "runs": RUNS,
        "models": RESULTS["03_training"]["models"],
        "learns": [{"claim": "clips beat frames", "holds": True, "shown": "85.0 % against 50.0 %"}],
    },
    "04_conversion": {"streams": {"rgb": STREAM}},
    "05_accuracy": {
        "scores": [{"stream": "rgb", "format": "ONNX Runtime", "scores": SCORES}],
        "protocols": {"rgb": "mini_ucf101 split 1, video level"},
        "missing": 0,
    },
}

MakeRecord = Callable[..., Record]


@pytest.fixture
def _no_window() -> Iterator[None]:
    """Figures are drawn into memory, and closed after the test."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture
def make_record(tmp_path: Path) -> MakeRecord:
    """Write a record into a workspace and read it.

    ``stage_03={...}`` changes a stage's results, None leaves it out; `dataset` changes the data set, `formats` the
    format (one row for each).
    """

    def make(
        recipe: str = "mini",
        *,
        chapter: str = "efficient3d",
        day: int = 1,
        streams: tuple[str, ...] = ("rgb",),
        dataset: dict[str, Any] | None = None,
        formats: Iterable[dict[str, Any]] = (),
        **changes: Any,
    ) -> Record:
        if dataset:
            own = {**DATASET, **dataset}
            changes = {"stage_01": {"own": own["manifest"], "sets": {own["manifest"]: own}}, **changes}
        if formats:
            rows = [{**FORMAT, **change} for change in formats]
            changes = {"stage_04": {"streams": {"rgb": {**STREAM, "formats": rows}}}, **changes}
        workspace = tmp_path / "work" / chapter / recipe
        head = Head(
            chapter=chapter,
            recipe=recipe,
            title=f"The recipe {recipe}",
            recipe_sha256="5" * 64,
            streams=streams,
        )
        for name, results in RESULTS.items():
            change = changes.get("stage_" + name[:2], {})
            if change is None:
                continue
            entry = StageEntry(
                name=name,
                finished=f"2026-01-{day:02d}T10:00:00+00:00",
                seconds=12.3,
                timings={"all": 1.0},
                device="CPU",
                devices=1,
                environment=ENVIRONMENT,
                recipe_sections={},
                rests_on={},
                results=SCHEMAS[name](**{**results, **change}),
            )
            write_stage(workspace, head, entry)
        return read_record(workspace)

    return make


@pytest.fixture
def real_run(make_record: MakeRecord) -> Callable[..., Record]:
    """A record of a run on UCF101 itself that aims at the port's figures; `correct` is counted as the port does."""

    def make(
        correct: int, evaluated: int = 3783, expected: int = 3783, dataset: dict[str, Any] | None = None, **options: Any
    ) -> Record:
        scores = [
            score(correct + 1, evaluated, expected),
            score(min(evaluated, 3643), evaluated, expected, "top5"),
            score(correct, evaluated - 1, expected, f"top1, {QUIRK}"),
        ]
        results = {
            "scores": [{"stream": "rgb", "format": "OM", "scores": scores}],
            "protocols": {"rgb": "ucf101 split 1"},
            "published": {"rgb": ["efficient3d.port.top1", "efficient3d.port.top5"]},
        }
        real = {"manifest": "ucf101", "generated": False, **(dataset or {})}
        return make_record("ucf101", dataset=real, **{"stage_05": results, **options})

    return make


@pytest.fixture
def two_streams(make_record: MakeRecord) -> Callable[..., Record]:
    """A record of two streams and both together; `changes` as `make_record` takes them."""

    def make(**changes: Any) -> Record:
        flow = {**STREAM, "formats": [{**FORMAT, "relative_difference": 4e-7}]}
        both = score(38, 40, 40)
        scores = [(stream, [score(right, 40, 40)]) for stream, right in (("rgb", 36), ("flow", 30), ("joint", 38))]
        made = {
            "stage_03": {
                "runs": [{**run, "stream": stream} for stream in ("rgb", "flow") for run in RUNS],
                "models": {name: {"folder": "x", "sha256": "3" * 64} for name in ("rgb", "flow")},
                "fused": [{"seed": 1, "values": {"rgb": 0.9, "flow": 0.75, "joint": 0.95}, "score": both}],
            },
            "stage_04": {
                "streams": {"rgb": STREAM, "flow": flow},
                "fused": [{**FORMAT, "relative_difference": 5e-7, "score": both}],
            },
            "stage_05": {
                "scores": [{"stream": name, "format": "ONNX", "scores": found} for name, found in scores],
                "protocols": {name: f"protocol of {name}" for name, _ in scores},
            },
        }
        return make_record("both", chapter="i3d", streams=("rgb", "flow"), **{**made, **changes})

    return make


@pytest.fixture
def hand_in() -> Callable[..., Path]:
    """A function that puts a record into a folder as if it had been accepted there; returns its folder.

    `outcomes` are the check's verdicts on what the record compares, in order.
    """

    def put(record: Record, name: str, root: Path, by: str = "", outcomes: Sequence[str] = ()) -> Path:
        folder = root / record.head.chapter / name
        shutil.copytree(record.folder / "record", folder / "record")
        whose = {"chapter": record.head.chapter, "recipe": record.head.recipe}
        verdicts = [
            {
                "figure": item.figure_id,
                "published": str(item.figure),
                "stream": item.row.stream,
                "format": item.row.format,
                "score": item.score.model_dump(mode="json"),
                "tolerance": item.tolerance,
                "difference": item.difference,
                "outcome": outcome,
                "reason": "as it was found",
            }
            for item, outcome in zip(comparisons(record), outcomes, strict=False)
        ]
        finding = {"what": "scores", "state": "proven", "detail": "3 | scores"}
        why = "" if verdicts else "nothing was published"
        check = {**whose, "findings": [finding], "verdicts": verdicts, "why_none": why}
        write_json_atomic(folder / "check.json", check)
        listing = {**whose, "packed": "2026-01-03", "by": by, "note": "One *card*.", "files": {}}
        write_json_atomic(folder / "evidence.json", listing)
        return folder

    return put
