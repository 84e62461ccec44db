"""Published networks by name: the book's entries can be built, and files in the published layouts are loaded."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from foreign import write_caffe, write_checkpoint, write_graph
from mindspore import Tensor

import actionbook
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.manifest import load_dataset, load_weights, weights_manifests
from actionbook.core.runtime import set_device
from actionbook.core.sources import NotTheFile
from actionbook.core.weight_files import WeightFile
from actionbook.models import create_model
from actionbook.models.layers import undrawn
from actionbook.models.profile import count_parameters
from actionbook.models.specified import TABLE
from actionbook.weights import LAYOUTS, WeightsError, export_state, load
from actionbook.weights.golden import rule_made
from actionbook.weights.pretrained import list_pretrained, load_file, load_pretrained

ENTRIES = {entry.id: entry for name in weights_manifests() for entry in load_weights(name).files}
COUNTS = [
    (one.model, dict(one.options), classes, count)
    for rows in TABLE.values()
    for one in rows
    for classes, count in one.parameters.items()
]
# Parameters by classes of ECO's networks: the fact sheets' counts, and those of 174 classes from the same features.
ECO = {
    "eco_full": {400: 47_502_128, 101: 47_042_565, 51: 46_965_715, 174: 46_965_715 + 123 * 1537},
    "eco_lite": {400: 37_503_856, 101: 37_350_469, 51: 37_324_819, 174: 37_324_819 + 123 * 513},
}
# The same of StNet by its kernels.
STNET = {"grouped": 33_158_864, "dense": 48_878_288}
# Of SlowFast: the counts of the fact sheets. Fusions over 5 frames have two kernels of 1x1 less, 2 * 43,136; the
# slow pathway alone is a ResNet-50 whose kernels `a` of the last two stages, 4,063,232 numbers, are for 3 frames.
SLOWFAST = {
    "slowfast_kinetics": 34_566_488,
    "slowfast_kinetics_4x16": 34_566_488 - 2 * 43_136,
    "slowfast_ava_mindspore": 33_828_888,
    "slowfast_init_torchvision": 23_508_032 + 2 * 4_063_232 + 80 * 2049,
}
WIDTH = {"i3d": 0.06, "mobilenetv2_3d": 0.2, "eco_full": 0.06, "eco_lite": 0.06, "stnet_resnet50": 0.0625}
WIDTH |= {"slowfast_r50": 0.125}
PARTS = {"eco_init_2d", "eco_init_3d", "stnet_init_mindcv", "stnet_init_mindspore"}
PARTS |= {"stnet_init_torchvision", "stnet_init_torchvision_v2", "slowfast_init_torchvision"}
Published = Callable[..., tuple[WeightFile, dict[str, np.ndarray], Path]]


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


def write_index(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    return write_checkpoint(path.with_suffix(""), arrays)


def write_pickle(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.write_bytes(pickle.dumps(arrays, 2))


def write_blobs(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.write_bytes(pickle.dumps({"blobs": arrays}, 2))


def write_mindspore(path: Path, arrays: dict[str, np.ndarray]) -> None:
    ms.save_checkpoint([{"name": name, "data": Tensor(array)} for name, array in arrays.items()], str(path))


WRITERS: dict[str, Callable[..., object]] = {
    ".index": write_index,
    ".pb": write_graph,
    ".caffemodel": write_caffe,
    ".pdparams": write_pickle,
    ".ckpt": write_mindspore,
    ".pkl": write_blobs,
}


@pytest.fixture
def published(tmp_path: Path, write_torch: Any) -> Published:
    """A function that writes a narrow stand-in for a published file, and a manifest with its digest.

    Returns the entry, the rule-made tensors of the file, and the manifest's path.
    """

    def write(name: str, prefix: str = "") -> tuple[WeightFile, dict[str, np.ndarray], Path]:
        entry = ENTRIES[name].model_dump(mode="json", exclude_unset=True, exclude={"git_blob", "bytes"})
        entry["options"]["width"] = WIDTH[entry["network"]]
        network = create_model(entry["network"], **entry["options"])
        state = rule_made((key, array.shape) for key, array in export_state(network, entry["layout"]).items())
        path = tmp_path / entry["name"]
        path.parent.mkdir(exist_ok=True)
        WRITERS.get(path.suffix, write_torch)(path, {f"{prefix}{key}": array for key, array in state.items()})
        entry |= {"sha256": sha256_file(path), "status": "single"}
        manifest = {"kind": "weights", "name": "own", "title": "Own", "licence": "none", "homepage": "nowhere"}
        (tmp_path / "own.yaml").write_text(json.dumps({**manifest, "files": [entry]}), encoding="utf-8")
        return load_weights(str(tmp_path / "own.yaml")).files[0], state, tmp_path / "own.yaml"

    return write


def test_every_entry_has_a_known_layout() -> None:
    assert {entry.layout for entry in ENTRIES.values()} <= set(LAYOUTS)


NETWORKS = {(entry.network, *sorted(entry.options.items())): entry.id for entry in ENTRIES.values()}


@pytest.mark.parametrize("name", NETWORKS.values())
def test_every_entry_builds_its_network(name: str) -> None:
    entry = ENTRIES[name]
    with undrawn():
        network = create_model(entry.network, **entry.options)
    if entry.network in ECO:
        assert count_parameters(network) == ECO[entry.network][entry.classes]
        return
    if entry.network == "stnet_resnet50":
        assert count_parameters(network) == STNET[str(entry.options.get("xception", "grouped"))]
        return
    if entry.network == "slowfast_r50":
        assert count_parameters(network) == SLOWFAST[name]
        return
    options = {"in_channels": 3, **entry.options} if entry.network == "i3d" else dict(entry.options)
    classes = options.pop("num_classes")
    known = [count for model, *rest, count in COUNTS if (model, *rest) == (entry.network, options, classes)]
    charades = classes == 157  # with its classes the authors' program was not counted
    scratch_600 = classes == 600 and entry.network == "i3d"  # nor with these
    assert [count_parameters(network)] == known or ((charades or scratch_600) and not known)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("i3d_rgb_imagenet", ""),
        ("i3d_flow_imagenet_hassony2", ""),
        ("i3d_flow_imagenet_deepmind", "Flow/inception_i3d/"),
        ("mobilenetv2_3d_ucf101", "module."),
        ("stnet_kinetics", ""),
        ("stnet_kinetics_mindspore", ""),
    ],
)
def test_a_published_network_comes_back_with_its_weights(published: Published, name: str, prefix: str) -> None:
    entry, state, manifest = published(name, prefix)
    found = load_pretrained(name, manifest.parent, str(manifest))
    assert (found.id, found.trained_on, found.transform) == (name, entry.trained_on, entry.transform)
    assert found.report.sha256 == entry.sha256
    assert len(found.report.loaded) == len(state)
    for key, array in export_state(found.network, entry.layout).items():
        np.testing.assert_array_equal(array, state[key])
    assert not found.network.training
    assert found.metadata == {}  # a bare state dict
    channels = 2 if "flow" in name else 3
    size = 112 if "mobilenet" in name else 224
    assert found.spec.inputs["image"] == (channels, entry.transform.frames, size, size)
    assert found.spec.output == (entry.classes,)
    assert found.classes == load_dataset(entry.trained_on.manifest or "").classes


@pytest.mark.parametrize(
    ("name", "inputs", "prefix"),
    [
        ("slowfast_kinetics", {"slow": (3, 8, 224, 224), "fast": (3, 32, 224, 224)}, ""),
        (
            "slowfast_ava_mindspore",
            {"slow": (3, 8, 256, 640), "fast": (3, 32, 256, 640), "boxes": (28, 4)},
            "net.",
        ),
    ],
)
def test_a_network_of_two_pathways_says_what_it_takes(
    published: Published, name: str, inputs: dict[str, tuple[int, ...]], prefix: str
) -> None:
    entry, state, manifest = published(name, prefix)
    found = load_pretrained(name, manifest.parent, str(manifest))
    assert list(found.spec.inputs.items()) == list(inputs.items())
    assert found.spec.output == ((28, 80) if "boxes" in inputs else (400,))
    assert (found.report.prefix, found.report.sha256) == (prefix, entry.sha256)
    for key, array in export_state(found.network, entry.layout).items():
        np.testing.assert_array_equal(array, state[key])
    assert found.classes == load_dataset(entry.trained_on.manifest or "").classes


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("mobilenetv2_3d_kinetics600", (99.4750, 107.7354, 114.7748)),
        ("eco_lite_hmdb51_caffe", (123, 117, 104)),
        ("eco_full_ucf101_ascend", (128, 117, 104)),
    ],
)
def test_a_network_of_bgr_clips_takes_rgb_ones(name: str, mean: tuple[float, ...], published: Published) -> None:
    entry, state, manifest = published(name)
    found = load_pretrained(entry.id, manifest.parent, str(manifest))
    assert found.classes is None or entry.trained_on.manifest
    assert found.transform.channel_order == "rgb"
    assert found.transform.mean == entry.transform.mean[::-1] == mean
    original = create_model(entry.network, **entry.options)
    load(original, state, entry.layout)
    rgb = np.random.default_rng(0).standard_normal((1, 3, 4, 32, 32)).astype(np.float32)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    logits = [net(Tensor(x)).asnumpy() for net, x in ((found.network, rgb), (original, rgb[:, ::-1].copy()))]
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)
    assert np.ptp(logits[0]) > 0.1


def test_a_file_for_fine_tuning_keeps_the_fresh_head(published: Published) -> None:
    entry, state, manifest = published("mobilenetv2_3d_kinetics600")
    network = create_model(entry.network, **{**entry.options, "num_classes": 5})
    fresh = network.classifier[1].weight.asnumpy().copy()
    report = load_file(network, entry, manifest.parent / entry.name, skip=["classifier.1"])
    assert report.sha256 == entry.sha256
    np.testing.assert_array_equal(network.classifier[1].weight.asnumpy(), fresh)
    found = export_state(network, entry.layout)["features.0.0.weight"]
    np.testing.assert_array_equal(found, state["features.0.0.weight"])  # as it is in the file
    with pytest.raises(WeightsError, match="600 classes"):
        load_file(network, entry, manifest.parent / entry.name)


def test_another_file_is_refused(published: Published) -> None:
    entry, _, manifest = published("mobilenetv2_3d_ucf101")
    path = manifest.parent / entry.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(NotTheFile, match=r"best\.pth: sha256"):
        load_pretrained(entry.id, manifest.parent, str(manifest))
    path.unlink()
    with pytest.raises(BookError, match=r"best\.pth: is missing.*nowhere"):
        load_pretrained(entry.id, manifest.parent, str(manifest))


def test_names_of_published_networks(tmp_path: Path) -> None:
    assert actionbook.list_pretrained() == list_pretrained() == sorted(ENTRIES.keys() - PARTS)
    with pytest.raises(WeightsError, match="no published weights are called 'eco_init_2d'"):
        load_pretrained("eco_init_2d", tmp_path)  # only a part of a network
    assert list_pretrained("weights_efficient3d") == ["mobilenetv2_3d_kinetics600", "mobilenetv2_3d_ucf101"]
    with pytest.raises(BookError, match=r"'i3d_rgb_imagnet'.*i3d_rgb_imagenet"):
        actionbook.load_pretrained("i3d_rgb_imagnet", tmp_path)
    with pytest.raises(BookError, match=r"'x'.*i3d_flow_charades.*mobilenetv2_3d_ucf101"):
        actionbook.load_pretrained("x", tmp_path)
    with pytest.raises(BookError, match=r"rgb_imagenet\.pt: is missing.*github\.com/piergiaj"):
        actionbook.load_pretrained("i3d_rgb_imagenet", tmp_path)
