"""Records are strict: what a stage writes can be read again, or nothing is written; damage is named."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actionbook.core.errors import BookError
from actionbook.core.files import temporary_prefix
from actionbook.core.record import SCHEMAS, STAGES, Head, StageEntry, read_record, write_stage
from actionbook.core.schema import read_yaml
from actionbook.core.stage_results import (
    AccuracyResults,
    DataResults,
    EquivalentRow,
    FormatRow,
    SpecifiedRow,
    StageResults,
)

DOCUMENTS = read_yaml(Path(__file__).parent / "data" / "documents.yaml")
RESULTS: dict[str, dict[str, Any]] = {name: DOCUMENTS[f"results of {name}"] for name in STAGES}
HEAD = Head(chapter="c", recipe="r", title="A title", recipe_sha256="5" * 64, streams=("rgb", "flow"))


def entry(name: str, results: StageResults | None = None, **changes: Any) -> StageEntry:
    fields: dict[str, Any] = {
        "name": name,
        "finished": "2026-02-03T04:05:06+00:00",
        "seconds": 1.5,
        "timings": {"all": 1.0},
        "device": "CPU",
        "devices": 1,
        "environment": {"python": "3.11", "cann": None, "cores": 2},
        "recipe_sections": {"data": "6" * 64},
        "rests_on": {"index": "7" * 64},
        "results": results or SCHEMAS[name](**RESULTS[name]),
    }
    return StageEntry(**{**fields, **changes})


def changed(name: str, *keys: Any, **values: Any) -> dict[str, Any]:
    """A stage's results with other values in the mapping to which `keys` lead."""
    data: dict[str, Any] = json.loads(json.dumps(RESULTS[name]))
    inner: Any = data
    for key in keys:
        inner = inner[key]
    inner.update(values)
    return data


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_writes_is_read_again_equal(tmp_path: Path, name: str) -> None:
    written = entry(name)
    path = write_stage(tmp_path, HEAD, written)
    assert path == tmp_path / "record" / f"{name}.json"
    record = read_record(tmp_path)
    assert record.stages == {name: written}
    assert record.head == HEAD
    assert record.results(SCHEMAS[name]) == written.results
    assert type(record.stages[name].results) is SCHEMAS[name]
    assert [record.results(kind) for other, kind in SCHEMAS.items() if other != name] == [None] * 4


def test_stages_lie_side_by_side_and_the_last_one_is_the_head(tmp_path: Path) -> None:
    for name, day, title in (("03_training", 5, "old"), ("01_data", 9, "new"), ("03_training", 6, "mended")):
        head = HEAD.model_copy(update={"title": title})
        write_stage(tmp_path, head, entry(name, finished=f"2026-02-{day:02d}T00:00:00+00:00"))
    record = read_record(tmp_path)
    assert list(record.stages) == ["01_data", "03_training"]
    assert record.head.title == "new"
    assert record.heads["03_training"].title == "mended"
    assert record.stages["01_data"].date == "2026-02-09"
    assert record.generated is True


def test_nothing_has_run_yet(tmp_path: Path) -> None:
    record = read_record(tmp_path / "none")
    assert record.stages == {}
    assert record.generated is None
    with pytest.raises(ValueError, match="empty"):
        _ = record.head


def test_streams_have_labels_of_their_own(tmp_path: Path) -> None:
    assert [HEAD.label(stream) for stream in ("rgb", "flow", "joint")] == ["r, rgb", "r, flow", "r"]
    assert HEAD.model_copy(update={"streams": ("rgb",)}).label("rgb") == "r"


def of_streams(name: str, *streams: str) -> StageResults:
    """A stage's results for these streams, "joint" among them or not."""
    data = json.loads(json.dumps(RESULTS[name]))
    for field in SCHEMAS[name].by_stream:
        made = [stream for stream in streams if stream != "joint" or field not in ("runs", "models", "streams")]
        if isinstance(data[field], dict):
            data[field] = dict.fromkeys(made, data[field]["rgb"])
        elif field == "fused":
            data[field] = data[field] if "joint" in streams else []
        else:
            data[field] = [{**row, "stream": stream} for stream in made for row in data[field]]
    return SCHEMAS[name](**data)


BY_STREAM = [name for name in STAGES if SCHEMAS[name].by_stream]
RESTS_ON = {"index": "7", "rgb.network": "r", "flow.network": "f"}


@pytest.mark.parametrize("name", BY_STREAM)
@pytest.mark.parametrize(("stream", "other"), [("rgb", "flow"), ("flow", "rgb")])
def test_a_stream_that_runs_alone_leaves_the_others(name: str, stream: str, other: str) -> None:
    last = entry(name, of_streams(name, "rgb", "flow", "joint"), rests_on=RESTS_ON, seconds=9.0)
    own = {key: digest for key, digest in RESTS_ON.items() if not key.startswith(other)}
    again = entry(name, of_streams(name, stream), rests_on=own)
    found = again.with_streams(last, {"rgb.network": "r"}, HEAD.streams)
    # Where nothing has changed, what was measured of all together still holds.
    assert (found.results, found.rests_on, found.seconds) == (last.results, RESTS_ON, again.seconds)
    changed = again.model_copy(update={"rests_on": {**own, f"{stream}.network": "x"}})
    found = changed.with_streams(last, {}, HEAD.streams)
    assert found.results == of_streams(name, "rgb", "flow")
    assert found.rests_on == {**RESTS_ON, f"{stream}.network": "x"}


@pytest.mark.parametrize("name", BY_STREAM)
@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({"device": "Ascend"}, {}),
        ({"devices": 2}, {}),
        ({"environment": {"python": "3.12"}}, {}),
        ({"recipe_sections": {"data": "8" * 64}}, {}),
        ({"rests_on": {**RESTS_ON, "index": "8"}}, {}),
        ({}, {"rgb.network": "trained anew"}),
    ],
)
def test_what_no_longer_agrees_is_replaced(name: str, changes: dict[str, Any], now: dict[str, str]) -> None:
    last = entry(name, of_streams(name, "rgb", "flow", "joint"), **{"rests_on": RESTS_ON, **changes})
    alone = entry(name, of_streams(name, "flow"), rests_on={"index": "7", "flow.network": "f"})
    assert alone.with_streams(last, now, HEAD.streams) == alone


def _write(folder: str, name: str) -> None:
    write_stage(folder, HEAD, entry(name))


def test_stages_that_finish_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(str(tmp_path), name)) for name in STAGES for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * len(writers)
    assert tuple(read_record(tmp_path).stages) == STAGES
    assert sorted(path.name for path in (tmp_path / "record").iterdir()) == [f"{name}.json" for name in STAGES]


def test_what_killed_writers_have_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    dead = temporary_prefix().replace(f"-{os.getpid()}-", f"-{process.pid}-")
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(60)
    (tmp_path / "record").mkdir()
    for folder in (tmp_path, tmp_path / "record"):
        (folder / f"{dead}x.json").write_text("{")
        (folder / f"{temporary_prefix()}y.json").write_text("{")
    assert read_record(tmp_path).stages == {}
    write_stage(tmp_path, HEAD, entry("01_data"))
    left = {path.name for path in tmp_path.rglob("*.json")}
    assert left == {f"{temporary_prefix()}y.json", "01_data.json"}
    assert list(read_record(tmp_path).stages) == ["01_data"]


Damage = Callable[[dict[str, Any]], object]


def drop(*keys: str) -> Damage:
    def damage(data: dict[str, Any]) -> object:
        for key in keys[:-1]:
            data = data[key]
        return data.pop(keys[-1])

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop("head", "title"), "key 'head.title' is missing"),
        (drop("results"), "key 'results' is missing"),
        (drop("results", "own"), "results: key 'own' is missing"),
        (lambda data: data["results"].update(videos=5), "results: unknown key 'videos'"),
        (lambda data: data["results"]["sets"]["mini_ucf101"].update(frames="9"), "sets.mini_ucf101.frames"),
        (lambda data: data["results"].update(own="other"), "own is 'other', sets are mini_ucf101"),
        (lambda data: data["stage"].update(finished="yesterday"), "stage.finished"),
        (lambda data: data["stage"].update(name="03_training"), "expected '01_data', found '03_training'"),
        (lambda data: data["head"].update(recipe_sha256="5"), "head.recipe_sha256"),
    ],
)
def test_a_damaged_record_is_named_with_file_key_and_remedy(tmp_path: Path, damage: Damage, message: str) -> None:
    path = write_stage(tmp_path, HEAD, entry("01_data"))
    data = json.loads(path.read_text())
    damage(data)
    path.write_text(json.dumps(data))
    with pytest.raises(BookError, match=r"record/01_data\.json") as caught:
        read_record(tmp_path)
    assert message in str(caught.value)
    assert "delete it and run notebook 01_data again" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"stages": []}'])
def test_what_is_no_record_is_refused_and_replaced_by_the_stage_itself(tmp_path: Path, content: bytes) -> None:
    path = write_stage(tmp_path, HEAD, entry("01_data"))
    path.write_bytes(content)
    with pytest.raises(BookError, match=r"record/01_data\.json.*delete it") as caught:
        read_record(tmp_path)
    assert "run notebook 01_data again" in str(caught.value)
    write_stage(tmp_path, HEAD, entry("02_architecture"))  # a damaged neighbour is no reason to lose a result
    assert path.read_bytes() == content
    write_stage(tmp_path, HEAD, entry("01_data"))
    assert list(read_record(tmp_path).stages) == ["01_data", "02_architecture"]


def test_stages_of_two_recipes_do_not_make_a_record(tmp_path: Path) -> None:
    write_stage(tmp_path, HEAD, entry("01_data"))
    write_stage(tmp_path, HEAD.model_copy(update={"recipe": "other"}), entry("03_training"))
    with pytest.raises(BookError, match=r"01_data of c/r, 03_training of c/other"):
        read_record(tmp_path)


def test_files_of_other_stages_are_not_taken_for_some(tmp_path: Path) -> None:
    path = write_stage(tmp_path, HEAD, entry("01_data"))
    data = json.loads(path.read_text())
    data["stage"]["name"] = "06_more"
    path.with_name("06_more.json").write_text(json.dumps(data))
    with pytest.raises(BookError, match="expected one of 01_data, 02_architecture"):
        read_record(tmp_path)


def test_an_entry_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    results = DataResults.model_construct(own="x", sets={})
    with pytest.raises(BookError, match="own is 'x'"):
        write_stage(tmp_path, HEAD, entry("01_data", results))
    with pytest.raises(BookError, match="unknown key"):
        write_stage(tmp_path, HEAD, entry("03_training", SCHEMAS["01_data"](**RESULTS["01_data"])))
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize(
    ("name", "keys", "values", "message"),
    [
        ("01_data", ("sets", "mini_ucf101"), {"missing": []}, "stand together"),
        ("01_data", ("sets", "mini_ucf101"), {"missing": ["v"] * 101}, "at most 100"),
        ("03_training", ("runs", 0, "score"), {"evaluated": 41}, "evaluated <= expected"),
        ("03_training", ("runs", 0, "score"), {"value": 1.01}, "less than or equal to 1"),
        ("03_training", ("runs", 0, "score"), {"missing_sha256": "0" * 64}, "stand together"),
        ("04_conversion", ("streams", "rgb", "formats", 0), {"relative_difference": None}, "passed with"),
        ("04_conversion", ("streams", "rgb", "formats", 0), {"relative_difference": 2e-4}, "above 0.0001"),
        ("04_conversion", ("streams", "rgb", "formats", 0), {"passed": False}, "says the reason"),
        ("04_conversion", ("streams", "rgb", "formats", 0), {"reason": "logits differ"}, "says the reason"),
        ("05_accuracy", ("scores", 0), {"stream": "flow"}, "no protocol says how flow"),
        ("05_accuracy", ("scores", 0), {"scores": []}, "at least 1"),
    ],
)
def test_results_that_contradict_themselves_are_refused(
    name: str, keys: tuple[Any, ...], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        SCHEMAS[name](**changed(name, *keys, **values))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_kept_as_none_and_never_passes(tmp_path: Path, number: float) -> None:
    row = FormatRow(
        **{
            **RESULTS["04_conversion"]["streams"]["rgb"]["formats"][0],
            "max_abs_difference": number,
            "relative_difference": number,
            "cosine": number,
            "passed": False,
            "reason": "not finite",
        }
    )
    assert (row.max_abs_difference, row.relative_difference, row.cosine) == (None, None, None)
    assert not EquivalentRow(network="n", relative_difference=number, tolerance=1e9).holds
    write_stage(tmp_path, HEAD, entry("04_conversion", SCHEMAS["04_conversion"](streams={}, fused=[row.model_dump()])))
    assert "NaN" not in (tmp_path / "record" / "04_conversion.json").read_text()


@pytest.mark.parametrize(
    ("found", "expected", "holds"),
    [(5, 5, True), (5, 6, False), (0.5, 0.5, True), ((1, 2), [1, 2], True), ("a", "a", True), (519.05, 519.06, False)],
)
def test_counts_and_shapes_are_compared_to_the_last_digit(found: Any, expected: Any, holds: bool) -> None:
    assert SpecifiedRow(what="w", found=found, expected=expected).holds is holds


def test_scores_are_found_by_their_metric() -> None:
    results = AccuracyResults(**RESULTS["05_accuracy"])
    (row,) = results.scores
    assert row.main.metric == "top1"
    assert row.score("top5") == row.scores[1]
    assert row.score("mAP") is None
