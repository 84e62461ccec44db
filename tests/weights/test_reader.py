"""The door: formats told apart by content, others named for what they are, and safetensors written."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionbook.weights import WeightsError, export_state, load, read, read_metadata, read_shapes, write_safetensors

ARRAYS = {
    "conv.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.array([1.5, -2], np.float16),
    "counts": np.array([3, -4], np.int64),
    "flags": np.array([True, False]),
    "scalar": np.array(2.5),
    "none": np.zeros((0, 3), np.float32),
}


def assert_same(found: dict[str, Any], expected: dict[str, Any] = ARRAYS) -> None:
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable
        assert found[name].flags.c_contiguous


# -- pickles of arrays -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("root", [ARRAYS, {"blobs": ARRAYS, "cfg": "a"}, OrderedDict(model=ARRAYS), [ARRAYS, 3]])
def test_pickles_of_arrays(root: Any, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps(root, protocol))
    assert_same(read(path))
    assert read_shapes(path) == {name: array.shape for name, array in ARRAYS.items()}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_in_other_orders(protocol: int, tmp_path: Path) -> None:
    path, arrays = tmp_path / "a.pkl", {"big": np.arange(6, dtype=">f4").reshape(2, 3), "turned": np.arange(6.0)}
    arrays["turned"] = arrays["turned"].reshape(2, 3).T
    path.write_bytes(pickle.dumps(arrays, protocol))
    assert_same(read(path), {"big": arrays["big"].astype("f4"), "turned": np.ascontiguousarray(arrays["turned"])})


def test_pickle_of_python_2(tmp_path: Path) -> None:
    """Bytes and names are byte strings; the module is NumPy's of that time."""
    stream = (
        b"\x80\x02}U\x05blobs}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01K\x02\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08\x00\x00\xc0?\x00\x00\x00\xc0tbss."
    )
    (tmp_path / "a.pkl").write_bytes(stream)
    assert read(tmp_path / "a.pkl")["w"].tolist() == [[1.5, -2.0]]


def test_arrays_that_are_no_numbers_are_skipped(tmp_path: Path) -> None:
    odd = {"names": np.array(["a"]), "objects": np.array([None]), "days": np.array(["2020-01-01"], "M8[D]")}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({**ARRAYS, **odd}, 2))
    state = read(tmp_path / "a.pkl")
    assert_same(state)
    assert state.origin.skipped == tuple(f"{name} (numpy.ndarray)" for name in odd)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"K\x03K\x04", b"K\x03K\x05"), "tensor 'conv.weight': its bytes do not fit its shape"),
        ((b".", b".more"), "something follows behind its first object"),
    ],
)
def test_pickles_that_are_damaged(change: tuple[bytes, bytes], message: str, tmp_path: Path) -> None:
    content = pickle.dumps({"conv.weight": ARRAYS["conv.weight"]}, 3)
    head, _, tail = content.rpartition(change[0])
    (tmp_path / "a.pkl").write_bytes(head + change[1] + tail)
    with pytest.raises(WeightsError, match=rf"a\.pkl: .*{message}"):
        read(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(content[:-9])
    with pytest.raises(WeightsError, match=r"truncated pickle.*Fetch the file again"):
        read(tmp_path / "a.pkl")


def test_one_array_by_many_names_is_no_bomb(tmp_path: Path) -> None:
    one = np.zeros(2**20, np.float32)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({f"w{i}": one for i in range(17)}, 4))
    with pytest.raises(WeightsError, match="far more bytes"):
        read(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({f"w{i}": one for i in range(16)}, 4))
    assert len(read(tmp_path / "a.pkl")) == 16


def test_tensors_pickled_without_torch_save(tmp_path: Path) -> None:
    stream = b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nU\x01x\x85R"
    (tmp_path / "a.pkl").write_bytes(stream + b"K\x00K\x02\x85K\x01\x85\x89NtRsU\x01bK\x01s.")
    with pytest.raises(WeightsError, match=r"no tensors by name, but objects of 'torch\._utils\._rebuild_tensor_v2'"):
        read(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02U\x01aQ.")
    with pytest.raises(WeightsError, match=r"outside of it.*torch\.save"):
        read(tmp_path / "a.pkl")


# -- NumPy's files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_archives_of_arrays(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.npz", objects=np.array([{}]), names=np.array(["a"]), **ARRAYS)
    state = read(tmp_path / "a.npz")
    assert_same(state)
    assert state.origin.skipped == ("objects (Python objects)", "names (numbers of type <U1)")
    assert read_shapes(tmp_path / "a.npz") == {name: array.shape for name, array in ARRAYS.items()}


def test_a_file_of_one_array(tmp_path: Path) -> None:
    np.save(tmp_path / "bias.npy", np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)))
    assert_same(read(tmp_path / "bias.npy"), {"bias": np.arange(6, dtype=np.int16).reshape(2, 3)})
    np.save(tmp_path / "objects.npy", {"w": np.ones(2)}, allow_pickle=True)
    with pytest.raises(WeightsError, match=r"objects\.npy: .*Python objects.*numpy\.savez"):
        read(tmp_path / "objects.npy")


def test_damaged_numpy_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.arange(100))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content.replace(np.arange(100).tobytes()[:16], b"x" * 16))
    with pytest.raises(WeightsError, match=r"damaged.*CRC"):
        read(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(content[:-30])
    with pytest.raises(WeightsError, match="truncated zip"):
        read(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.arange(100))
    content = (tmp_path / "b.npy").read_bytes()
    for wrong in (
        content[:50],
        content[:-1],
        content.replace(b"descr", b"descx"),
        content.replace(b"(100,)", b"(-1,) "),
    ):
        (tmp_path / "b.npy").write_bytes(wrong)
        with pytest.raises(WeightsError, match=r"b\.npy: damaged NumPy file"):
            read(tmp_path / "b.npy")


def test_a_compressed_archive_is_no_bomb(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", w=np.zeros(2**24 + 1, np.float32))
    with pytest.raises(WeightsError, match="far more bytes"):
        read(tmp_path / "a.npz")


# -- safetensors -------------------------------------------------------------------------------------------------------


def test_safetensors_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    state = {**ARRAYS, "turned": ARRAYS["conv.weight"].T, "big": np.arange(3, dtype=">f8")}
    write_safetensors(path, state, {"epoch": "3"})
    expected = {**ARRAYS, "turned": np.ascontiguousarray(state["turned"]), "big": np.arange(3, dtype=np.float64)}
    assert_same(read(path), expected)
    assert read_metadata(path) == {"epoch": "3"}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_safetensors_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    write_safetensors(path, ARRAYS)
    before = path.read_bytes()
    with pytest.raises(WeightsError, match="'names' holds <U1, not numbers"):
        write_safetensors(path, {"names": np.array(["a"])})
    with pytest.raises(WeightsError, match="cannot be written"):
        write_safetensors(path, {"w": np.zeros(2, np.complex128)})  # a type that the format does not have
    assert path.read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        write_safetensors(tmp_path / "file" / "net.safetensors", ARRAYS)


def safetensors(kind: str, shape: list[int], data: bytes) -> bytes:
    header = json.dumps({"w": {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(safetensors("BF16", [1, 2], b"\xc0\x3f\x00\xc0"))
    assert_same(read(tmp_path / "a"), {"w": np.array([[1.5, -2]], np.float32)})


def test_other_safetensors(tmp_path: Path) -> None:
    cases = {
        safetensors("F8_E4M3", [2], b"\0\0"): "tensor 'w' holds F8_E4M3",
        safetensors("F32", [2], bytes(8))[:-1]: "damaged or truncated safetensors.*Fetch the file again",
        safetensors("F32", [3], bytes(8)): "damaged or truncated safetensors",
        struct.pack("<Q", 2**30) + b"{": "damaged or truncated safetensors",
        struct.pack("<Q", 2) + b"{}": "without tensors",
    }
    for content, message in cases.items():
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(WeightsError, match=f"a: .*{message}"):
            read(tmp_path / "a")


def test_an_exported_network_is_loaded_again(tmp_path: Path) -> None:
    from mindspore import nn

    network, other = nn.SequentialCell(nn.Dense(3, 2)), nn.SequentialCell(nn.Dense(3, 2))
    write_safetensors(tmp_path / "net.safetensors", export_state(network))
    assert load(other, read(tmp_path / "net.safetensors")).ok
    for name, array in export_state(network).items():
        np.testing.assert_array_equal(export_state(other)[name], array)


# -- what is not read --------------------------------------------------------------------------------------------------


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return made.getvalue()


OTHERS = {
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5 file.*h5py"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x05", "ONNX model.*checkpoint that it was exported from"),
    "saved model": (b"\x08\x01\x12\x99\x01", r"TensorFlow SavedModel.*variables/variables\.index"),
    "graph in text": (b'node {\n  name: "a"\n', r"TensorFlow graph in text.*\.pb"),
    "checkpoint list": (b'model_checkpoint_path: "model.ckpt-1"\n', "list of TensorFlow checkpoints.*Take one"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(20), "TensorFlow Lite"),
    "MINDIR": (b"\n\x050.1.1\x12\x09MindSpore", "MINDIR model"),
    "OM": (b"IMOD" + bytes(60), "Ascend OM model"),
    "MATLAB": (b"MATLAB 5.0 MAT-file", "MATLAB file"),
    "old pickle": (pickle.dumps({"a": 1}, 0), "pickle of protocol 0 or 1.*protocol 2"),
    "old binary pickle": (pickle.dumps({"a": 1}, 1), "pickle of protocol 0 or 1"),
    "zstd": (b"\x28\xb5\x2f\xfd\0", "compressed. Unpack"),
    "RAR": (b"Rar!\x1a\x07", "compressed. Unpack"),
    "JSON": (b' {"epoch": 3}', "text in JSON"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*git lfs pull"),
    "web page": (b"<html><title>Google Drive", "web page.*browser"),
    "TorchScript": (zipped("net/data.pkl", "net/constants.pkl", "net/code/__torch__.py"), "TorchScript.*state_dict"),
    "ONNX in a zip": (zipped("model.onnx"), "ONNX model in it"),
    "Keras": (zipped("config.json", "model.weights.h5"), "zip archive of Keras"),
    "videos": (zipped("a/v.avi", "a/w.mp4"), "videos or pictures"),
    "checkpoint in a zip": (zipped("best.pth"), "files of weights. Unpack"),
    "documents": (zipped("[Content_Types].xml"), r"holds '\[Content_Types\]\.xml'"),
    "empty": (b"", "is empty. Fetch the file again"),
    "noise": (bytes(range(200, 256)), "no weight file of a known kind"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named_for_what_they_are(name: str, tmp_path: Path) -> None:
    content, message = OTHERS[name]
    (tmp_path / "net.pth").write_bytes(content)
    for reader in (read, read_shapes, read_metadata):
        with pytest.raises(WeightsError, match=rf"net\.pth: .*{message}") as caught:
            reader(tmp_path / "net.pth")
    assert ("Fetch the file again" in str(caught.value)) == (name in ("empty", "noise"))


def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, Path(), ""):
        with pytest.raises(WeightsError, match=r"cannot be opened \(Is a directory\)\. Name a file in it"):
            read(path)
