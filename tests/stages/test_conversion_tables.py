"""What stage 04 says of formats: streams together, what failed, single answers, one number for each speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.sections import Evaluation, Export
from actionbook.core.stage_results import Step, ThroughputRow
from actionbook.datasets.index import make_index
from actionbook.evaluation.compare import compare_formats
from actionbook.evaluation.formats import Made
from actionbook.inference import Throughput
from actionbook.stages import speed
from actionbook.stages.conversion import Conversions, Converted
from actionbook.stages.family import answers_table, rounding_table
from actionbook.tasks import Classification, Predictions

VIDEOS = [f"v{number}" for number in range(10)]
INDEX = make_index({"video": v, "label": "A", "target": 0, "subset": "test", "path": ""} for v in VIDEOS)
RIGHT, WRONG = [3.0, 1.0], [1.0, 3.0]


@contextmanager
def timed(_: str) -> Iterator[None]:
    yield


def predictions(rows: list[list[float]]) -> Predictions:
    return Predictions(VIDEOS, np.array(rows, np.float32), INDEX, Evaluation(), Classification())


def converted(
    *formats: tuple[str, list[list[float]]], not_made: tuple[Step, ...] = (), engines: Any = None, macs: int = 0
) -> Converted:
    """One network: right about eight videos of ten; `formats` are further predictions."""
    found = {"network": predictions([RIGHT] * 8 + [WRONG] * 2)} | {name: predictions(rows) for name, rows in formats}
    made = Made(engines or {}, (), not_made, None)
    stage: Any = SimpleNamespace(recipe=SimpleNamespace(export=Export(inference_batch=16)))
    nothing: Any = None
    one = Converted(stage, nothing, nothing, nothing, nothing, nothing, made, found, compare_formats(found))
    one.__dict__["layers"] = pd.DataFrame({"macs": [0, macs, macs]})
    return one


def all_of(**streams: Converted) -> Conversions:
    stage: Any = SimpleNamespace(timed=timed)
    return Conversions(stage, streams)


def test_a_tool_that_all_streams_lack_is_explained_once_with_every_command() -> None:
    steps = {
        name: Step(format="OM", reason="no atc", remedy="    get it", command=f"cd {name}") for name in ("rgb", "flow")
    }
    both = all_of(**{name: converted(not_made=(step,)) for name, step in steps.items()})
    assert both.not_made() == ["rgb, flow, OM: no atc\n    get it\ncd rgb\ncd flow\n"]
    other = Step(format="OM", reason="no card " * 20, command="cd flow")
    apart = all_of(rgb=converted(not_made=(steps["rgb"],)), flow=converted(not_made=(other,)))
    assert [said.split(":")[0] for said in apart.not_made()] == ["rgb, OM", "flow, OM"]
    assert all(len(line) <= 88 for said in apart.not_made() for line in said.splitlines())
    assert all_of(rgb=converted(not_made=(steps["rgb"],))).not_made() == ["OM: no atc\n    get it\ncd rgb\n"]


def test_what_failed_names_its_stream_where_there_are_several() -> None:
    changed = [RIGHT] * 7 + [WRONG] * 3
    one = converted(("ONNX", changed), ("ONNX-int8", changed))
    alone, both = all_of(rgb=one), all_of(rgb=one, flow=converted())
    assert [line.split(":")[0] for line in alone.failed()] == ["ONNX", "ONNX-int8"]
    assert [line.split(":")[0] for line in both.failed(required=True)] == ["rgb, ONNX"]
    assert alone.failed()[1].endswith("only 9 of 10 winners (90.0%) are the network's, below 99 %")
    table = both.summary
    assert table.index.tolist() == ["rgb, network", "rgb, ONNX", "rgb, ONNX-int8", "flow, network"]
    assert alone.summary.index.name == "format"
    assert table[["top-1, %", "right", "same winner, %"]].iloc[2].tolist() == pytest.approx([70, 7, 90])
    assert table.needed.tolist() == [True, True, False, True]
    assert table.passed.tolist() == [True, False, False, True]


def test_answers_of_the_family_are_counted_one_by_one() -> None:
    swapped = [WRONG, *[RIGHT] * 8, WRONG]  # one lost, one won: the score is the same
    both = all_of(rgb=converted())
    both.family = {"a": converted(("ONNX-int8", swapped)), "b": converted()}
    row = answers_table(both, "ONNX-int8").loc["a"]
    found = {key: row[key] for key in ("network right", "ONNX-int8 right", "changed", "lost", "won", "passed")}
    assert found == {"network right": 8, "ONNX-int8 right": 8, "changed": 2, "lost": 1, "won": 1, "passed": False}
    assert row["same winner, %"] == 80
    assert list(answers_table(both, "ONNX-int8").index) == ["a"]  # b has no such format


def test_rounding_of_the_family_is_held_against_the_tolerance_of_the_format() -> None:
    moved = [[3.02, 1.0], *[RIGHT] * 7, *[WRONG] * 2]
    both = all_of(rgb=converted())
    both.family = {"a": converted(("ONNX-fp16", moved), macs=5)}
    row = rounding_table(both, "ONNX-fp16").loc["a"]
    assert (row.layers, row["samples beyond"], row["median"], row.passed) == (2, 1, 0, False)
    assert row.greatest == pytest.approx(0.02, rel=1e-3)


def test_every_speed_comes_from_one_loop_and_no_number_is_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, asked = {"slow": 10.0, "quick": 40.0}, []

    def measure_sizes(engine: Any, sizes: Any, **limits: Any) -> list[Throughput]:
        asked.append((engine, tuple(sizes), limits))
        return [Throughput(engine, size, {}, 3, rates[engine], 1, 2, 1, None, None, None) for size in sizes]

    monkeypatch.setattr(speed, "measure_sizes", measure_sizes)
    monkeypatch.setattr(speed.cores, "alone", lambda: timed(""))
    main = converted(engines={"ONNX": "slow"}, macs=1_000_000)
    monkeypatch.setattr(main.stage.recipe, "export", Export(batch_sizes=(1, 16), inference_batch=16))
    both = all_of(rgb=main)
    both.family = {"main": main, "other": converted(engines={"ONNX": "quick"}, macs=500_000), "none": converted()}
    assert speed.time_formats(both).clips_per_second.tolist() == [10, 10]
    table = speed.time_family(both)
    assert table.to_dict("index") == {
        "other": {"million MACs": 1.0, "clips/s": 40.0, "GMAC/s": pytest.approx(0.04)},
        "main": {"million MACs": 2.0, "clips/s": 10.0, "GMAC/s": pytest.approx(0.02)},
    }
    assert [(engine, sizes) for engine, sizes, _ in asked] == [("slow", (1, 16)), ("quick", (16,))]
    assert all(limits == asked[0][2] for *_, limits in asked)
    assert isinstance(both.family["other"].throughput[0], ThroughputRow)
