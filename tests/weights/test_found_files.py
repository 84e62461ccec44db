"""Files as training scripts leave them: the tensors are read, whatever lies beside them, and what it was is told."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.weights import WeightsError, load, read, read_metadata, read_shapes

SHAPES = {"conv.weight": (4, 3, 1, 3, 3), "conv.bias": (4,), "fc.weight": (5, 4), "fc.bias": (5,)}
FILES: dict[str, tuple[str, str, list[str], dict[str, Any]]] = {
    "namespace_beside.pth": ("module.", "'state_dict'", ["'opt' (argparse.Namespace)"], {"epoch": 7}),
    "namespace_legacy.pth": ("module.", "'state_dict'", ["'opt' (argparse.Namespace)"], {}),
    "numpy_array_beside.pth": ("", "'state_dict'", ["'confusion' (numpy.ndarray)"], {"best_prec1": 81.1}),
    "random_state_beside.pth": ("", "'state_dict'", ["'rng'[1] (numpy.ndarray)"], {}),
    "defaultdict_beside.pth": ("", "'state_dict'", [], {}),
    "set_and_slice_beside.pth": (
        "", "'state_dict'", ["'seen' (__builtin__.set)", "'part' (__builtin__.slice)"], {},
    ),
    "path_and_datetime_beside.pth": (
        "", "'state_dict'", ["'from' (pathlib.PurePosixPath)", "'when' (datetime.datetime)"], {},
    ),
    "none_key_beside.pth": (
        "", "'state_dict'", [f"'meta' (a key of type {kind})" for kind in ("NoneType", "float", "tuple")], {},
    ),
    "model_state_dict_and_loss_tensor.pth": (
        "", "'model_state_dict'", [], {"epoch": 3, "loss": float(np.float32(0.7))},
    ),
    "model_inside_model.pth": ("", "'model'['state_dict']", [], {"it": 10}),
    "lightning.pth": ("model.", "'state_dict'", [], {"pytorch-lightning_version": "2.1.0"}),
    "compiled.pth": ("_orig_mod.", "'state_dict'", [], {}),
}  # fmt: skip


class Network(nn.Cell):
    """The network of these files."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (1, 3, 3), pad_mode="valid", has_bias=True)
        self.fc = nn.Dense(4, 5)

    def construct(self, clip: Tensor) -> Tensor:
        return self.fc(self.conv(clip).mean((2, 3, 4)))


@pytest.mark.parametrize("name", FILES)
def test_tensors_are_read_whatever_lies_beside_them(name: str, data: Path) -> None:
    prefix, under, beside, metadata = FILES[name]
    path = data / "cases" / name
    state = read(path)
    assert {key: array.shape for key, array in state.items()} == {f"{prefix}{k}": shape for k, shape in SHAPES.items()}
    assert (state.origin.format, state.origin.under, list(state.origin.beside)) == ("PyTorch", under, beside)
    assert (state.origin.others, state.origin.skipped) == ((), ())
    assert read_metadata(path) == metadata
    if path.read_bytes().startswith(b"PK"):  # storages 0, 1, ... are those of the tensors in order
        with zipfile.ZipFile(path) as archive:
            (folder,) = {entry.split("/")[0] for entry in archive.namelist()}
            for number, array in enumerate(state.values()):
                assert archive.read(f"{folder}/data/{number}") == array.astype("<f4").tobytes()


@pytest.mark.parametrize("name", FILES)
def test_they_fit_their_network_and_the_report_says_how(name: str, data: Path) -> None:
    prefix, under, beside, _ = FILES[name]
    state, network = read(data / "cases" / name), Network()
    report = load(network, state, "piergiaj")
    assert (report.prefix, len(report.loaded)) == (prefix, 4)
    np.testing.assert_array_equal(network.conv.weight.asnumpy(), state[f"{prefix}conv.weight"])
    lines = str(report).splitlines()
    assert lines[:2] == ["layout piergiaj: 4 tensors loaded", f"read from: PyTorch, under {under}"]
    assert (f"taken off every name: {prefix}" in lines) == bool(prefix)
    assert [line for line in lines if line.startswith("beside")] == (
        [f"beside them, not built: {', '.join(beside)}"] if beside else []
    )


def test_safetensors(data: Path) -> None:
    path = data / "cases" / "weights.safetensors"
    state = read(path)
    assert {key: array.shape for key, array in state.items()} == SHAPES
    content = path.read_bytes()
    assert content[-80:] == state["fc.weight"].astype("<f4").tobytes()  # of the header's offsets 468 to 548
    assert content[-548:-532] == state["conv.bias"].astype("<f4").tobytes()
    assert load(Network(), state, "piergiaj").origin == state.origin
    assert str(load(Network(), state, "piergiaj")).splitlines()[1] == "read from: safetensors"


def test_blobs_of_caffe2(data: Path) -> None:
    state = read(data / "cases" / "caffe2_blobs.pkl")
    shape = (4, 3, 1, 3, 3)
    expected = {"conv1_w": np.ones(shape), "conv1_bn_s": np.ones(4), "conv1_w_momentum": np.zeros(shape)}
    assert list(state) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array.astype(np.float32), strict=True)
    assert (state.origin.format, state.origin.under) == ("pickle", "'blobs'")
    assert state.origin.skipped == ("lr (float)", "model_iter (int)")


def test_blobs_of_caffe2_by_python_2(data: Path) -> None:
    """Names, letters of types and the arrays' bytes are all strings there."""
    state = read(data / "cases" / "caffe2_blobs_python2.pkl")
    shape = (4, 3, 1, 3, 3)
    expected = {"conv1_w": np.ones(shape), "conv1_w_momentum": np.zeros(shape), "res_conv1_bn_riv": np.arange(4)}
    assert list(state) == [*expected, "res_conv1_bn_riv_momentum"]
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array.astype(np.float32), strict=True)
    assert state.origin.skipped == ("lr (float)", "model_iter (int)")


@pytest.mark.parametrize("name", [*FILES, "weights.safetensors", "caffe2_blobs.pkl", "caffe2_blobs_python2.pkl"])
def test_shapes_come_without_the_arrays(name: str, data: Path, tmp_path: Path) -> None:
    path = data / "cases" / name
    state = read(path)
    assert read_shapes(path) == {key: array.shape for key, array in state.items()}
    assert all(array.flags.writeable and array.flags.c_contiguous for array in state.values())
    (tmp_path / "epoch 3.bin").write_bytes(path.read_bytes())  # the name says nothing
    assert list(read(tmp_path / "epoch 3.bin")) == list(state)


def test_a_table_of_contents_touches_no_storage(data: Path, tmp_path: Path) -> None:
    content = (data / "cases" / "lightning.pth").read_bytes()
    array = read(data / "cases" / "lightning.pth")["model.fc.weight"]
    changed = bytearray(content)
    changed[content.index(array.tobytes())] ^= 1
    (tmp_path / "net.pth").write_bytes(changed)
    assert read_shapes(tmp_path / "net.pth")["model.fc.weight"] == (5, 4)
    with pytest.raises(WeightsError, match="is damaged"):
        read(tmp_path / "net.pth")
