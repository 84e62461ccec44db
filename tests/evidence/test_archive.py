"""A hostile archive is refused without harm: nothing outside its folder, nothing executed, no memory filled."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.evidence import archive, contents
from actionbook.evidence.archive import unpack, write_archive
from actionbook.evidence.check import check

Members = list[tuple[str | zipfile.ZipInfo, bytes]]


def held(packed: Path) -> Members:
    with zipfile.ZipFile(packed) as file:
        return [(name, file.read(name)) for name in file.namelist()]


def written(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


BAD = {
    "leads out": [("../evil.txt", b"x")],
    "leads out below": [("predictions/../../evil.txt", b"x")],
    "absolute": [("/tmp/evil.txt", b"x")],
    "with backslashes": [("..\\evil.txt", b"x")],
    "a program": [("predictions/fast/run.py", b"x")],
    "hidden": [("predictions/.git/config", b"x")],
    "a pickle": [("predictions/fast/network.pkl", b"x")],
    "a folder": [("predictions/fast/", b"")],
    "a long name": [("failures/" + "a" * 300 + ".csv", b"x")],
    "a line end in a name": [("failures/a\n.csv", b"x")],
    "no archive in it": [("evidence.json/x", b"x")],
}


@pytest.mark.parametrize("members", BAD.values(), ids=BAD)
def test_a_name_that_no_pack_has(packed: Path, tmp_path: Path, members: Members) -> None:
    bad = written(tmp_path / "in" / "x.zip" if (tmp_path / "in").mkdir() is None else tmp_path, held(packed) + members)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BookError, match="is no file of a pack"):
        check(bad)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not Path("/tmp/evil.txt").exists()


def test_a_link_is_unpacked_as_a_file_and_is_no_listing(packed: Path, tmp_path: Path) -> None:
    members = [(name, data) for name, data in held(packed) if name != "evidence.json"]
    bad = written(tmp_path / "x.zip", [*members, (link("evidence.json"), b"/etc/passwd")])
    with pytest.raises(BookError, match="not valid JSON"):
        check(bad)


def test_a_folder_with_a_link_is_refused(opened: Path) -> None:
    (opened / "failures" / "x.csv").parent.mkdir(exist_ok=True)
    (opened / "failures" / "x.csv").symlink_to("/etc/passwd")
    found = check(opened)
    assert not found.holds
    assert any("is a link" in one.detail for one in found.findings)


def test_a_name_twice(packed: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        bad = written(tmp_path / "x.zip", [*held(packed), ("recipe.yaml", b"x: 1")])
    with pytest.raises(BookError, match=r"recipe\.yaml stands twice"):
        check(bad)


def test_an_encrypted_member(packed: Path, tmp_path: Path) -> None:
    data = bytearray(packed.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # of the last file, in the table of contents
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(BookError, match="is encrypted"):
        check(tmp_path / "x.zip")


def test_more_than_a_pack_holds(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = written(tmp_path / "x.zip", [*held(packed), ("failures/zeros.csv", bytes(10_000_000))])
    assert bad.stat().st_size < 200_000
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000_000)
    with pytest.raises(BookError, match="larger than a pack's files may be"):
        check(bad)


def test_too_many_files(packed: Path, tmp_path: Path) -> None:
    bad = written(tmp_path / "x.zip", [*held(packed), *((f"failures/{n}.csv", b"") for n in range(2000))])
    with pytest.raises(BookError, match="a pack has at most 2000"):
        check(bad)


@pytest.mark.parametrize("cut", [0, 10, 3000, -1, -30])
def test_a_damaged_archive(packed: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "x.zip").write_bytes(packed.read_bytes()[: cut or 0])
    with pytest.raises(BookError, match=r"is no (archive that can be read|file of a pack)"):
        check(tmp_path / "x.zip")


def test_a_flipped_byte_is_found(packed: Path, tmp_path: Path) -> None:
    data = bytearray(packed.read_bytes())
    data[data.index(b"predictions/fast/network.npz") + 400] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(BookError, match="CRC"):
        check(tmp_path / "x.zip")


class Harm:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return open, ("/tmp/evil.txt", "w")  # type: ignore[return-value]


def npz(array: np.ndarray, name: str = "planes", *, objects: bool = False) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, allow_pickle=True, **{name: array}) if objects else np.savez_compressed(
        sink, **{name: array}
    )
    return sink.getvalue()


PREDICTIONS = {
    "objects": npz(np.array([[Harm()]], object), objects=True),
    "another shape": npz(np.zeros((4, 3, 2), np.uint8)),
    "another type": npz(np.zeros((1, 3, 2), np.float32)),
    "another name": npz(np.zeros((4, 44, 2), np.uint8), "other"),
    "too large": npz(np.zeros((4, 1000, 1000), np.uint8)),
    "no archive": b"\x80\x04",
    "a pickle": pickle.dumps([1]),
}


@pytest.mark.parametrize("data", PREDICTIONS.values(), ids=PREDICTIONS)
def test_predictions_of_another_form(opened: Path, relist: Callable[[], None], data: bytes) -> None:
    (opened / "predictions" / "fast" / "network.npz").write_bytes(data)
    relist()
    found = check(opened)
    assert any(one.what == "scores" and "four planes" in one.detail for one in found.findings)
    assert not Path("/tmp/evil.txt").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_no_numbers(opened: Path, relist: Callable[[], None], value: float) -> None:
    file = opened / "predictions" / "fast" / "network.npz"
    planes = np.load(file)["planes"]
    planes[:, 0, 0] = np.array([value], "<f4").view(np.uint8)
    file.write_bytes(npz(planes))
    relist()
    assert any(one.what == "scores" and "not finite" in one.detail for one in check(opened).findings)


TEXTS = {
    "deep": ("evidence.json", b"[" * 100_000),
    "a list": ("evidence.json", b"[]"),
    "no text": ("evidence.json", b"\xff\xfe\x00"),
    "another key": ("evidence.json", b'{"version": 1, "path": "x"}'),
    "a record that is deep": ("record/05_accuracy.json", b'{"a":' * 100_000),
    "a record of something else": ("record/05_accuracy.json", b'{"head": 1}'),
    "aliases": ("recipe.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"),
    "a tag": ("recipe.yaml", b"a: !!python/object/apply:os.system ['touch /tmp/evil.txt']\n"),
    "a manifest that is none": ("manifest.yaml", b"kind: weights\n"),
}


@pytest.mark.parametrize(("name", "data"), TEXTS.values(), ids=TEXTS)
def test_texts_of_another_form(packed: Path, tmp_path: Path, name: str, data: bytes) -> None:
    members: Members = [(one, data if one == name else text) for one, text in held(packed)]
    with pytest.raises(BookError):
        check(written(tmp_path / "x.zip", members))
    assert not Path("/tmp/evil.txt").exists()


def test_a_log_that_is_none(opened: Path, relist: Callable[[], None]) -> None:
    for text in ("[" * 100_000, "1\n2\n3\n", "{"):
        (opened / "training" / "fast" / "clip-seed1.jsonl").write_text(text)
        relist()
        assert any("clip-seed1.jsonl: " in one.detail for one in check(opened).findings)


def test_an_index_that_would_fill_the_memory(opened: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (opened / "index" / "index-labels.csv.gz").write_bytes(gzip.compress(bytes(5_000_000)))
    monkeypatch.setattr(contents, "MOST_BYTES", 1_000_000)
    with pytest.raises(BookError, match="once it is unpacked"):
        check(opened)


@pytest.mark.parametrize(
    "name", ["evidence.json", "recipe.yaml", "record/04_conversion.json", "index/index-items.csv.gz"]
)
def test_a_file_that_is_missing_is_named(packed: Path, tmp_path: Path, name: str) -> None:
    members: Members = [(one, data) for one, data in held(packed) if one != name]
    with pytest.raises(BookError, match=name.rpartition("/")[2].split(".")[0]):
        check(written(tmp_path / "x.zip", members))


def test_what_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="does not exist"):
        check(tmp_path / "none.zip")
    with pytest.raises(BookError, match=r"evidence\.json: is missing"):
        check(tmp_path)


def test_written_and_unpacked_again(opened: Path, packed: Path, tmp_path: Path) -> None:
    again = write_archive(opened, tmp_path / "again.zip")
    assert again.read_bytes() == packed.read_bytes()
    (tmp_path / "twice").mkdir()
    unpack(again, tmp_path / "twice")
    assert json.loads((tmp_path / "twice" / "evidence.json").read_text())["by"] == "Ada L."
