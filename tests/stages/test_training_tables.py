"""The tables that a reader sees before a training: every setting and every change that a recipe names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.schema import read_yaml
from actionbook.core.stage_results import TrainingRow
from actionbook.core.workspace import Stage
from actionbook.stages.training import Trainings, better_claims, head_start_claims
from actionbook.stages.training_tables import class_scores, runs_table, settings_table


def stage(chapter: str, tmp_path: Path, **options: Any) -> Stage:
    return Stage.open(chapter, "03_training", work_root=tmp_path, **options)


def test_settings_of_one_stream(tmp_path: Path) -> None:
    overrides = {"training": {"batch_size": 16, "reference_batch": 32, "lr": 0.2}}
    table = settings_table(stage("efficient3d", tmp_path, devices=8, overrides=overrides)).set_index("setting").value
    assert table["lr_steps"] == "8, 9"
    assert table["dampening"] == "0.9"  # also what the recipe leaves at its default
    assert not {"trainable", "hang_minutes"} & set(table.index)  # nothing is frozen; no matter of the result
    assert (table["devices"], table["clips a step on each device"], table["rate after warm-up"]) == ("8", "2", "0.1")


def test_settings_that_are_switched_off_are_left_out(tmp_path: Path) -> None:
    off = {"nesterov", "clip_norm", "accumulate", "clips at once", "plateau", "norms"}
    assert not off & set(settings_table(stage("efficient3d", tmp_path)).setting)
    training = {
        "batch_size": 32, "accumulate": 2, "nesterov": True, "dampening": 0.0, "clip_norm": 40.0,
        "plateau": {"patience": 5}, "norms": "frozen_but_first",
        "groups": [{"kind": "norms", "weight_decay": 0.0}, {"kind": "named", "prefixes": ["fc"], "lr_factor": 2.0}],
    }  # fmt: skip
    found = settings_table(stage("efficient3d", tmp_path / "on", devices=4, overrides={"training": training}))
    table = found.set_index("setting").value
    assert table[["nesterov", "clip_norm", "accumulate", "norms"]].tolist() == ["True", "40", "2", "frozen_but_first"]
    assert table.plateau == "factor 0.1 patience 5"
    assert table["groups"] == "kind norms weight_decay 0 lr_factor 1, kind named prefixes fc lr_factor 2"
    assert table[["clips a step on each device", "clips at once"]].tolist() == ["8", "4"]


def test_settings_of_two_streams_that_differ(tmp_path: Path) -> None:
    table = settings_table(stage("i3d", tmp_path, recipe="hmdb51")).set_index("setting")
    assert list(table.columns) == ["rgb", "flow"]
    assert table.loc["epochs"].tolist() == ["40", "60"]
    assert table.loc["lr_restarts"].fillna("").tolist() == ["", "45, 0.00025"]
    assert "dampening" not in table.index  # Adam has none
    assert table.loc["trainable"].tolist() == ["Mixed_5, logits"] * 2


def test_runs_say_all_that_they_change(tmp_path: Path) -> None:
    table = runs_table(stage("efficient3d", tmp_path)).set_index("run")
    assert table.seeds["clip"] == "1, 2, 3"
    assert table["what it changes"]["clip"] == "nothing"
    assert table["what it changes"]["one_frame"] == "sampling.frames: 1; sampling.stride: 1; sampling.window: 1"


def test_runs_that_all_streams_have_are_named_once(tmp_path: Path) -> None:
    table = runs_table(stage("i3d", tmp_path))
    assert table.run.tolist() == ["pretrain", "finetune", "scratch"]
    assert table["what it changes"][1] == "weights.run: pretrain; weights.skip: logits"


def test_runs_of_streams_that_differ(tmp_path: Path) -> None:
    overrides = {"streams": {"flow": {"training": {"runs": [{"name": "scratch", "seeds": [7]}], "result": "scratch"}}}}
    table = runs_table(stage("i3d", tmp_path, overrides=overrides))
    assert table[["stream", "run"]].to_numpy().tolist() == [
        ["rgb", "pretrain"], ["rgb", "finetune"], ["rgb", "scratch"], ["flow", "scratch"],
    ]  # fmt: skip


def rows_of(*trainings: tuple[str, int, int]) -> tuple[TrainingRow, ...]:
    """Trainings of run, seed, and how many of ten videos are right; of class a all, of class b as many."""
    documents = read_yaml(Path(__file__).parents[1] / "core" / "data" / "documents.yaml")
    one = documents["results of 03_training"]["runs"][0]
    score = {"metric": "top1", "evaluated": 10, "expected": 10, "missing_sha256": None}
    return tuple(
        TrainingRow(**{
            **one, "run": run, "seed": seed, "seconds": 2.0 * seed, "loss": 0.5, "further": [],
            "score": {**score, "value": right / 10, "correct": right, "parts": {"a": 1.0, "b": right / 10}},
        })
        for run, seed, right in trainings
    )  # fmt: skip


def test_one_row_a_run_however_many_seeds(tmp_path: Path) -> None:
    rows = rows_of(("clip", 1, 6), ("clip", 2, 7), ("clip", 3, 8), ("frame", 1, 5))
    table = Trainings(stage("efficient3d", tmp_path), rows, {}, {}).by_run.set_index("run")
    assert table.seeds.to_dict() == {"clip": 3, "frame": 1}
    assert table["top-1"].to_dict() == {"clip": "0.700\u00a0±\u00a00.100", "frame": "0.500"}
    assert table.seconds["clip"] == pytest.approx(4.0)
    assert not {"stream", "data"} & set(table.columns)  # the same for all
    untrained = tuple(row.model_copy(update={"loss": None, "data_wait": None}) for row in rows)
    assert Trainings(stage("efficient3d", tmp_path), untrained, {}, {}).by_run.loss.isna().all()


def test_a_run_with_another_task_has_a_column_of_its_own(tmp_path: Path) -> None:
    (boxes,) = rows_of(("boxes", 1, 4))
    scores = {"metric": "mAP", "correct": None}
    boxes = boxes.model_copy(update={"score": boxes.score.model_copy(update=scores), "data": "other"})
    trainings = Trainings(stage("efficient3d", tmp_path), (*rows_of(("clip", 1, 6), ("clip", 2, 8)), boxes), {}, {})
    table = trainings.by_run.set_index("run")
    assert table["top-1"].to_dict() == {"clip": "0.700\u00a0±\u00a00.141", "boxes": ""}
    assert table.mAP.to_dict() == {"clip": "", "boxes": "0.400"}
    assert class_scores(trainings).columns.tolist() == ["clip"]
    assert (trainings.metric, trainings.spread.index.tolist()) == ("top1", ["clip"])


def logs_of(losses: dict[tuple[str, int], list[float]], **columns: list[float]) -> dict[str, pd.DataFrame]:
    return {
        f"{run}, seed {seed}": pd.DataFrame({"epoch": range(1, len(loss) + 1), "loss": loss} | columns)
        for (run, seed), loss in losses.items()
    }


def test_a_head_start_is_a_lower_loss_of_the_first_epoch(tmp_path: Path) -> None:
    rows = rows_of(("fresh", 1, 5), ("fresh", 2, 6), ("tuned", 1, 5), ("tuned", 2, 6), ("once", 1, 1))
    losses = {
        ("fresh", 1): [1.5, 0.5, 0.1], ("fresh", 2): [1.4, 0.5, 0.1],
        ("tuned", 1): [1.0, 0.7], ("tuned", 2): [1.1, 0.7], ("once", 1): [9.0, 9.0, 9.0],
    }  # fmt: skip
    trainings = Trainings(stage("efficient3d", tmp_path), rows, logs_of(losses), {})
    after = trainings.after(3)
    assert after.run.tolist() == ["fresh", "fresh", "once"]  # the others have not come so far
    assert after.value.isna().all()  # nothing was validated
    assert head_start_claims(trainings, "tuned", "once", "no spread") == ()
    assert head_start_claims(trainings, "gone", "fresh", "no run") == ()
    (claim,) = head_start_claims(trainings, "tuned", "fresh", "it helps")
    said = "1.050 against 1.450, training loss of the first epoch, means of seeds; standard error 0.071"
    assert (claim.claim, claim.holds, claim.shown) == ("it helps", True, said)
    (claim,) = head_start_claims(trainings, "fresh", "tuned", "the other way round")
    assert not claim.holds


def test_what_a_log_says_of_an_epoch(tmp_path: Path) -> None:
    rows = rows_of(("clip", 1, 5), ("clip", 2, 6))
    logs = logs_of({("clip", 1): [2.0, 1.0], ("clip", 2): [3.0, 2.0]}, centre_clip_top1=[np.nan, 0.5])
    trainings = Trainings(stage("efficient3d", tmp_path), rows, logs, {})
    assert trainings.after(2).to_numpy().tolist() == [["clip", 1, 1.0, 0.5], ["clip", 2, 2.0, 0.5]]


def test_scores_of_classes_are_means_of_the_seeds(tmp_path: Path) -> None:
    rows = rows_of(("clip", 1, 6), ("clip", 2, 7), ("frame", 1, 5))
    table = class_scores(Trainings(stage("efficient3d", tmp_path), rows, {}, {}))
    assert table.index.tolist() == ["a", "b"]
    assert table.columns.tolist() == ["clip", "frame"]
    assert table.loc["b"].tolist() == pytest.approx([0.65, 0.5])


def test_one_run_is_better_where_its_seeds_do_not_say_otherwise(tmp_path: Path) -> None:
    rows = rows_of(("clip", 1, 8), ("clip", 2, 9), ("frame", 1, 5), ("frame", 2, 6), ("odd", 1, 4), ("odd", 2, 9))
    trainings = Trainings(stage("efficient3d", tmp_path), (*rows, *rows_of(("once", 1, 1))), {}, {})
    than = {"frame": "better than a frame", "odd": "better than the odd one", "once": "no spread", "gone": "no run"}
    frame, odd = better_claims(trainings, "clip", than)
    assert (frame.claim, frame.holds) == ("better than a frame", True)
    assert frame.shown == "0.850 against 0.550, means of seeds; standard error 0.071"
    assert (odd.claim, odd.holds) == ("better than the odd one", False)  # 0.2 apart, and 0.25 uncertain
    assert better_claims(trainings, "once", than) == ()
