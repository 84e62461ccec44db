"""The command that fetches, verifies and unpacks all of a manifest, against a server on the loopback."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset
from actionbook.core.progress import MIRROR
from actionbook.datasets import fetch as fetching
from actionbook.datasets.fetch import main


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, "none")


VIDEOS = {f"UCF-101/{c}/v_{c}_g01_c01.avi": c.encode() * 9 for c in ("Walking", "MoonWalk")}
FLAT = {f"UCF101/v_{c}_g01_c01.avi": c.encode() * 9 for c in ("Walking", "MOONWALK")}
LISTS = {"lists/classInd.txt": b"1 MoonWalk\r\n2 Walking\r\n"}


@pytest.fixture
def made(server: Any, tmp_path: Path) -> Path:
    """A manifest of two archives, one that can take the place of the first, a text file, and no surprises."""
    server.files = {
        "/videos.zip": archive(VIDEOS),
        "/flat.zip": archive(FLAT),
        "/lists.zip": archive(LISTS),
        "/notes.txt": b"read me",
    }
    entries = {
        "videos.zip": {},
        "flat.zip": {"alternative_to": "videos.zip", "into": "UCF-101", "by_class": True},
        "lists.zip": {},
        "notes.txt": {"into": "lists", "sha256": None, "status": "tofu"},
    }
    sources = [
        {
            "name": name,
            "url": server.url(f"/{name}"),
            "sha256": hashlib.sha256(server.files[f"/{name}"]).hexdigest(),
            "status": "single",
            **changes,
        }
        for name, changes in entries.items()
    ]
    manifest = {
        "kind": "dataset",
        "name": "made",
        "dataset": "ucf101",
        "title": "Made",
        "licence": "none",
        "citation": "none",
        "homepage": "https://example.org",
        "layout": {"videos": "UCF-101", "annotations": "lists"},
        "videos": 2,
        "splits": {"1": {"train": 1, "test": 1}},
        "classes": ["MoonWalk", "Walking"],
        "sources": sources,
    }
    path = tmp_path / "made.yaml"
    path.write_text(json.dumps(manifest))
    return path


def change(manifest: Path, name: str, **changes: Any) -> None:
    content = json.loads(manifest.read_text())
    content["sources"] = [{**s, **changes} if s["name"] == name else s for s in content["sources"]]
    manifest.write_text(json.dumps(content))


def test_the_command_fetches_verifies_and_unpacks(
    server: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assert main([str(made), "--root", str(root)]) == 0
    for name, data in {**VIDEOS, **LISTS, "lists/notes.txt": b"read me"}.items():
        assert (root / name).read_bytes() == data
    assert [entry["path"] for entry in server.log] == ["/videos.zip", "/lists.zip", "/notes.txt"]
    assert list((root / "archives").iterdir()) == []
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{root}/archives/videos.zip: fetched and verified, 2 files unpacked into {root}"
    assert out[2] == f"{root}/lists/notes.txt: fetched and the one first seen (no digest is published)"
    assert main([str(made), "--root", str(root)]) == 0
    assert len(server.log) == 3
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [f"{name}: is unpacked in {root}" for name in ("videos.zip", "lists.zip")]


def test_a_root_that_cannot_be_written_is_refused_unless_all_is_there(
    server: Any, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(folder: Path, remedy: str) -> None:
        raise BookError(f"{folder}: {remedy}")

    monkeypatch.setenv("ACTIONBOOK_DATA", str(tmp_path / "data"))
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "require_writable", refuse)
        assert main([str(made)]) == 1
    first = f"{tmp_path / 'data' / 'made'}: name another folder with --root or the variable ACTIONBOOK_DATA\n"
    assert capsys.readouterr().err.startswith(first)
    assert not (tmp_path / "data").exists()
    assert main([str(made)]) == 0
    monkeypatch.setattr(fetching, "require_writable", refuse)
    assert main([str(made)]) == 0


def test_what_was_deleted_since_is_fetched_again(server: Any, made: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert main([str(made), "--root", str(root)]) == 0
    lost = root / next(iter(VIDEOS))
    lost.unlink()
    server.log.clear()
    assert main([str(made), "--root", str(root)]) == 0
    assert [entry["path"] for entry in server.log] == ["/videos.zip"]
    assert lost.is_file()


def test_the_alternative_by_name_goes_into_class_folders(server: Any, made: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert main([str(made), "--root", str(root), "--only", "flat.zip"]) == 0
    assert [entry["path"] for entry in server.log] == ["/flat.zip"]
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.avi")}
    assert found == {"UCF-101/Walking/v_Walking_g01_c01.avi", "UCF-101/MoonWalk/v_MOONWALK_g01_c01.avi"}
    assert main([str(made), "--root", str(root)]) == 0  # and is enough
    assert "/videos.zip" not in {entry["path"] for entry in server.log}


def test_a_rar_that_cannot_be_unpacked_here_gives_way(
    server: Any, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made.write_text(made.read_text().replace("videos.zip", "videos.rar"))
    monkeypatch.setattr(fetching, "rar_programs", dict)
    assert main([str(made), "--root", str(tmp_path / "root")]) == 0
    assert server.log[0]["path"] == "/flat.zip"
    assert main([str(made), "--root", str(tmp_path / "root"), "--only", "videos.rar"]) == 1
    assert "videos.rar: may need a program that is not installed" in caplog.text
    server.log.clear()
    monkeypatch.setattr(fetching, "rar_programs", lambda: {"unar": ()})
    assert main([str(made), "--root", str(tmp_path / "other")]) == 1  # there is none on the server
    assert server.log[0]["path"] == "/videos.rar"


def test_a_video_whose_name_tells_no_class(
    server: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/flat.zip"] = data = archive({**FLAT, "UCF101/v_Dancing_g01_c01.avi": b""})
    change(made, "flat.zip", sha256=hashlib.sha256(data).hexdigest())
    assert main([str(made), "--root", str(tmp_path / "root"), "--only", "flat.zip"]) == 1
    assert "UCF101/v_Dancing_g01_c01.avi: its name tells no class of made" in capsys.readouterr().err
    assert not list((tmp_path / "root").rglob("*.avi"))


def test_class_folders_that_lead_elsewhere_are_refused(
    server: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/flat.zip"] = data = archive({"UCF101/v_.._g01_c01.avi": b"evil"})
    change(made, "flat.zip", sha256=hashlib.sha256(data).hexdigest())
    made.write_text(made.read_text().replace('"classes": ["MoonWalk"', '"classes": [".."'))
    assert main([str(made), "--root", str(tmp_path / "root"), "--only", "flat.zip"]) == 1
    assert "made: every class is a folder in the layout of ucf101, which .. cannot be" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.avi"))


def test_archives_are_kept_if_asked_for_or_put_there_by_hand(server: Any, made: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "archives").mkdir(parents=True)
    (root / "archives" / "lists.zip").write_bytes(server.files["/lists.zip"])
    assert main([str(made), "--root", str(root)]) == 0
    assert names(root / "archives") == {"lists.zip"}
    assert "/lists.zip" not in {entry["path"] for entry in server.log}
    other = tmp_path / "other"
    assert main([str(made), "--root", str(other), "--keep-archives"]) == 0
    assert names(other / "archives") == {"videos.zip", "lists.zip"}


def test_one_fault_does_not_keep_the_rest(
    server: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.files["/videos.zip"]
    change(made, "notes.txt", url=None, note="ask the author")
    root = tmp_path / "root"
    assert main([str(made), "--root", str(root)]) == 1
    captured = capsys.readouterr()
    assert (root / "lists" / "classInd.txt").is_file()
    errors = captured.err.splitlines()
    assert errors[0].startswith(f"{server.url('/videos.zip')}: the server answers 404")
    assert re.fullmatch(
        r".*notes\.txt: .*get it yourself \(https://example\.org\) and put it there\. ask the author", errors[1]
    )
    assert len(errors) == 2


def test_what_no_source_contains_is_named(
    server: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(made.read_text())
    made.write_text(json.dumps({**content, "sources": content["sources"][2:]}))
    assert main([str(made), "--root", str(tmp_path / "root")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path / 'root' / 'UCF-101'}: is still missing")
    assert "https://example.org says how to get it" in error


@pytest.fixture
def ava(server: Any, tmp_path: Path) -> Path:
    """The manifest of AVA, with its sources on the server."""
    lists = archive({"ava_annotations/ava_train_v2.2.csv": b""})
    server.files = {"/ava_file_names_trainval_v2.1.txt": b"-5KQ66BBWC4.mkv\n", "/ava_v2.2.zip": lists}
    manifest = load_dataset("ava").model_dump(mode="json")
    for source in manifest["sources"]:
        source["url"] = server.url(f"/{source['name']}")
    path = tmp_path / "ava.yaml"
    path.write_text(json.dumps(manifest))
    return path


def test_the_films_of_ava_are_left_to_the_reader_with_the_commands(
    server: Any, ava: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "own data"
    assert main([str(ava), "--root", str(root), "--list"]) == 0
    commands = f"trainval/: is not fetched by this program\ncd '{root}'\n# 299 films, 477 GB"
    assert commands in capsys.readouterr().out
    assert main([str(ava), "--root", str(root)]) == 1
    told = capsys.readouterr()
    assert (root / "ava_annotations" / "ava_file_names_trainval_v2.1.txt").is_file()
    dead, films, *lines = told.err.splitlines()
    assert "ava_annotations.tar: the server answers 404" in dead
    assert ". Another way: --only ava_v2.2.zip (Google's own archive of the lists, without a detector's boxes" in dead
    assert films == f"{root}/trainval: is not fetched by this program."
    assert lines[0] == f"cd '{root}'"
    assert "ava_annotations/ava_file_names_trainval_v2.1.txt |" in lines[2]
    assert main([str(ava), "--root", str(root), "--only", "ava_v2.2.zip"]) == 0
    (root / "trainval").mkdir()
    capsys.readouterr()
    assert main([str(ava), "--root", str(root)]) == 0  # one of the two archives is enough
    assert "trainval" not in capsys.readouterr().err


def test_the_list_names_files_addresses_and_how_far_they_are(
    server: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assert main([str(made), "--root", str(root), "--only", "lists.zip"]) == 0
    (root / "archives" / "videos.zip.part").write_bytes(b"1234")
    capsys.readouterr()
    assert main([str(made), "--root", str(root), "--list"]) == 0
    out = capsys.readouterr().out
    assert "videos.zip: 4 bytes there (size unknown, single)\n" in out
    assert "flat.zip: missing (size unknown, single, instead of videos.zip)\n" in out
    assert "lists.zip: unpacked (size unknown, single)\n" in out
    assert f"    {server.url('/notes.txt')}\n    as {root}/lists/notes.txt\n" in out
    assert len(server.log) == 1


def test_weights_go_beside_each_other_and_are_never_unpacked(
    server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files = {"/net.pth.tar": archive(LISTS), "/b": b"b"}
    files = [
        {"name": "net.pth.tar", "url": server.url("/net.pth.tar"), "status": "tofu", "note": "other"},
        {"name": "rgb/b.data", "url": server.url("/b"), "status": "tofu", "note": "other"},
    ]
    content = {"kind": "weights", "name": "w", "title": "W", "licence": "x", "homepage": "x", "files": []}
    content["others"] = files
    path = tmp_path / "w.yaml"
    path.write_text(json.dumps(content))
    root = tmp_path / "root"
    assert main([str(path), "--root", str(root)]) == 0
    assert {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} == {
        "net.pth.tar",
        "first_seen.json",
        "rgb/b.data",
        "rgb/first_seen.json",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "data_manifests/nothing.yaml does not exist; there are: ava, ava_v2_1, hmdb51"),
        (["{made}", "--only", "gone.zip"], "made: has no source gone.zip; there are: videos.zip, flat.zip"),
    ],
)
def test_errors_of_the_command_are_sentences(
    made: Path, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.format(made=made) for argument in arguments]
    assert main([*arguments, "--root", str(tmp_path / "root")]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("root", ["", " "])
def test_an_empty_root_is_not_the_folder_one_is_in(
    made: Path, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(made), "--root", root]) == 1
    assert "--root: expected the path of a folder" in capsys.readouterr().err
    assert names(tmp_path) == {"made.yaml"}


def test_a_stop_says_how_to_go_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "fetch", stopped)
    assert main([str(made), "--root", str(tmp_path / "root")]) == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from here\n"


def test_a_drawn_data_set_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mini_ucf101", "--root", str(tmp_path / "root")]) == 0
    assert "there is nothing to fetch" in capsys.readouterr().out
    assert not (tmp_path / "root").exists()


def test_the_command_as_a_program(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "actionbook.datasets.fetch"]
    told = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "--keep-archives" in told.stdout
    change(made, "videos.zip", url=None)
    arguments = [str(made), "--root", str(tmp_path / "root"), "--only", "videos.zip"]
    failed = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"{tmp_path}/root/archives/videos.zip: is missing, and no address of it is known")
    assert "Traceback" not in failed.stderr


def test_every_real_source_is_placed_where_its_reader_looks() -> None:
    ucf, hmdb, kinetics = map(load_dataset, ("ucf101", "hmdb51", "kinetics400"))
    into = {source.name: source for manifest in (ucf, hmdb, kinetics) for source in manifest.sources}
    assert into["UCF101_videos.zip"].alternative_to == "UCF101.rar"
    assert (into["UCF101_videos.zip"].into, into["UCF101_videos.zip"].by_class) == (ucf.layout.videos, True)
    assert (into["hmdb51_org.rar"].into, into["hmdb51_org.rar"].nested) == (hmdb.layout.videos, True)
    assert {into["train.csv"].into, into["val.csv"].into} == {kinetics.layout.annotations}
    place = fetching._class_folders(ucf)
    assert place("UCF101/v_HandStandPushups_g01_c01.avi") == "HandstandPushups/v_HandStandPushups_g01_c01.avi"
    assert place("UCF101/readme.txt") == "readme.txt"
