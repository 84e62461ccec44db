"""Checkpoints that PyTorch wrote come back as the arrays they hold."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actionbook.weights import WeightsError, read_metadata, read_torch

GOOD = {
    "training.pth": "training.npz",
    "training_legacy.pth.tar": "training.npz",
    "dtypes.pt": "dtypes.npz",
    "dtypes_legacy.pt": "dtypes.npz",
    "untyped.pt": "untyped.npz",
}


@pytest.mark.parametrize("name", GOOD)
def test_arrays_are_those_of_pytorch(name: str, data: Path) -> None:
    state = read_torch(data / name)
    with np.load(data / GOOD[name]) as expected:
        assert list(state) == expected.files
        for key, array in state.items():
            np.testing.assert_array_equal(array, expected[key], strict=True, err_msg=key)


@pytest.mark.parametrize("name", ["dtypes.pt", "dtypes_legacy.pt"])
def test_arrays_own_their_memory(name: str, data: Path) -> None:
    """`base` and its views share one storage in the file; changing one array must not change another."""
    state = read_torch(data / name)
    assert all(array.flags.writeable and array.flags.c_contiguous for array in state.values())
    state["base"][:] = -1
    np.testing.assert_array_equal(state["view"], np.arange(4, 12))
    np.testing.assert_array_equal(state["transposed"], np.arange(24).reshape(4, 6).T)


@pytest.mark.parametrize("name", ["training.pth", "training_legacy.pth.tar"])
def test_training_metadata(name: str, data: Path) -> None:
    assert read_metadata(data / name) == {"epoch": 7, "arch": "mobilenetv2", "best_prec1": 81.125}


@pytest.mark.parametrize("name", ["metadata.pt", "metadata_legacy.pt", "metadata_protocol4.pt"])
def test_metadata_with_numpy_scalars_and_devices(name: str, data: Path) -> None:
    expected = {"best_prec1": 66.5, "seed": 3, "device": "cuda:0", "name": "r3d", "lr": 0.05}
    found = read_metadata(data / name)
    assert found == expected
    assert [type(value) for value in found.values()] == [float, int, str, str, float]
    assert read_torch(data / name)["w"].tolist() == [1.0, 1.0]  # under `model`


def test_tensors_of_a_bare_state_dict_are_no_metadata(data: Path) -> None:
    assert any(array.size == 1 for array in read_torch(data / "dtypes.pt").values())
    assert read_metadata(data / "dtypes.pt") == {}


def test_a_whole_pickled_module_is_refused_by_name(data: Path) -> None:
    with pytest.raises(WeightsError, match=r"whole_module\.pt: .*'torch\.nn\.modules\.linear\.Linear'.*state_dict"):
        read_torch(data / "whole_module.pt")


def test_a_call_beside_the_weights_is_named_and_never_made(
    archive: Callable[..., Path], tensor_pickle: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call = b"cos\nsystem\nU\x0decho > marker\x85R}U\x01xK\x01sb"
    stream = b"\x80\x02}(U\x03net}U\x01w" + tensor_pickle((2,), (1,)) + b"sU\x01a" + call + b"u."
    path = archive(stream, {"0": bytes(8)})
    state = read_torch(path)
    assert list(state) == ["w"]
    assert state.origin.beside == ("'a' (os.system)",)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("stream", "remedy"),
    [
        (b"\x80\x02}(U\x03net", r"damaged or truncated pickle.*\. Fetch the file again"),
        (b"\x80\x02}U\x01aU\x01b\x82\x01Rs.", r"operation EXT1.*not carried out\. Save only its state dict again"),
    ],
)
def test_a_damaged_pickle_is_fetched_again_and_a_refused_one_saved_again(
    archive: Callable[..., Path], stream: bytes, remedy: str
) -> None:
    with pytest.raises(WeightsError, match=remedy):
        read_torch(archive(stream, {}))


def test_without_tensors(archive: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match=r"no tensors.*'epoch'"):
        read_torch(archive(pickle.dumps({"epoch": 3, "state_dict": {}}, 2)))
    with pytest.raises(WeightsError, match="holds a list, not a dictionary of tensors"):
        read_torch(archive(pickle.dumps([1, 2], 2)))


def test_tensors_need_names(archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]) -> None:
    path = archive(b"\x80\x02}K\x05" + tensor_pickle((2,), (1,)) + b"s.", {"0": bytes(8)})
    with pytest.raises(WeightsError, match="no names"):
        read_torch(path)


def test_tied_weights_are_fine_but_a_bomb_of_views_is_not(
    archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]
) -> None:
    count = 2**18  # one storage of 1 MiB; 63 views are below the limit of 64 MiB, 65 above
    view = tensor_pickle((count,), (1,), count=count)
    entries = [b"X" + len(b"%02d" % i).to_bytes(4, "little") + b"%02d" % i + view for i in range(65)]
    storages = {"0": bytes(4 * count)}
    assert len(read_torch(archive(b"\x80\x02}(" + b"".join(entries[:63]) + b"u.", storages))) == 63
    with pytest.raises(WeightsError, match="far more bytes"):
        read_torch(archive(b"\x80\x02}(" + b"".join(entries) + b"u.", storages))


def test_reading_needs_neither_mindspore_nor_pytorch(data: Path) -> None:
    code = (
        "import sys; from actionbook.weights import read_torch; "
        f"state = read_torch({str(data / 'training.pth')!r}); "
        "sys.exit(len(state) != 8 or bool({'mindspore', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
