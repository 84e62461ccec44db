"""Predictions are named by the content of all that decides them: other inputs never share them, equal ones do."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from mindspore import Tensor, nn

from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of, store_path
from actionbook.datasets.index import Index
from actionbook.evaluation import predict
from actionbook.evaluation.checkpoints import evaluate_checkpoints
from actionbook.evaluation.predict import predict_share, predict_test
from actionbook.inference import NetworkEngine
from actionbook.training.checkpoint import save_checkpoint
from actionbook.video.store import unpacked

Open = Callable[..., Stage]
Folder = Callable[..., Path]


class Averages(nn.Cell):
    """A dense layer on the mean colours of a clip: compiled in no time."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        weight = np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32)
        self.dense = nn.Dense(3, 2, Tensor(weight), "zeros")

    def construct(self, clip: Tensor) -> Tensor:
        return self.dense(clip.mean((2, 3, 4)) / 100)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, prepared: Any) -> Folder:
    """A function that gives the folder of a stage's predictions without making them."""
    monkeypatch.setattr(predict, "run_batches", lambda _, __, folder, **___: folder)
    network = Averages()

    def of(stage: Stage, index: Index = prepared.index, net: nn.Cell = network) -> Path:
        return predict_share(net, stage, index)[0]

    return of


def unpack(store: Path, folder: Path, change: Callable[[bytes], bytes] = lambda jpeg: jpeg) -> Path:
    """The frames of a store as files, as the original scripts lay them out."""
    for path in sorted(store.rglob("*.zip")):
        video = folder / path.relative_to(store).with_suffix("")
        video.mkdir(parents=True)
        for name, jpeg in unpacked(path).items():
            (video / name).write_bytes(change(jpeg))
    return folder


def negative(jpeg: bytes) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(255 - simplejpeg.decode_jpeg(jpeg)), quality=95))


def kept(stage: Stage) -> set[str]:
    return {path.parent.name for path in stage.folder.glob("predictions/*/0_0.bin")}


def test_weights_set_into_the_same_network_are_other_predictions(tiny_stage: Open, prepared: Any) -> None:
    """One compiled engine serves a network for all its weights; what it is named by must not be remembered with it."""
    stage, network = tiny_stage(), Averages(1)
    first = predict_test(network, stage, prepared.index).outputs
    before = network.dense.weight.asnumpy().copy()
    network.dense.weight.set_data(Tensor(-before))
    np.testing.assert_allclose(predict_test(network, stage, prepared.index).outputs, -first, atol=1e-5)
    assert len(kept(stage)) == 2
    changed = before.copy()
    changed[1, 2] = np.nextafter(changed[1, 2], np.float32(9))
    network.dense.weight.set_data(Tensor(changed))  # by the last bit
    predict_test(network, stage, prepared.index)
    assert len(kept(stage)) == 3
    network.dense.weight.set_data(Tensor(before))
    np.testing.assert_array_equal(predict_test(network, stage, prepared.index).outputs, first)
    assert len(kept(stage)) == 3


def test_a_checkpoint_is_run_once_by_its_weights_whatever_its_file_is_called(
    tiny_stage: Open, prepared: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage, real, sizes = tiny_stage(), NetworkEngine.run, []

    def run(engine: NetworkEngine, batch: dict[str, np.ndarray]) -> np.ndarray:
        sizes.append(len(batch["image"]))
        return real(engine, batch)

    monkeypatch.setattr(NetworkEngine, "run", run)

    def evaluate() -> Any:
        return evaluate_checkpoints(
            Averages(9), tmp_path / "run", lambda net: predict_test(net, stage, prepared.index), progress=False
        )

    for epoch, seed in ((1, 1), (2, 2), (3, 1)):
        save_checkpoint(Averages(seed), tmp_path / "run" / f"epoch-{epoch:03d}.ckpt", epoch=epoch)
    table = evaluate()
    assert sum(sizes) == 2 * 5 * math.ceil(len(predict_test(Averages(1), stage, prepared.index).items) / 5)
    assert table["value"].iloc[0] == table["value"].iloc[2]
    before = len(sizes)
    assert evaluate().equals(table)
    assert len(sizes) == before
    save_checkpoint(Averages(3), tmp_path / "run" / "epoch-002.ckpt", epoch=2)
    evaluate()
    assert sum(sizes[before:]) == sum(sizes[:before]) / 2


def test_other_pixels_with_equal_names_and_counts_are_other_predictions(
    tiny_stage: Open, prepared: Any, tmp_path: Path
) -> None:
    places = [unpack(prepared.store, tmp_path / "plain"), unpack(prepared.store, tmp_path / "negative", negative)]
    network = Averages(1)

    def outputs(place: Path) -> np.ndarray:
        stage = tiny_stage(data={"frames_folder": str(place)})
        found = predict_test(network, stage, prepared.index).outputs
        assert kept(stage)
        return found

    first, second = map(outputs, places)
    assert np.abs(first - second).max() > 1e-2
    # The other pixels in the place of the first.
    places[0].rename(tmp_path / "away")
    places[1].rename(places[0])
    np.testing.assert_array_equal(outputs(places[0]), second)
    assert len(kept(tiny_stage())) == 2


def test_one_other_byte_in_a_tested_video_counts_and_one_in_a_training_video_does_not(
    tiny_stage: Open, prepared: Any, folder: Folder, tmp_path: Path
) -> None:
    place = unpack(prepared.store, tmp_path / "jpg")
    stage = tiny_stage(data={"frames_folder": str(place)})
    plain = folder(stage)
    for subset, counts in (("train", False), ("test", True)):
        name = prepared.index.subset(subset).items.store.iloc[-1]
        path = sorted(store_path(place, name).with_suffix("").glob("*.jpg"))[-1]
        jpeg = bytearray(path.read_bytes())
        jpeg[-20] ^= 1
        path.write_bytes(jpeg)
        assert (folder(stage) != plain) == counts


def test_equal_inputs_elsewhere_have_the_same_digest(
    tiny: Any, tiny_stage: Open, prepared: Any, folder: Folder, tmp_path: Path
) -> None:
    expected = folder(tiny_stage())
    root = tmp_path / "a b, 网络" / "copy"
    shutil.copytree(tiny.root, root)
    manifest = tmp_path / "renamed.yaml"
    text = (tmp_path / "tiny.yaml").read_text(encoding="utf-8")
    manifest.write_text(text.replace('"name": "tiny"', '"name": "renamed"'), encoding="utf-8")
    frames = unpack(prepared.store, tmp_path / "jpg")
    stages = {
        "data root": tiny_stage(root=root),
        "work root": tiny_stage("other work"),
        "file of the recipe": tiny_stage(file="another"),
        "name of the recipe": tiny_stage(name="other", title="Other"),
        "manifest of the data set": tiny_stage(data={"manifest": str(manifest)}),
        "frames as files": tiny_stage(data={"frames_folder": str(frames)}),
    }
    for what, stage in stages.items():
        assert folder(stage).name == expected.name, what
    copied = dataset_of(tiny_stage("third")).colour_store
    copied.unlink()
    shutil.copytree(prepared.store, copied)
    assert folder(tiny_stage("third")).name == expected.name
    # An equal network that is another object, too.
    assert folder(tiny_stage(), net=Averages()).name == expected.name
    assert folder(tiny_stage(), net=Averages(1)).name != expected.name


DECIDING: list[dict[str, Any]] = [
    {"task": {"name": "detection", "boxes": 2}},
    {"sampling": {"name": "centre"}},
    {"sampling": {"frames": 5}},
    {"sampling": {"stride": 2}},
    {"sampling": {"window": 9}},
    {"sampling": {"last_start": True}},
    {"sampling": {"test_frames": 8}},
    {"sampling": {"pathways": {"clip": 1}}},
    {"transforms": {"modality": "flow", "mean": [1.0, 2.0], "std": [1.0, 1.0]}},
    {"transforms": {"size": 32}},
    {"transforms": {"short_side": 17}},
    {"transforms": {"mean": [1.0, 2.0, 3.0]}},
    {"transforms": {"std": [1.0, 2.0, 3.0]}},
    {"model": {"options": {"width": 0.5}}},
    {"export": {"inference_batch": 3}},
]
FREE: list[dict[str, Any]] = [
    {"title": "Other", "published": []},
    {"training": {"epochs": 7, "lr": 0.5, "batch_size": 3}},
    {"training": {"runs": [{"name": "one"}, {"name": "two"}], "result": "one"}},
    {"evaluation": {"pool": "logit_mean", "fuse": "softmax_mean", "skip_last_video": True, "compare_frames": [8]}},
    {"export": {"batch_sizes": [2], "depthwise": "grouped", "soc_version": "x", "calibration_clips": 2}},
    {"export": {"keep_batches": True}},
    {"data": {"split": 2, "frames": {"min_decoded": 0.5}}},
]
"""Outputs are the same whatever is made of them. Of the data set its index and its frames count, which stay here."""


def test_each_part_of_the_recipe_that_takes_part_is_a_folder_of_its_own(tiny_stage: Open, folder: Folder) -> None:
    found = [folder(tiny_stage(**changes)) for changes in [{}, *DECIDING]]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("changes", FREE, ids="-".join)
def test_what_takes_no_part_is_not(tiny_stage: Open, folder: Folder, changes: dict[str, Any]) -> None:
    assert folder(tiny_stage(**changes)) == folder(tiny_stage())


def test_device_counts_and_workers_do_not(tiny_stage: Open, folder: Folder) -> None:
    stage = tiny_stage()
    plain = folder(stage)
    stage.workers = 7
    assert folder(stage) == plain
    stage.device = "Ascend"
    assert folder(stage) != plain


def test_of_the_index_the_tested_items_count(tiny_stage: Open, prepared: Any, folder: Folder) -> None:
    index, stage = prepared.index, tiny_stage()
    items, plain = index.items, folder(stage)
    tested = items.subset == "test"
    same = [items.assign(path="elsewhere"), items[tested], items.assign(frames=items.frames.where(tested, 0))]
    first = items.index[tested][0]
    shorter = items.assign(frames=items.frames.where(items.index != first, items.frames - 1))
    other = [items[::-1], items.drop(first), shorter]
    for number, changed in enumerate(same):
        assert folder(stage, index.with_items(changed.reset_index(drop=True))) == plain, number
    found = {folder(stage, index.with_items(changed.reset_index(drop=True))) for changed in other}
    assert len(found - {plain}) == 3


def test_what_names_the_folder_is_written_beside_the_outputs(tiny_stage: Open, prepared: Any) -> None:
    stage = tiny_stage()
    folder, _ = predict_share(Averages(), stage, prepared.index)
    basis = json.loads((folder / "rests_on.json").read_text(encoding="utf-8"))
    assert set(basis) == {"network", "recipe", "index", "frames", "batch", "device", "code"}
    text = json.dumps(basis)
    assert str(stage.work_root) not in text
    assert str(stage.data_root) not in text
