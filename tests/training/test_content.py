"""Trainings and predictions are named by the content of what decides them: other inputs never share a result, equal
ones do, wherever they lie."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mindspore import Tensor, nn

from actionbook import models
from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, sha256_json
from actionbook.core.paths import LIBRARY
from actionbook.core.transforms import Transforms
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of, store_path
from actionbook.datasets.figures.encode import write_avi
from actionbook.datasets.index import BOX, ITEMS, LABELS, Index, write_index
from actionbook.evaluation import predict
from actionbook.evaluation.predict import predict_share, predict_test
from actionbook.training.runs import finished_run, rests_on, run_folder, train_runs, trained_network
from actionbook.video.decode import read_frames
from actionbook.video.prepare import Job, already_prepared, prepare_video
from actionbook.video.store import unpacked

Open = Callable[..., Stage]
AVERAGES = {"model": {"name": "averages", "options": {}}}


class Averages(nn.Cell):
    """A dense layer on the mean colours of a clip: compiled in no time."""

    def __init__(self, classes: int = 2, seed: int = 0, width: float = 1.0) -> None:
        super().__init__()
        weight = np.random.default_rng(seed).standard_normal((classes, 3)).astype(np.float32)
        self.dense = nn.Dense(3, classes, weight_init=Tensor(weight * width), bias_init="zeros")

    def construct(self, clip: Tensor) -> Tensor:
        return self.dense(clip.mean((2, 3, 4)) / 100)


@pytest.fixture(autouse=True)
def averages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "averages", Averages)


def basis(stage: Stage, run: str | None = None, seed: int = 1) -> dict[str, Any]:
    """What a run rests on now, by default the main one."""
    chosen = next(r for r in stage.recipe.training.runs if r.name == (run or stage.recipe.main_run.name))
    own = stage.for_run(chosen)
    return rests_on(own, dataset_of(own).index(), seed)


def trained(stage: Stage) -> tuple[Path, np.ndarray]:
    """The folder of the only run, trained if it is not there, and the outputs of its network for the test set."""
    (run,) = train_runs(stage)
    return run.folder, predict_test(run.network, run.stage, run.index).outputs


def assert_other(found: tuple[Path, np.ndarray], expected: tuple[Path, np.ndarray]) -> None:
    assert found[0] != expected[0]
    assert np.abs(found[1] - expected[1]).max() > 1e-3


def assert_refused(stage: Stage) -> None:
    """Stages 04 and 05 do not take a training that rests on other inputs."""
    for use in (finished_run, trained_network):
        with pytest.raises(BookError, match=r"training does not exist.* run notebooks/tiny/03_training\.ipynb"):
            use(stage)


# --- what was seen to go wrong


def test_a_weight_file_replaced_by_another_under_the_same_name(
    tiny_stage: Open, write_torch: Any, tmp_path: Path
) -> None:
    root, manifest = tmp_path / "data", tmp_path / "weights_own.yaml"
    (root / "weights").mkdir(parents=True)

    def put(seed: int) -> Path:
        state = {p.name: p.asnumpy() for p in Averages(2, seed).get_parameters()}
        return write_torch(root / "weights" / "net.pth", state)

    def describe(path: Path, layout: str = "mindspore") -> None:
        clips = {"modality": "rgb", "size": 16, "frames": 4, "stride": 1, "mean": Transforms().mean, "std": [1.0] * 3}
        entry = {"id": "own", "name": path.name, "status": "single", "sha256": sha256_file(path), "network": "averages"}
        entry |= {"options": {"num_classes": 2}, "layout": layout, "transform": clips, "trained_on": {"data": "d"}}
        head = {"kind": "weights", "name": "own", "title": "Own", "licence": "none", "homepage": "h"}
        manifest.write_text(json.dumps({**head, "files": [entry]}), encoding="utf-8")

    def opened() -> Stage:
        return tiny_stage(root=root, **AVERAGES, weights={"manifest": str(manifest), "file": "net.pth"})

    describe(path := put(1))
    content = path.read_bytes()
    first = trained(opened())
    assert finished_run(opened()) == first[0]
    put(2)
    for use in (trained, finished_run, trained_network):  # the manifest still means the other one
        with pytest.raises(BookError, match=r"net\.pth: sha256 .*another or a damaged file"):
            use(opened())
    describe(put(2))
    assert_refused(opened())
    second = trained(opened())
    assert_other(second, first)
    assert (trained_network(opened()).dense.weight.asnumpy() == Averages(2, 2).dense.weight.asnumpy()).all()
    path.write_bytes(content)
    describe(path, "piergiaj")  # the same file, read in another way
    assert_refused(opened())
    describe(path)
    again = trained(opened())
    assert again[0] == first[0]
    np.testing.assert_array_equal(again[1], first[1])


def folder_of_frames(store: Path, folder: Path, change: Callable[[bytes], bytes] = lambda jpeg: jpeg) -> Path:
    """The frames of a store as files, as the original scripts lay them out."""
    for path in sorted(store.rglob("*.zip")):
        video = folder / path.relative_to(store).with_suffix("")
        video.mkdir(parents=True)
        for name, jpeg in unpacked(path).items():
            (video / name).write_bytes(change(jpeg))
    return folder


def black(jpeg: bytes) -> bytes:
    height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
    return bytes(simplejpeg.encode_jpeg(np.zeros((height, width, 3), np.uint8)))


def test_frames_folder_changed_to_another_folder_with_the_same_counts(
    tiny_stage: Open, prepared: Any, tmp_path: Path
) -> None:
    folders = [
        folder_of_frames(prepared.store, tmp_path / name, change)
        for name, change in (("jpg", lambda jpeg: jpeg), ("black", black))
    ]

    def opened(folder: Path) -> Stage:
        return tiny_stage(**AVERAGES, training={"epochs": 1}, data={"frames_folder": str(folder)})

    first = trained(opened(folders[0]))
    assert_refused(opened(folders[1]))
    assert_other(trained(opened(folders[1])), first)
    # The same folder with other files in it, of the same names and sizes, is another one, too.
    one = sorted(folders[0].rglob("*.jpg"))[0]
    jpeg = bytearray(one.read_bytes())
    jpeg[-20] ^= 1
    one.write_bytes(jpeg)
    assert_refused(opened(folders[0]))


def test_a_data_root_with_other_pixels_and_equal_names_prepared_anew(
    tiny: Any, tiny_stage: Open, prepared: Any, tmp_path: Path
) -> None:
    other, store = tmp_path / "other", tmp_path / "work" / "frames" / "tiny-h32-q95"
    items = prepared.index.items
    for path, count in zip(items.path, items.frames, strict=True):
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        frames = read_frames(tiny.root / path, range(count))
        write_avi(other / path, [255 - frame for frame in frames], width=64, height=48)
    shutil.copytree(prepared.store, store)

    def prepare(root: Path) -> int:
        """Prepare what is not there from these videos, as stage 01; how many."""
        jobs = [Job(row.video, root / row.path, store_path(store, row.store)) for row in items.itertuples()]
        missing = [job for job in jobs if already_prepared(job, prepared.frames) is None]
        assert [prepare_video(job, prepared.frames).frames for job in missing] == [
            items.set_index("video").frames[job.video] for job in missing
        ]
        return len(missing)

    def opened(root: Path) -> Stage:
        return tiny_stage(root=root, **AVERAGES, training={"epochs": 1})

    assert prepare(tiny.root) == 0
    first = trained(opened(tiny.root))
    assert prepare(other) == len(items)
    assert_refused(opened(other))
    assert_other(trained(opened(other)), first)
    assert prepare(tiny.root) == len(items)
    again = trained(opened(tiny.root))
    assert again[0] == first[0]
    np.testing.assert_array_equal(again[1], first[1])


# --- equal inputs that lie elsewhere


def test_equal_inputs_have_equal_digests_wherever_they_lie(
    tiny: Any, tiny_stage: Open, prepared: Any, tmp_path: Path
) -> None:
    stage = tiny_stage(**AVERAGES)
    expected, folder = basis(stage), run_folder(stage.for_run(stage.recipe.main_run), 1)
    elsewhere = tmp_path / "a b" / "copy"
    shutil.copytree(tiny.root, elsewhere)
    manifest = tmp_path / "renamed.yaml"
    text = (tmp_path / "tiny.yaml").read_text(encoding="utf-8")
    manifest.write_text(text.replace('"name": "tiny"', '"name": "renamed"'), encoding="utf-8")
    frames = folder_of_frames(prepared.store, tmp_path / "jpg")
    stages = {
        "data root": tiny_stage(root=elsewhere, **AVERAGES),
        "work root": tiny_stage("other work", **AVERAGES),
        "file of the recipe": tiny_stage(file="another", **AVERAGES),
        "name of the recipe": tiny_stage(**AVERAGES, name="other", title="Other"),
        "manifest of the data set": tiny_stage(**AVERAGES, data={"manifest": str(manifest)}),
        "frames as files": tiny_stage(**AVERAGES, data={"frames_folder": str(frames)}),
    }
    for what, other in stages.items():
        assert basis(other) == expected, what
    own = stages["file of the recipe"]
    assert run_folder(own.for_run(own.recipe.main_run), 1) == folder


def test_frames_as_files_give_what_their_store_gave(tiny_stage: Open, prepared: Any, tmp_path: Path) -> None:
    first = trained(tiny_stage(**AVERAGES, training={"epochs": 1}))
    frames = folder_of_frames(prepared.store, tmp_path / "jpg")
    second = trained(tiny_stage(**AVERAGES, training={"epochs": 1}, data={"frames_folder": str(frames)}))
    assert second[0] == first[0]
    np.testing.assert_array_equal(second[1], first[1])


# --- every key of a recipe

FLOW = {"modality": "flow", "mean": [1.0, 2.0], "std": [1.0, 1.0]}
RUNS = [{"name": "clip", "seeds": [1]}, {"name": "second", "seeds": [1]}]
DECIDING: dict[str, Any] = {
    "task.name": {"name": "detection", "boxes": 2},
    "sampling.name": {"name": "centre"},
    "sampling.frames": 5,
    "sampling.stride": 2,
    "sampling.last_start": True,
    "sampling.pathways": {"clip": 1},
    "sampling.window": 9,
    "transforms.modality": FLOW,
    "transforms.size": 32,
    "transforms.short_side": 17,
    "transforms.keep_aspect": False,
    "transforms.box": [20, 17],
    "transforms.channel_order": "bgr",
    "transforms.mean": [1.0, 2.0, 3.0],
    "transforms.std": [1.0, 2.0, 3.0],
    "transforms.scales": [1.0],
    "transforms.crop": "center",
    "transforms.jitter": [40, 48],
    "transforms.test_size": {"test_size": [48, 64], "short_side": 40},
    "transforms.flip": 0.25,
    "model.name": {"name": "tiny"},
    "model.options": {"width": 0.5},
    "training.epochs": 1,
    "training.batch_size": 3,
    "training.reference_batch": 9,
    "training.optimizer": "adam",
    "training.lr": 0.5,
    "training.momentum": 0.5,
    "training.dampening": 0.5,
    "training.nesterov": {"nesterov": True, "dampening": 0.0},
    "training.clip_norm": 40.0,
    "training.accumulate": 2,
    "training.plateau": {},
    "training.norms": "frozen",
    "training.weight_decay": 0.5,
    "training.groups": [{"kind": "biases"}],
    "training.lr_steps": [1],
    "training.lr_factor": 0.5,
    "training.lr_restarts": [[1, 0.5]],
    "training.warmup_epochs": 1,
    "training.clips_per_video": 2,
    "training.trainable": ["dense"],
    "training.amp_level": "O2",
    "training.loss_scale": 2.0,
    "training.cores": 2,
}
"""Another value for every key that takes part in a training; one for a whole section where it is a mapping."""
FREE: dict[str, Any] = {
    "title": "Other",
    "name": "other",
    "published": ["x"],
    "sampling.test_frames": 8,
    "data.manifest": "renamed.yaml",
    "data.split": 2,
    "data.allow_missing": True,
    "data.frames.height": 64,
    "data.frames.side": "short",
    "data.frames.quality": 80,
    "data.frames.max_failed": 0.5,
    "data.frames.min_decoded": 0.5,
    "data.frames.hang_minutes": 2.0,
    "data.boxes.min_score": 0.5,
    "data.boxes.learn_detected": False,
    "data.boxes.test": "truth",
    "data.flow.algorithm": "opencv",
    "data.flow.bound": 5.0,
    "data.flow.quality": 80,
    "data.frames_folder": "jpg",
    "data.flow_folder": "flow",
    "data.annotation_json": "a.json",
    "training.checkpoint_epochs": 2,
    "training.checkpoint_steps": 2,
    "training.hang_minutes": 2.0,
    "training.keep_epochs": 2,
    "training.validate_epochs": 2,
    "training.any_library": True,
    "training.runs": RUNS,
    "training.result": "clip",
    "export.batch_sizes": [2],
    "export.inference_batch": 3,
    "export.keep_batches": True,
    "export.depthwise": "grouped",
    "export.calibration_clips": 2,
    "export.cann": "7.0",
    "export.soc_version": "x",
    "evaluation.compare_frames": [8],
    "evaluation.pool": "logit_mean",
    "evaluation.fuse": "softmax_mean",
    "evaluation.validate_every": 2,
    "evaluation.skip_last_video": True,
}
"""Another value for every other one. What they stand for counts, not what they are: frames of another height are other
frames, but here the same ones lie in both places."""
APART = {"chapter", "streams", "weights"}
"""What has tests of its own: no stage of another chapter; streams and weights name other things."""


def leaves(data: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Keys of a recipe, with dots; sections that are free mappings are one key."""
    for key, value in data.items():
        if isinstance(value, dict) and key not in ("options", "pathways", "streams"):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def changes(key: str, value: Any) -> dict[str, Any]:
    """Differences of a recipe: a key with dots; where `value` is a mapping for one that others hang on, all of it."""
    *above, last = key.split(".")
    if last in ("name", "modality", "nesterov", "test_size") and isinstance(value, dict):
        inner: dict[str, Any] = value
    else:
        inner = {last: value}
    for name in reversed(above):
        inner = {name: inner}
    return inner


def merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(one)
    for key, value in two.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def test_every_key_of_a_recipe_is_in_one_of_the_two_tables(tiny_stage: Open) -> None:
    keys = set(leaves(tiny_stage(**AVERAGES).recipe.as_dict()))
    assert keys == {*DECIDING, *FREE, *APART}


@pytest.fixture
def varied(tiny_stage: Open, tiny_model: Any, prepared: Any, tmp_path: Path) -> Callable[[str, Any], dict[str, Any]]:
    """A function that gives what a training rests on with another value for one key."""
    text = (tmp_path / "tiny.yaml").read_text(encoding="utf-8")
    (tmp_path / "renamed.yaml").write_text(text.replace('"name": "tiny"', '"name": "renamed"'), encoding="utf-8")

    def vary(key: str, value: Any) -> dict[str, Any]:
        if key == "data.manifest":
            value = str(tmp_path / value)
        if key in ("data.frames_folder", "data.flow_folder"):
            value = str(prepared.store)
        return basis(tiny_stage(**merged(AVERAGES, changes(key, value))))

    return vary


def test_other_values_of_keys_that_take_part_are_other_trainings(varied: Any) -> None:
    plain = varied("title", "Tiny")
    found = {key: sha256_json(varied(key, value)) for key, value in DECIDING.items()}
    assert sha256_json(plain) not in found.values()
    assert len(set(found.values())) == len(found)


def test_other_values_of_keys_that_do_not_are_the_same_training(varied: Any) -> None:
    plain = varied("title", "Tiny")
    for key, value in FREE.items():
        assert varied(key, value) == plain, key


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_two_sets_of_changes_share_a_training_only_if_they_decide_alike(
    data: st.DataObject, tiny_stage: Open, tiny_model: Any
) -> None:
    keys = st.sets(st.sampled_from(sorted({**DECIDING, **FREE}.keys() - {"data.manifest"})), max_size=4)
    digests, deciding = [], []
    for _ in range(2):
        chosen = data.draw(keys) - {"data.frames_folder", "data.flow_folder"}
        own = AVERAGES
        for key in sorted(chosen):
            own = merged(own, changes(key, {**DECIDING, **FREE}[key]))
        try:
            stage = tiny_stage(**own)
        except BookError:  # two changes that contradict each other
            return
        digests.append(basis(stage))
        scored = ["evaluation", "training.validate_epochs"] if stage.recipe.training.plateau else []
        deciding.append({key: own_value(stage, key) for key in [*DECIDING, *scored]})
    assert (digests[0] == digests[1]) == (deciding[0] == deciding[1])


def own_value(stage: Stage, key: str) -> Any:
    value: Any = stage.recipe.as_dict()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def test_where_rates_go_by_scores_what_decides_the_scores_takes_part(tiny_stage: Open, library: Path) -> None:
    def found(**differences: Any) -> str:
        runtime._floor_sha256.cache_clear()
        return sha256_json(basis(tiny_stage(**merged(AVERAGES, {"training": {"plateau": {}}, **differences}))))

    plain = found()
    other = {found(training={"plateau": {}, "validate_epochs": 2}), found(evaluation={"pool": "logit_mean"})}
    for floor in ("inference", "evaluation"):
        (library / floor / "__init__.py").write_text("TWO = 2\n", encoding="utf-8")
        other.add(found())
    assert len(other | {plain}) == 5
    assert found(training={"plateau": {}, "keep_epochs": 2}) == found()


def test_weights_of_another_run_or_with_other_parts_left_out_are_other_trainings(tiny_stage: Open) -> None:
    def digest(weights: dict[str, Any] | None, seeds: tuple[int, ...] = (5,)) -> str:
        overrides = {"weights": weights} if weights else {}
        runs = [{"name": "one", "seeds": seeds}, {"name": "two", "overrides": {"training": {"lr": 0.5}}}]
        runs += [{"name": "last", "overrides": overrides}]
        return sha256_json(basis(tiny_stage(**AVERAGES, training={"runs": runs, "result": "last"})))

    names = [None, {"run": "one"}, {"run": "two"}, {"run": "one", "skip": ["dense"]}]
    found = [digest(weights) for weights in names]
    assert len({*found, digest(names[1], (6,))}) == 5
    assert digest(names[1], (5, 6)) == found[1]  # the first seed's weights are taken


def test_streams_differ_by_what_they_change(tiny_stage: Open, prepared: Any) -> None:
    both = tiny_stage(**AVERAGES, streams={"one": {"title": "One"}, "two": {"transforms": {"flip": 0.0}}})
    alone = tiny_stage(**AVERAGES)
    one, two = both.streams.values()
    assert basis(one) == basis(alone) != basis(two)
    assert run_folder(one.for_run(one.recipe.main_run), 1).parent == both.workspace / "one" / "training"


# --- index, classes, seed, devices


def altered(index: Index, table: str, column: str, row: int) -> Index:
    """The index with another value in one place."""
    frame = getattr(index, table).copy()
    value = frame[column].iloc[row]
    other = 0.5 if column in BOX else value + 1 if isinstance(value, np.integer) else f"{value}x"
    frame.loc[row, column] = other
    if column == "item":  # its other table must follow, or it would be no index
        labels = index.labels.assign(item=index.labels.item.replace(value, other))
        return Index(index.items.assign(item=index.items.item.replace(value, other)), labels)
    return Index(frame, index.labels) if table == "items" else Index(index.items, frame)


@pytest.mark.parametrize("table", ["items", "labels"])
def test_any_other_value_in_the_index_is_another_training(tiny_stage: Open, prepared: Any, table: str) -> None:
    stage = tiny_stage(**AVERAGES)
    own = stage.for_run(stage.recipe.main_run)
    plain = rests_on(own, prepared.index, 1)
    for column in ITEMS if table == "items" else LABELS:
        if column == "store":  # which frames are read; their content counts
            continue
        for row in (0, len(prepared.index.labels) - 1):
            found = rests_on(own, altered(prepared.index, table, column, row), 1)
            assert (found == plain) == (column == "path"), column


def test_items_in_another_order_or_left_out_are_another_training(tiny_stage: Open, prepared: Any) -> None:
    stage, index = tiny_stage(**AVERAGES), prepared.index
    digests = []
    for items in (index.items, index.items.iloc[::-1], index.items.iloc[1:], index.items.iloc[:-1]):
        write_index(index.with_items(items.reset_index(drop=True)), dataset_of(stage).index_file)
        digests.append(sha256_json(basis(stage)))
    assert len(set(digests)) == 4
    write_index(index, dataset_of(stage).index_file)
    assert sha256_json(basis(stage)) == digests[0]


def test_frames_of_another_video_under_the_same_name_are_another_training(
    tiny_stage: Open, prepared: Any, tmp_path: Path
) -> None:
    stage = tiny_stage(**AVERAGES)
    plain, store = basis(stage), dataset_of(stage).colour_store
    store.unlink()
    shutil.copytree(prepared.store, store)
    assert basis(stage) == plain
    names = prepared.index.items.store
    for path in (store_path(store, names.iloc[0]), store_path(store, names.iloc[-1])):
        before = path.read_bytes()
        path.write_bytes(store_path(prepared.store, names.iloc[1]).read_bytes())
        assert basis(stage) != plain
        path.write_bytes(before)
    assert basis(stage) == plain


def test_classes_seed_and_devices_are_part_of_it(tiny_stage: Open, tmp_path: Path) -> None:
    stage = tiny_stage(**AVERAGES)
    plain = basis(stage)
    assert basis(stage, seed=2) != plain
    stage.devices = 2
    assert basis(stage) != plain
    stage.devices, stage.workers, stage.device = 1, 7, "auto"
    assert basis(stage) == plain
    manifest = tmp_path / "tiny.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("MoonWalk", "Moonwalk"), encoding="utf-8")
    assert basis(stage) != plain


# --- code


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A library of the same floors, a line of code each."""
    copied = tmp_path / "library"
    for floor in LIBRARY.iterdir():
        if (floor / "__init__.py").is_file():
            (copied / floor.name).mkdir(parents=True)
            (copied / floor.name / "__init__.py").write_text("ONE = 1\n", encoding="utf-8")
    monkeypatch.setattr(runtime, "LIBRARY", copied)
    runtime._floor_sha256.cache_clear()
    yield copied
    runtime._floor_sha256.cache_clear()


def test_code_of_a_floor_that_takes_part_counts_and_no_other(
    tiny_stage: Open, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "run_batches", lambda _, __, folder, **___: folder)
    stage, network = tiny_stage(**AVERAGES), Averages(2)
    index = dataset_of(stage).index()

    def names() -> tuple[str, Path]:
        runtime._floor_sha256.cache_clear()
        return sha256_json(basis(stage)), predict_share(network, stage, index)[0]

    plain, changed = names(), {}
    for floor in sorted(library.iterdir()):
        file = floor / "__init__.py"
        before = file.read_text(encoding="utf-8")
        file.write_text(f'"""Documentation."""\n{before}  # a comment\n', encoding="utf-8")
        assert names() == plain
        file.write_text(before.replace("1", "2"), encoding="utf-8")
        changed[floor.name] = tuple(one != two for one, two in zip(names(), plain, strict=True))
        file.write_text(before, encoding="utf-8")
    assert {name for name, (training, _) in changed.items() if training} == {
        "video", "clips", "models", "weights", "tasks", "training",
    }  # fmt: skip
    assert {name for name, (_, predictions) in changed.items() if predictions} == {
        "video", "clips", "models", "inference",
    }  # fmt: skip
    assert len(changed) > 10


# --- predictions


def test_other_weights_frames_or_protocols_are_other_predictions(
    tiny_stage: Open, prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "run_batches", lambda _, __, folder, **___: folder)
    index = prepared.index
    fewer = index.with_items(index.items.iloc[:-1])
    jpg = str(folder_of_frames(prepared.store, tmp_path / "jpg"))
    dark = str(folder_of_frames(prepared.store, tmp_path / "black", black))

    def folder(seed: int = 1, own: Index = index, **differences: Any) -> str:
        return predict_share(Averages(2, seed), tiny_stage(**merged(AVERAGES, differences)), own)[0].name

    plain = folder()
    different = [
        folder(2),
        folder(own=fewer),
        folder(data={"frames_folder": dark}),
        folder(sampling={"test_frames": 6}),
        folder(sampling={"window": 9}),
        folder(sampling={"name": "centre"}),
        folder(transforms={"mean": [1.0, 2.0, 3.0]}),
        folder(transforms={"short_side": 20}),
        folder(export={"inference_batch": 3}),
    ]
    assert len({plain, *different}) == len(different) + 1
    same = [
        folder(title="Other"),
        folder(training={"lr": 0.5}),
        folder(evaluation={"pool": "logit_mean", "skip_last_video": True}),
        folder(export={"cann": "7.0", "calibration_clips": 3}),
        folder(file="another"),
        folder(data={"frames_folder": jpg}),
    ]
    assert set(same) == {plain}
