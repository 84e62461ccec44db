"""The doctor before faulty recipes and data sets: each fault is a row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actionbook.core.keyframes import Cut
from actionbook.core.manifest import load_weights
from actionbook.core.sections import Frames
from actionbook.core.stage_results import TrainingResults
from actionbook.core.workspace import Stage
from actionbook.doctor import doctor, machine, recipes

WEIGHTS = Path(__file__).parents[1] / "weights" / "data"
FLOW = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}


def test_a_recipe_with_all_in_place(examine: Callable[..., Any], tiny_stage: Callable[..., Stage]) -> None:
    rows, stage = examine(), tiny_stage()
    assert not [row for row in rows if row.status == "problem"]
    assert [row.message for row in rows.section("data")][:2] == [
        f"lists in {stage.data_root} agree with the manifest: 2 classes, 20 videos",
        "all 20 videos are there",
    ]
    rows.row("tiny split 1", "ok", "4 videos tried decode")
    stage.finish(TrainingResults(runs=(), models={}))
    rows = examine()
    rows.row("03_training", "ok", "with this recipe and library")
    rows.row("frames", "ok", "holds all 20 videos of the index")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("mini", "expected <chapter>/<name>, one of "),
        ("efficient3d/minni", "chapter efficient3d has: mini"),
        ("gone.yaml", "gone.yaml: cannot be read"),
        ("", "expected <chapter>/<name>"),
    ],
)
def test_recipes_that_do_not_exist(recipe: str, message: str, tmp_path: Path, table: Any) -> None:
    rows = table(doctor(recipe, work_root=tmp_path))
    rows.row("recipe", "problem", message, "mend")
    assert not rows.section("data")


def test_a_mistake_in_a_recipe_and_a_split_that_is_not_there(
    examine: Callable[..., Any], tiny_stage: Callable[..., Stage], tmp_path: Path, table: Any
) -> None:
    message = "data.split is 9, but tiny has the splits 1, 2, 3"
    examine(data={"split": 9}).row("recipe", "problem", message, "one of them")
    tiny_stage()
    file = tmp_path / "recipe.yaml"
    file.write_text(file.read_text().replace('"epochs"', '"epoch"'))
    rows = table(doctor(str(file), work_root=tmp_path))
    rows.row("recipe", "problem", "unknown key 'training.epoch'; did you mean 'epochs'")


def test_advice_on_values_that_work(tiny_stage: Callable[..., Stage], table: Any) -> None:
    def advised(**differences: Any) -> set[str]:
        rows = table.of(recipes.advice, tiny_stage(**differences))
        assert all(row.status in ("ok", "warning") for row in rows)
        return {row.check for row in rows}

    assert advised() == {"advice"}
    assert advised(training={"epochs": 2, "warmup_epochs": 2}) == {"warm-up"}
    assert advised(training={"epochs": 2, "lr_steps": [40, 55]}) == {"advice"}
    assert advised(sampling={"window": 2}) == {"windows"}
    assert advised(sampling={"name": "segments", "frames": 8}) == {"advice"}
    assert advised(transforms={"size": 48}) == {"size"}
    kept = {"height": 32, "side": "short"}
    assert advised(transforms={"size": 32, "box": [43, 32]}, data={"frames": kept}) == {"box"}
    assert advised(transforms={"size": 32, "box": [48, 36]}, data={"frames": kept}) == {"advice"}
    assert advised(transforms={"size": 32, "box": [43, 32]}) == {"advice"}
    assert advised(training={"loss_scale": 8.0}) == {"loss scale"}
    assert advised(training={"epochs": 1, "amp_level": "O2"}) == {"loss scale"}


def test_layers_that_nothing_is_loaded_into_and_nothing_trains(tiny_stage: Callable[..., Stage], table: Any) -> None:
    def random_layers(*trainable: str, epochs: int = 0, skip: tuple[str, ...] = ("fc",)) -> str:
        weights = {"manifest": "weights_i3d", "file": "rgb_imagenet.pt", "skip": skip}
        stage = tiny_stage(weights=weights, training={"epochs": epochs, "trainable": trainable})
        rows = table.of(recipes.advice, stage)
        return next((row.message for row in rows if row.check == "random layers"), "")

    assert random_layers() == "fc: random values, as weights.skip loads none and training.epochs is 0"
    assert random_layers(skip=("layer4", "fc")).startswith("layer4, fc: random values")
    frozen = "fc: random values, as weights.skip loads none and training.trainable does not name them"
    assert random_layers("layer4", epochs=1) == frozen
    assert random_layers(skip=()) == random_layers(epochs=1) == random_layers("layer4", "fc.weight", epochs=1) == ""


def test_weight_files(
    examine: Callable[..., Any], tiny: Any, tiny_stage: Callable[..., Stage], tmp_path: Path, table: Any
) -> None:
    root = tmp_path / "data"
    root.symlink_to(tiny.root)
    weights = {"manifest": "weights_i3d", "file": "rgb_imagenet.pt"}
    examine(weights=weights).row("weights", "problem", "rgb_imagenet.pt is missing", "https://")
    examine(weights={**weights, "file": "none.pt"}).row("weights", "problem", "no weight file 'none.pt'; there are: ")
    source = load_weights("weights_i3d").file("rgb_imagenet.pt").model_dump(mode="json", exclude={"bytes"})
    head = {"kind": "weights", "name": "own", "title": "Own", "licence": "none", "homepage": "nowhere"}
    (tmp_path / "own.yaml").write_text(json.dumps({**head, "files": [source]}))
    folder = shutil.copytree(tiny.root, tmp_path / "copy") / "weights"
    folder.mkdir()
    path, own = folder / "rgb_imagenet.pt", {"manifest": str(tmp_path / "own.yaml"), "file": "rgb_imagenet.pt"}
    assert recipes.recipe_networks(tiny_stage(root=folder.parent, weights=own))[0]["weights"] == []
    shutil.copy(WEIGHTS / "cases" / "namespace_beside.pth", path)
    stage = tiny_stage(root=folder.parent, weights={**own, "skip": ["fc"]})
    table.of(recipes.weights, stage).row("weights", "ok", "PyTorch, under 'state_dict', 4 tensors, 3127 bytes")
    expected = {"path": str(path), "layout": "piergiaj", "skip": ["fc"]}
    assert recipes.recipe_networks(stage)[0]["weights"] == [expected]
    two = [source, {**source, "id": "second", "name": "3d.pt"}]
    (tmp_path / "own.yaml").write_text(json.dumps({**head, "files": two}))
    shutil.copy(path, folder / "3d.pt")
    second = tiny_stage(root=folder.parent, weights={**own, "skip": ["fc"], "also": ["3d.pt"]})
    of_both = [expected, {**expected, "path": str(folder / "3d.pt"), "skip": []}]
    assert recipes.recipe_networks(second)[0]["weights"] == of_both
    both = table.of(recipes.weights, tiny_stage(root=folder.parent, weights={**own, "also": ["none.pt"]}))
    both.row("weights", "ok", "4 tensors")
    both.row("it", "problem", "no weight file 'none.pt'")
    path.write_text("<html>")
    table.of(recipes.weights, stage).row("weights", "problem", "rgb_imagenet.pt: a web page", "mend")


@pytest.fixture
def copied(tiny: Any, tmp_path: Path) -> Path:
    """The tiny data set, to be damaged."""
    return Path(shutil.copytree(tiny.root, tmp_path / "copied"))


def test_missing_and_damaged_videos(examine: Callable[..., Any], copied: Path) -> None:
    name, videos = "tiny split 1", sorted((copied / "UCF-101").rglob("*.avi"))
    for path in videos[:2]:
        path.unlink()
    missing = examine(copied).row(name, "problem", "2 of 20 videos are missing: v_MoonWalk", "data.allow_missing")
    assert missing.message.endswith(". 18 video files lie there, none of them unlisted.")
    examine(copied, data={"allow_missing": True}).row(name, "warning", "2 of 20", "reproduction")
    for path in videos[2:]:
        path.write_bytes(b"RIFF")
    examine(copied).row(name, "problem", "4 of 4 videos tried do not decode", "fetch them")
    (copied / "ucfTrainTestlist" / "classInd.txt").write_text("1 Walking\n")
    examine(copied).row(f"{name}: videos", "problem", "is not the class list")
    shutil.rmtree(copied / "UCF-101")
    examine(copied).row(name, "problem", f"does not exist; {copied} holds ", "data_root")


def test_videos_that_are_only_named_otherwise_are_there(examine: Callable[..., Any], copied: Path) -> None:
    (copied / "UCF-101" / "MoonWalk").rename(copied / "UCF-101" / "moon_walk")
    examine(copied).row("tiny split 1", "ok", "all 20 videos are there")
    shutil.rmtree(copied / "UCF-101" / "moon_walk")
    rows = examine(copied, data={"allow_missing": True})
    row = rows.row("tiny split 1", "warning", "10 of 20 videos are missing", "every result will say so")
    assert "; no video at all of MoonWalk (train and test). 10 video files lie there" in row.message
    walk = sorted((copied / "UCF-101" / "Walking").iterdir())[0]
    shutil.copy(walk, walk.with_suffix(".mp4"))
    walk.rename(walk.with_suffix(".mkv"))
    rows = examine(copied, data={"allow_missing": True})  # unlike what is missing, this is never allowed
    message = f"Walking/{walk.stem} may be UCF-101/Walking/{walk.stem}.mkv or UCF-101/Walking/{walk.stem}.mp4"
    rows.row("tiny split 1", "problem", message, "remove or rename")


def test_streams_are_looked_at_one_by_one(tiny_stage: Callable[..., Stage], table: Any) -> None:
    streams = {"rgb": {"training": {"epochs": 1, "warmup_epochs": 3}}, "flow": {"transforms": FLOW}}
    stage = tiny_stage(streams=streams, training={"runs": [{"name": "a"}, {"name": "b"}]})
    found = recipes.recipe_networks(stage)
    assert [(one["run"], one["options"].get("in_channels")) for one in found] == [("rgb/a", None), ("flow/a", 2)]
    table.of(recipes.names, stage).row("recipe", "ok", "its runs: rgb/a, rgb/b, flow/a, flow/b")
    table.of(recipes.advice, stage).row("warm-up", "warning", "the rate rises for 3 epochs")


def test_disk_for_frames_of_a_cut_as_large_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manifest = SimpleNamespace(dataset="ava", generator=None, videos=2, keyframes=SimpleNamespace(cut=Cut(seconds=10)))
    own = SimpleNamespace(manifest=manifest, data=SimpleNamespace(frames=Frames(height=None)))
    monkeypatch.setattr(machine, "made_stores", lambda _: {tmp_path: own})
    frames = machine.disk_needed(cast(Stage, own)) - machine.BASE_DISK
    assert frames == pytest.approx(2 * 300 * 640 * 360 * machine.BYTES_PER_PIXEL)
    (tmp_path / "-5KQ66BBWC4.zip").write_bytes(b"")
    assert machine.disk_needed(cast(Stage, own)) - machine.BASE_DISK == pytest.approx(frames / 2, abs=1)


def test_memory_and_disk_grow_with_what_a_recipe_asks_for(tiny_stage: Callable[..., Stage]) -> None:
    def needed(**differences: Any) -> tuple[int, int]:
        stage = tiny_stage(**differences)
        return machine.memory_needed(stage), machine.disk_needed(stage)

    memory, disk = needed(training={"batch_size": 8, "epochs": 1})
    assert memory == machine.BASE_MEMORY + machine.BATCHES_AHEAD * 8 * 3 * 4 * 16 * 16 * 4
    assert needed(training={"batch_size": 8, "epochs": 1}, sampling={"test_frames": 8})[0] > memory
    assert needed(transforms={"size": 32})[0] > machine.memory_needed(tiny_stage())
    streams = {"rgb": {}, "flow": {"transforms": FLOW}}
    assert disk == machine.BASE_DISK  # all frames are there
    assert needed(streams=streams, data={"frames": {"height": 64}}) > (machine.BASE_MEMORY, machine.BASE_DISK)
