"""A pack that is what it says passes; each way in which it is not is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from actionbook.core.evidence import Check
from actionbook.core.files import sha256_json
from actionbook.core.workspace import Stage
from actionbook.datasets.index import read_index, write_index
from actionbook.evidence import check_data, check_training
from actionbook.evidence.check import check
from actionbook.evidence.pack import pack
from actionbook.evidence.planes import read_planes, write_planes
from actionbook.results.evidence import report

Relist = Callable[[], None]
Change = Callable[[str, Callable[[Any], Any]], None]


def refuted(found: Check) -> set[str]:
    return {one.what.partition(",")[0] for one in found.findings if one.state == "refuted"}


def test_an_honest_pack_holds(packed: Path) -> None:
    found = check(packed)
    assert found.holds, [one for one in found.findings if one.state == "refuted"]
    states = {one.what: one.state for one in found.findings}
    assert states["scores"] == states["formats"] == states["samples, fast"] == "proven"
    assert states["trainings"] == states["model, slow"] == states["times of the tools, fast"] == "agrees"
    assert states["hardware"] == states["data set"] == "believed"
    assert found.outcome == "not comparable"
    assert "aims at no published accuracy" in found.why_none


def test_a_folder_is_checked_as_the_archive_is(packed: Path, opened: Path) -> None:
    assert check(opened) == check(packed).model_copy(update={"archive_sha256": None})


def test_packing_again_gives_the_same_bytes(finished: Stage, packed: Path, tmp_path: Path) -> None:
    again = pack(finished, tmp_path / "again.zip", by="Ada L.", note="a note")
    assert again.read_bytes() == packed.read_bytes()


# --- what is proven: predictions, samples, labels ---


def rows(opened: Path, stream: str, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    folder = opened / "predictions" / stream
    count = len((folder / "samples.txt").read_text().split())
    network = read_planes(folder / "network.npz", (count, 2))
    return (network, None) if kind == "network" else (read_planes(folder / f"{kind}.npz", (count, 2), network), network)


def test_one_logit_that_turns_an_answer(opened: Path, relist: Relist) -> None:
    values, network = rows(opened, "fast", "OM")
    winner = values.argmax(axis=1)
    values[np.arange(3), 1 - winner[:3]] = 99
    write_planes(opened / "predictions" / "fast" / "OM.npz", values, network)
    relist()
    assert {"scores", "formats"} & refuted(check(opened))


def test_one_logit_that_turns_nothing(opened: Path, relist: Relist) -> None:
    values, network = rows(opened, "fast", "ONNX")
    values[0, 0] += 0.01
    write_planes(opened / "predictions" / "fast" / "ONNX.npz", values, network)
    relist()
    assert refuted(check(opened)) == {"formats"}


def test_a_video_dropped(opened: Path, relist: Relist) -> None:
    for kind in ("network", "MINDIR", "ONNX", "OM"):
        values, network = rows(opened, "fast", kind)
        kept = None if network is None else network[2:]
        write_planes(opened / "tmp.npz", values[2:], kept)
        (opened / "tmp.npz").replace(opened / "predictions" / "fast" / f"{kind}.new")
    for path in (opened / "predictions" / "fast").glob("*.new"):
        path.replace(path.with_suffix(".npz"))
    names = (opened / "predictions" / "fast" / "samples.txt").read_text().splitlines()
    (opened / "predictions" / "fast" / "samples.txt").write_text("\n".join(names[2:]) + "\n")
    relist()
    assert "samples" in refuted(check(opened))


def test_samples_in_another_order(opened: Path, relist: Relist) -> None:
    file = opened / "predictions" / "fast" / "samples.txt"
    names = file.read_text().splitlines()
    file.write_text("\n".join(names[::-1]) + "\n")
    relist()
    assert "samples" in refuted(check(opened))


@pytest.fixture
def tables(opened: Path, relist: Relist) -> Callable[..., str]:
    """A function that changes a table of the index, and returns the new digest."""

    def changed(edit: Callable[[pd.DataFrame], pd.DataFrame], table: str = "labels") -> str:
        index = read_index(opened / "index" / "index", ".csv.gz")
        index = replace(index, **{table: edit(getattr(index, table))})
        write_index(index, opened / "index" / "index", ".csv.gz")
        relist()
        return index.sha256

    return changed


def exchanged(labels: pd.DataFrame) -> pd.DataFrame:
    return labels.assign(target=1 - labels.target)


def test_labels_permuted(opened: Path, tables: Callable[..., str]) -> None:
    tables(exchanged)
    assert {"index", "scores"} <= refuted(check(opened))


def test_labels_permuted_and_every_digest_with_them(
    opened: Path, change: Change, tables: Callable[..., str], tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the book's own digest of the official list is left to catch it, though the book had none back then."""
    honest = read_index(opened / "index" / "index", ".csv.gz")
    split = tiny.manifest.splits["1"].model_copy(update={"truth_sha256": honest.truth_sha256})
    book = tiny.manifest.model_copy(update={"splits": {**tiny.manifest.splits, "1": split}})
    monkeypatch.setattr(check_data, "load_dataset", lambda name: book)
    states = {one.what: one.state for one in check(opened).findings}
    assert (states["data set"], states["test list"]) == ("proven", "proven")
    digest, before = tables(exchanged), honest.sha256
    for name in ("01_data", "03_training", "04_conversion", "05_accuracy"):
        change(f"record/{name}.json", lambda data: json.loads(json.dumps(data).replace(before, digest)))
    assert "test list" in refuted(check(opened))


def test_another_number_of_frames(opened: Path, tables: Callable[..., str]) -> None:
    tables(lambda items: items.assign(frames=items.frames + 8), "items")
    assert {"index", "samples"} <= refuted(check(opened))


def test_another_split(opened: Path, tables: Callable[..., str]) -> None:
    swapped = {"train": "test", "test": "train"}
    tables(lambda items: items.assign(subset=items.subset.map(swapped)), "items")
    assert {"index", "samples", "scores"} <= refuted(check(opened))


def test_the_predictions_of_a_format_left_out(opened: Path, relist: Relist) -> None:
    (opened / "predictions" / "slow" / "OM.npz").unlink()
    relist()
    assert {"scores", "formats"} <= refuted(check(opened))


# --- what only agrees: records, logs, tools ---


def at(*keys: Any, value: Any) -> Callable[[Any], None]:
    """An edit that sets one value."""

    def edit(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value(data[keys[-1]]) if callable(value) else value

    return edit


def line(number: int, **values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda lines: lines[number].update(values)


RESULTS: tuple[tuple[str, str, Callable[[Any], Any], str], ...] = (
    ("accuracy", "05_accuracy",
     at("results", "scores", 0, "scores", 0, "value", value=lambda v: v + 0.001), "scores"),
    ("one more right", "05_accuracy",
     at("results", "scores", 5, "scores", 1, "correct", value=lambda v: v - 1), "scores"),
    ("agreement", "04_conversion", at("results", "streams", "fast", "formats", 3, "agreement", value=0.999), "formats"),
    ("difference", "04_conversion", at("results", "fused", 3, "max_abs_difference", value=1e-5), "formats"),
    ("protocol", "05_accuracy", at("results", "protocols", "fast", value="ten crops of 30 clips"), "protocol"),
    ("aim", "05_accuracy", at("results", "published", value={"fast": ["i3d.port.ucf101.rgb"]}), "published figures"),
    ("recipe", "05_accuracy", at("stage", "recipe_sections", "sampling", value="0" * 64), "recipe"),
    ("checkpoint", "04_conversion", at("stage", "rests_on", "fast.checkpoint", value="9" * 64), "model"),
    ("other samples", "04_conversion", at("stage", "rests_on", "slow.samples", value="9" * 64), "model"),
    ("throughput", "04_conversion",
     at("results", "streams", "fast", "throughput", 0, "clips_per_second", value=5000.0), "throughput"),
    ("epochs", "03_training", at("results", "runs", 0, "epochs", value=30), "trainings"),
    ("loss", "03_training", at("results", "runs", 1, "loss", value=0.01), "trainings"),
    ("seconds", "03_training", at("results", "runs", 1, "seconds", value=1.0), "trainings"),
    ("another seed", "03_training", at("results", "runs", 1, "seed", value=7), "trainings"),
    ("initial weights", "03_training",
     at("results", "runs", 2, "rests_on", "weights", value="9" * 64), "initial weights"),
    ("another index", "03_training", at("results", "runs", 0, "rests_on", "index", value="9" * 64), "trainings"),
    ("frames", "01_data", at("results", "sets", "tiny", "frames", value=lambda v: v + 1), "index"),
)  # fmt: skip


@pytest.mark.parametrize(("stage", "edit", "what"), [row[1:] for row in RESULTS], ids=[row[0] for row in RESULTS])
def test_an_edited_record(opened: Path, change: Change, stage: str, edit: Callable[[Any], Any], what: str) -> None:
    change(f"record/{stage}.json", edit)
    assert what in refuted(check(opened))


LOGS: tuple[tuple[str, Callable[[list[dict[str, Any]]], Any]], ...] = (
    ("an epoch is lacking", lambda lines: lines.pop(1)),
    ("another loss", line(2, loss=0.001)),
    ("another rate", line(0, lr=0.5)),
    ("no time", line(1, seconds=0)),
    ("another time", line(1, seconds=900.0)),
)


@pytest.mark.parametrize("edit", [edit for _, edit in LOGS], ids=[name for name, _ in LOGS])
def test_an_edited_log(opened: Path, relist: Relist, edit: Callable[[list[dict[str, Any]]], Any]) -> None:
    path = opened / "training" / "fast" / "clip-seed2.jsonl"
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    edit(lines)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    relist()
    assert "trainings" in refuted(check(opened))


def test_a_copied_log(opened: Path, change: Change) -> None:
    """The record is made to fit; the losses of two trainings still never agree."""
    folder = opened / "training" / "slow"
    (folder / "clip-seed2.jsonl").write_text((folder / "clip-seed1.jsonl").read_text())

    def fit(data: Any) -> None:
        runs = [row for row in data["results"]["runs"] if row["stream"] == "slow" and row["run"] == "clip"]
        runs[1].update(loss=runs[0]["loss"], seconds=runs[0]["seconds"])

    change("record/03_training.json", fit)
    (found,) = [one for one in check(opened).findings if one.state == "refuted"]
    assert found.what == "trainings"
    assert "one log is a copy" in found.detail


def test_a_training_too_fast_for_any_device(opened: Path, change: Change) -> None:
    change(
        "record/03_training.json", lambda data: [row.update(macs=10**15) for row in data["results"]["runs"]] and None
    )
    assert "speed of training" in refuted(check(opened))


def test_a_console_of_another_run(opened: Path, relist: Relist) -> None:
    path = opened / "conversion" / "fast" / "OM" / "console.log"
    path.write_text(path.read_text().replace("1250.0", "2500.0"))
    relist()
    assert "times of the tools" in refuted(check(opened))


@pytest.mark.parametrize("key", ["batches_sha256", "model_sha256"])
def test_results_of_other_batches_or_another_model(opened: Path, change: Change, key: str) -> None:
    change("conversion/fast/ONNX/results.json", at(key, value="9" * 64))
    assert "results" in refuted(check(opened))


# --- whose it is ---


def test_a_file_that_is_not_the_one_listed(opened: Path) -> None:
    (opened / "README.txt").write_text("other words")
    assert refuted(check(opened)) == {"files"}


def test_another_chapter(opened: Path, change: Change) -> None:
    change("evidence.json", at("recipe", value="other"))
    assert "recipe" in refuted(check(opened))


def test_packed_before_it_was_finished(opened: Path, change: Change) -> None:
    change("evidence.json", at("packed", value="2020-01-01"))
    assert "dates" in refuted(check(opened))


def test_a_recipe_changed_after_the_run(opened: Path, relist: Relist) -> None:
    path = opened / "recipe.yaml"
    path.write_text(path.read_text().replace("window: 8", "window: 6"))
    relist()
    assert {"recipe", "samples"} <= refuted(check(opened))


def test_a_pack_from_before_the_book_knew_a_setting_still_holds(opened: Path, change: Change) -> None:
    path = opened / "recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    del recipe["export"]["keep_batches"]
    path.write_text(yaml.safe_dump(recipe))
    digest = sha256_json({"export": recipe["export"]})
    for stage in [stage for stage, sections in check_data.RAN_WITH.items() if "export" in sections]:
        change(f"record/{stage}.json", at("stage", "recipe_sections", "export", value=digest))
    assert check(opened).holds
    change("record/04_conversion.json", at("stage", "recipe_sections", "export", value="0" * 64))
    assert refuted(check(opened)) == {"recipe"}


def test_a_data_set_that_is_not_the_one_of_that_name(opened: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    book = tiny.manifest.model_copy(update={"classes": ("Walking", "MoonWalk")})
    monkeypatch.setattr(check_data, "load_dataset", lambda name: book)
    assert "data set" in refuted(check(opened))


def test_words_of_a_stranger_have_no_power_over_a_terminal_or_a_page(opened: Path, change: Change) -> None:
    evil = "\x1b[31mred\x07\n| **proven** |" + "x" * 5000
    change("record/05_accuracy.json", at("results", "protocols", "fast", value=evil))
    found = check(opened)
    (one,) = [one for one in found.findings if one.state == "refuted"]
    assert one.detail.isprintable()
    assert len(one.detail) < 1100
    rows = [line for line in report(found).splitlines() if line.startswith("| ")]
    assert len(rows) == len(found.findings) + 2  # the head, and the line below it


@pytest.mark.parametrize("name", ["data_manifests/ucf101.yaml", "/etc/passwd.yaml", "../ucf101.yaml"])
def test_a_manifest_by_a_path_is_not_read_from_this_machine(
    opened: Path, change: Change, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_training, "load_weights", lambda path: pytest.fail(f"{path} was read"))
    path = opened / "recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["training"]["runs"][1]["overrides"] = {"weights": {"manifest": name, "file": "x.pth"}}
    path.write_text(yaml.safe_dump(recipe))
    change("evidence.json", lambda data: data)
    states = {one.what: one.state for one in check(opened).findings}
    assert states["initial weights, fast: short"] == "believed"


def test_stage_05_may_pool_otherwise_than_stage_04_did(opened: Path, change: Change) -> None:
    """As somebody does who tries another evaluation on a finished workspace; the rest of stage 04 is still checked."""

    def other(data: Any) -> None:
        data["stage"]["recipe_sections"]["evaluation"] = "0" * 64
        data["results"]["streams"]["fast"]["formats"][0]["score"]["correct"] -= 1
        data["results"]["fused"][3]["max_abs_difference"] = 0.5  # streams that were fused by another rule

    change("record/04_conversion.json", other)
    found = check(opened)
    assert found.holds
    (formats,) = [one for one in found.findings if one.what == "formats"]
    assert "but for the scores" in formats.detail
    change("record/04_conversion.json", at("results", "streams", "fast", "formats", 3, "agreement", value=0.999))
    assert refuted(check(opened)) == {"formats"}
