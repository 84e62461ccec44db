"""The trainings of a recipe: every run and seed in a folder of its own, named by what decides the result."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import nn

from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.manifest import load_weights
from actionbook.core.transforms import Transforms
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.index import Index, write_index
from actionbook.models import create_model
from actionbook.training.runs import (
    finished_run,
    initial_network,
    run_folder,
    runs_of_same_clips,
    train_runs,
    trained_network,
)
from actionbook.weights import export_state, write_safetensors

Open = Callable[..., Stage]


def values(network: nn.Cell) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def folder_of(stage: Stage, run: str | None = None, seed: int = 1) -> str:
    """Name of the folder of a run, by default of the main one."""
    chosen = next(r for r in stage.recipe.training.runs if r.name == (run or stage.recipe.main_run.name))
    return run_folder(stage.for_run(chosen), seed).name


def code(name: str) -> Callable[..., str]:
    """What stands for the digest of the library's code in these tests."""
    return lambda *_: name * 64


def test_folders_are_named_by_run_seed_inputs_and_code(tiny_stage: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "code_sha256", code("e"))
    plain, other = folder_of(tiny_stage()), folder_of(tiny_stage(), seed=2)
    assert plain.startswith("clip-seed1-")
    assert other.startswith("clip-seed2-")
    assert plain.endswith("-eeeeeeee")
    assert len(plain.split("-")[2]) == 12


def test_folders_of_another_library_are_left_alone_unless_asked_for(
    tiny_stage: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    older = folder_of(tiny_stage())
    (tiny_stage().folder / "training" / older).mkdir(parents=True)
    monkeypatch.setattr(runtime, "code_sha256", code("f"))
    with caplog.at_level(logging.WARNING):
        newer = folder_of(tiny_stage())
    assert newer.endswith("-ffffffff")
    assert f"{older} was trained by another version of the library" in caplog.text
    assert folder_of(tiny_stage(training={"any_library": True})) == older


def test_the_seed_of_a_run_decides_its_network(tiny_stage: Open) -> None:
    stage = tiny_stage()
    heads = [initial_network(stage, seed).fc.weight.asnumpy() for seed in (1, 1, 2)]
    assert heads[0].shape == (2, 32)
    assert (heads[0] == heads[1]).all()
    assert (heads[0] != heads[2]).any()


def test_a_network_for_flow_takes_two_channels(tiny_stage: Open) -> None:
    flow = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}
    stage = tiny_stage(model={"name": "i3d", "options": {"width": 0.0625}}, transforms=flow)
    assert next(initial_network(stage, 1).get_parameters()).shape == (4, 2, 7, 7, 7)


def test_every_run_with_every_seed(tiny_stage: Open, tmp_path: Path) -> None:
    other = {"data": {"manifest": str(tmp_path / "other.yaml")}}
    runs = [
        {"name": "clip", "seeds": [1, 2]},
        {"name": "short", "seeds": [3], "overrides": {"sampling": {"frames": 2}}},
        {"name": "more", "seeds": [4], "overrides": other},
    ]
    # No epochs: the order of runs, folders and recipes is looked at, not the training.
    stage = tiny_stage(training={"runs": runs})
    other_set = dataset_of(stage.for_run(stage.recipe.training.runs[2]))
    index = other_set.index()
    write_index(index.with_items(index.items.iloc[:12]), other_set.index_file)
    asked: list[tuple[Stage, int]] = []

    def validation(own: Stage, index: Index) -> Any:
        asked.append((own, len(index)))
        return lambda _: {}

    found = list(train_runs(stage, validation))
    assert [(run.run, run.seed) for run in found] == [("clip", 1), ("clip", 2), ("short", 3), ("more", 4)]
    assert [run.stage.recipe.sampling.frames for run in found] == [4, 4, 2, 4]
    assert [run.stage.manifest.name for run in found] == ["tiny", "tiny", "tiny", "other"]
    stores = [dataset_of(run.stage).store("rgb").name for run in found]
    assert stores == ["tiny-h32-q95"] * 3 + ["other-h32-q95"]
    assert [len(run.index) for run in found] == [20, 20, 20, 12]
    assert [run.network.fc.weight.shape[0] for run in found] == [2, 2, 2, 3]
    assert [(own.recipe, size) for own, size in asked] == [(run.stage.recipe, len(run.index)) for run in found]
    assert len({run.folder for run in found}) == 4
    assert all(run.folder.parent == stage.folder / "training" for run in found)
    assert all((run.folder / "done.json").is_file() for run in found)
    assert [json.loads((run.folder / "rests_on.json").read_text()) for run in found] == [run.rests_on for run in found]


def test_a_data_set_that_is_not_prepared(tiny_stage: Open) -> None:
    stage = tiny_stage()
    for path in stage.workspace.glob("index-tiny-1-*.csv"):
        path.unlink()
    with pytest.raises(BookError, match=r"index-tiny-1-items\.csv: is not a readable index .*run notebook 01_data"):
        next(train_runs(stage))


def two_runs(other: Path, **pretrain: Any) -> list[dict[str, Any]]:
    """Pretraining on the other data set, and what goes on from there, without training further."""
    first = {"name": "pretrain", "seeds": [5, 6], "overrides": {"data": {"manifest": str(other)}}} | pretrain
    overrides = {"weights": {"run": "pretrain", "skip": ["classifier"]}, "training": {"epochs": 0}}
    return [first, {"name": "finetune", "seeds": [1], "overrides": overrides}]


def test_a_run_begins_with_what_an_earlier_one_has_learned(
    tiny_stage: Open, tiny_model: dict[str, Any], tmp_path: Path
) -> None:
    runs = two_runs(tmp_path / "other.yaml")
    stage = tiny_stage(**tiny_model | {"training": {"epochs": 1, "runs": runs, "result": "finetune"}})
    found = {(run.run, run.seed): (values(run.network), run) for run in train_runs(stage)}
    assert list(found) == [("pretrain", 5), ("pretrain", 6), ("finetune", 1)]
    learned, second, (start, finetune) = found["pretrain", 5][0], found["pretrain", 6][0], found["finetune", 1]
    assert len(finetune.log) == 0
    fresh = values(create_model("tiny", num_classes=2, seed=1))
    head = {name for name in fresh if name.startswith("classifier")}
    assert head == {"classifier.0.mask_key", "classifier.1.weight", "classifier.1.bias"}
    assert_same(start, {name: fresh[name] if name in head else learned[name] for name in fresh})
    # The first seed's, after training, running statistics too; and nothing else would have passed.
    untrained = values(create_model("tiny", num_classes=3, seed=5))
    for name in fresh.keys() - head:
        assert (start[name] != second[name]).any(), name
        assert (start[name] != untrained[name]).any(), name
    assert learned["classifier.1.weight"].shape == (3, 4)
    # Found again: the result by default, any other by name, each with its own number of classes.
    assert finished_run(stage) == finetune.folder
    assert finished_run(stage, "pretrain") == found["pretrain", 5][1].folder
    assert_same(values(trained_network(stage)), start)
    assert_same(values(trained_network(stage, "pretrain")), learned)


def test_boxes_begin_with_what_clips_of_one_class_have_taught(tiny_stage: Open, tmp_path: Path) -> None:
    narrow = {"depth": 14, "width": 0.0625, "beta_inv": 4, "zero_init": False}
    pathways = {"pathways": {"slow": 2, "fast": 1}}
    boxes = {
        "task": {"name": "detection", "boxes": 3},
        "data": {"manifest": str(tmp_path / "other.yaml")},
        "sampling": {"name": "keyframe", "frames": 4, "stride": 1, **pathways},
        "model": {"options": {"task": "detection"}},
        "weights": {"run": "clips", "skip": ["head.projection"]},
    }
    model = {"name": "slowfast_r50", "options": narrow | {"alpha": 2, "task": "classification"}}
    runs = [{"name": "clips"}, {"name": "boxes", "seeds": [7], "overrides": boxes}]
    stage = tiny_stage(model=model, sampling={"name": "centre", "stride": 1, **pathways}, training={"runs": runs})
    clips = values(next(train_runs(stage)).network)
    network = values(initial_network(stage.for_run(stage.recipe.training.runs[1]), 7))
    head = {name for name in network if name.startswith("head")}
    assert {"head.projection.weight", "head.projection.bias"} <= head
    assert network.keys() == clips.keys()
    assert network["head.projection.weight"].shape[0] == 3  # its own classes, from its own seed
    body = network.keys() - head
    assert_same({name: network[name] for name in body}, {name: clips[name] for name in body})
    fresh = values(create_model("slowfast_r50", num_classes=3, seed=7, **narrow, alpha=2))
    assert any((fresh[name] != network[name]).any() for name in body)
    np.testing.assert_array_equal(network["head.projection.weight"], fresh["head.projection.weight"])


def test_a_run_whose_origin_is_not_trained(tiny_stage: Open, tiny_model: dict[str, Any], tmp_path: Path) -> None:
    stage = tiny_stage(**tiny_model | {"training": {"runs": two_runs(tmp_path / "other.yaml")}})
    with pytest.raises(BookError, match=r"pretrain-seed5-.*network\.ckpt: is not a readable checkpoint"):
        initial_network(stage.for_run(stage.recipe.training.runs[1]), 1)


def test_folders_change_with_what_a_run_starts_from(tiny_stage: Open, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"

    def folders(own: dict[str, Any] | None = None, **pretrain: Any) -> tuple[str, str, str]:
        runs = [
            *two_runs(other, **pretrain),
            {"name": "third", "overrides": {"weights": {"run": "finetune"}}},
            {"name": "scratch"},
        ]
        stage = tiny_stage(**{"training": {"runs": runs}} | (own or {}))
        return folder_of(stage, "finetune"), folder_of(stage, "third"), folder_of(stage, "scratch")

    plain = folders()
    data = {"manifest": str(other)}
    changed = [
        folders(seeds=[6, 5]),
        folders(overrides={"data": data, "training": {"lr": 0.5}}),
        folders(overrides={"data": data, "transforms": {"flip": 0.125}}),
        folders(overrides={"data": data, "model": {"options": {"width": 0.3}}}),
        folders(overrides={}),
    ]
    for position in (0, 1):  # what starts from it, and what starts from that
        assert len({plain[position], *(names[position] for names in changed)}) == 6
    assert {names[2] for names in (plain, *changed)} == {plain[2]}
    assert folders(seeds=[5]) == folders(seeds=[5, 7, 8]) == plain
    assert folders(overrides={"data": data, "evaluation": {"pool": "logit_mean"}}) == plain


def test_folders_change_with_the_data_that_a_run_starts_from(tiny_stage: Open, tmp_path: Path) -> None:
    stage = tiny_stage(training={"runs": [*two_runs(tmp_path / "other.yaml"), {"name": "scratch"}]})
    names = [folder_of(stage, run) for run in ("finetune", "scratch")]
    earlier = dataset_of(stage.for_run(stage.recipe.training.runs[0]))
    index = earlier.index()
    write_index(index.with_items(index.items.iloc[1:]), earlier.index_file)
    assert folder_of(stage, "finetune") != names[0]
    assert folder_of(stage, "scratch") == names[1]


def test_an_older_librarys_runs_are_gone_on_with_together(
    tiny_stage: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = two_runs(tmp_path / "other.yaml")
    stage = tiny_stage(training={"runs": runs})
    older = [folder_of(stage, "pretrain", 5), folder_of(stage, "finetune")]
    for name in older:
        (stage.folder / "training" / name).mkdir(parents=True)
    monkeypatch.setattr(runtime, "code_sha256", code("f"))
    assert folder_of(stage, "finetune") not in older
    going_on = tiny_stage(training={"runs": runs, "any_library": True})
    assert [folder_of(going_on, "pretrain", 5), folder_of(going_on, "finetune")] == older


def test_seeds_that_share_a_compiled_step_train_as_if_alone(tiny_stage: Open, tiny_model: dict[str, Any]) -> None:
    def trained(work: str, seeds: list[int]) -> dict[int, dict[str, np.ndarray]]:
        runs = [{"name": "clip", "seeds": seeds}]
        stage = tiny_stage(work, **tiny_model | {"training": {"epochs": 1, "runs": runs, "dampening": 0.0}})
        return {run.seed: values(run.network) for run in train_runs(stage)}

    together, alone = trained("together", [1, 2, 3]), trained("alone", [3])
    assert_same(together[3], alone[3])
    assert (together[1]["classifier.1.weight"] != together[2]["classifier.1.weight"]).any()


def test_a_run_warns_of_random_layers_and_of_items_without_frames(
    tiny_stage: Open, tiny_model: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = two_runs(tmp_path / "other.yaml")
    stage = tiny_stage(**tiny_model | {"training": {"epochs": 1, "runs": runs}})
    own = dataset_of(stage.for_run(stage.recipe.training.runs[0]))
    index = own.index()
    first = index.items["item"] == index.subset("train").items["item"].iloc[0]
    write_index(Index(index.items.assign(frames=index.items.frames.where(~first, 0)), index.labels), own.index_file)
    with caplog.at_level(logging.WARNING):
        list(train_runs(stage))
    skip = ", ".join(runs[1]["overrides"]["weights"]["skip"])
    assert [record.message for record in caplog.records] == [
        "pretrain: 1 of 6 training items have no frames and are left out (01_data)",
        f"finetune: {skip}: random values, as weights.skip loads none and training.epochs is 0; "
        "its scores mean nothing",
    ]


def test_weights_of_a_file_that_is_missing(tiny_stage: Open, tiny: Any) -> None:
    weights = {"manifest": "weights_efficient3d", "file": "kinetics_mobilenetv2_1.0x_RGB_16_best.pth"}
    stage = tiny_stage(weights=weights)
    with pytest.raises(BookError) as caught:
        initial_network(stage, 1)
    assert str(caught.value).startswith(f"{tiny.root / 'weights' / weights['file']}: is missing")


def test_a_network_from_two_files_that_each_fill_a_part(tiny_stage: Open, tiny: Any, tmp_path: Path) -> None:
    """As ECO begins on Kinetics: BN-Inception and a 3-D ResNet-18."""
    shutil.copytree(tiny.root, tmp_path / "data")
    options = {"width": 0.06}
    made = export_state(create_model("eco_lite", num_classes=2, **options, seed=7), "eco_lite_pytorch")
    parts = {"flat.safetensors": "bn_inception", "deep.safetensors": "eco_c3d"}
    flat = {name.removeprefix("base_model."): a for name, a in made.items() if "res" not in name and "fc" not in name}
    deep = {name: array for name, array in made.items() if "base_model.res" in name}
    for name, state in zip(parts, (flat, deep), strict=True):
        write_safetensors(tmp_path / "data" / "weights" / name, state)
    entry = load_weights("weights_eco").file("C3DResNet18_rgb_16F_kinetics_v1.pth.tar").model_dump(mode="json")
    needed = {**entry["transform"], "mean": list(Transforms().mean)}
    entry |= {"transform": needed}
    files = [{**entry, "id": layout, "name": name, "layout": layout} for name, layout in parts.items()]
    head = {"kind": "weights", "name": "own", "title": "Own", "licence": "none", "homepage": "nowhere"}
    (tmp_path / "own.yaml").write_text(json.dumps({**head, "files": files}))

    def stage(*names: str, **changes: Any) -> Stage:
        weights = {"manifest": str(tmp_path / "own.yaml"), "file": names[0], "also": names[1:]}
        model = {"name": "eco_lite", "options": options}
        return tiny_stage(weights=weights, model=model, root=tmp_path / "data", **changes)

    found = export_state(initial_network(stage(*parts), 1), "eco_lite_pytorch")
    fresh = export_state(initial_network(stage("flat.safetensors"), 1), "eco_lite_pytorch")
    for name, array in made.items():
        expected = fresh[name] if name.startswith("new_fc") else array
        np.testing.assert_array_equal(found[name], expected)
        assert (fresh[name] == array).all() or "res" in name or "new_fc" in name
    folders = {folder_of(stage(*names)) for names in (parts, ["flat.safetensors"], reversed(list(parts)))}
    assert len(folders) == 3  # which files, and in which order, is content
    with pytest.raises(BookError, match=r"transforms\.mean is \[104\.0.*flat\.safetensors was trained with \[114\.7"):
        initial_network(stage(*parts, transforms={"mean": [104.0, 117.0, 128.0]}), 1)
    (tmp_path / "data" / "weights" / "deep.safetensors").unlink()
    with pytest.raises(BookError, match=r"deep\.safetensors: is missing"):
        initial_network(stage(*parts), 1)


def test_runs_that_one_set_of_test_batches_serves(tiny_stage: Open, tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {
        "clip": {},
        "wide": {"model": {"options": {"width": 0.5}}},
        "short": {"sampling": {"frames": 2}},
        "small": {"transforms": {"size": 32}},
        "other": {"data": {"manifest": str(tmp_path / "other.yaml")}},
        "split": {"data": {"split": 2}},
        "centre": {"sampling": {"name": "centre"}},
        "pooled": {"evaluation": {"pool": "logit_mean"}},
        "fast": {"training": {"lr": 0.5}},
    }
    runs = [{"name": name, "overrides": overrides} for name, overrides in changes.items()]
    assert runs_of_same_clips(tiny_stage(training={"runs": runs}).recipe) == ["clip", "wide", "fast"]
