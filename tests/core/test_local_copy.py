"""Copies of what lies in object storage, against a real server: fetched, pushed, interrupted, killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from actionbook.core import local_copy
from actionbook.core.errors import BookError
from actionbook.core.local_copy import LocalCopy
from actionbook.core.object_store import Entry, ObjectStore


def copy_of(bucket: Any, prefix: str = "root") -> LocalCopy:
    return LocalCopy.of("work_root", f"s3://{bucket.name}/{prefix}")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the store: ``read <name> <start>``, ``write <name>``, ``remove <name>``, in order."""
    calls: list[str] = []
    read, write, remove = ObjectStore.read, ObjectStore.write, ObjectStore.remove

    def counted(store: ObjectStore, name: str, start: int, end: int) -> bytes:
        calls.append(f"read {name} {start}")
        return read(store, name, start, end)

    def written(store: ObjectStore, name: str, path: Path) -> Entry:
        calls.append(f"write {name}")
        return write(store, name, path)

    def removed(store: ObjectStore, name: str) -> None:
        calls.append(f"remove {name}")
        remove(store, name)

    monkeypatch.setattr(ObjectStore, "read", counted)
    monkeypatch.setattr(ObjectStore, "write", written)
    monkeypatch.setattr(ObjectStore, "remove", removed)
    return calls


def test_only_what_is_missing_or_differs_is_read(bucket: Any, asked: list[str]) -> None:
    files = {"a.txt": b"one", "b/动作 #1 & (x).bin": b"two" * 1000, "empty": b""}
    for name, body in files.items():
        bucket.put(f"root/{name}", body)
    copy = copy_of(bucket)
    assert copy.fetch() == 3
    assert contents(copy.folder) == files
    assert sorted(asked) == ["read a.txt 0", "read b/动作 #1 & (x).bin 0"]

    asked.clear()
    assert copy.fetch() == 3
    assert asked == []

    bucket.put("root/a.txt", b"ONE")  # the same size: the ETag tells
    (copy.folder / "empty").unlink()
    copy.fetch()
    assert asked == ["read a.txt 0"]
    assert contents(copy.folder) == {**files, "a.txt": b"ONE"}


def test_a_damaged_copy_of_data_is_fetched_again(bucket: Any) -> None:
    bucket.put("root/a", b"whole file")
    copy = copy_of(bucket)
    copy.fetch()
    (copy.folder / "a").write_bytes(b"who")
    copy.fetch()
    assert (copy.folder / "a").read_bytes() == b"whole file"


def test_without_its_memory_digests_tell(bucket: Any, asked: list[str]) -> None:
    bucket.put("root/a", b"1" * 100)
    copy = copy_of(bucket)
    copy.fetch()
    for memory in (copy.folder.parents[2] / "known").glob("*.json"):
        memory.write_text("{ damaged", encoding="utf-8")
    asked.clear()
    copy.fetch(ours=True)
    assert asked == []
    assert copy.unpushed([""]) == []


def test_what_is_skipped_and_what_lies_beside(bucket: Any) -> None:
    for name in ("videos/a.avi", "lists/a.txt", "weights/a.pth", "videosmore"):
        bucket.put(f"root/{name}", b"1")
    bucket.put("other/b", b"2")
    copy = copy_of(bucket)
    assert copy.fetch(skip=("videos/",)) == 3
    assert sorted(contents(copy.folder)) == ["lists/a.txt", "videosmore", "weights/a.pth"]
    other = copy.beside("other")
    other.fetch()
    assert contents(copy.folder.parent / "other") == {"b": b"2"}
    with pytest.raises(BookError, match="lies beside it, which nothing can"):
        LocalCopy.of("data_root", f"s3://{bucket.name}").beside("other")


def test_an_interrupted_fetch_goes_on_inside_the_file(
    bucket: Any, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_copy, "BLOCK", 1000)
    body = os.urandom(3500)
    bucket.put("root/large", body)
    copy, read = copy_of(bucket), ObjectStore.read

    def breaks(store: ObjectStore, name: str, start: int, end: int) -> bytes:
        if start == 2000:
            raise BookError("the network is gone")
        return read(store, name, start, end)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "read", breaks)
        with pytest.raises(BookError, match="the network is gone"):
            copy.fetch()
    assert not (copy.folder / "large").exists()
    asked.clear()
    copy.fetch()
    assert asked == ["read large 2000", "read large 3000"]
    assert contents(copy.folder) == {"large": body}


def test_bytes_that_are_not_those_of_the_digest_are_refused(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("root/a", b"true bytes")
    copy = copy_of(bucket)
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "read", lambda *_: b"FALSE BYTE")
        with pytest.raises(BookError, match=r"root/a: the store has 10 bytes with digest [0-9a-f]{32}, here are 10"):
            copy.fetch()
    assert contents(copy.folder) == {}
    copy.fetch()
    assert contents(copy.folder) == {"a": b"true bytes"}


def test_an_etag_that_is_no_md5_is_not_held_against_the_bytes(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("root/a", b"12345")
    copy = copy_of(bucket)
    monkeypatch.setattr(local_copy, "_md5", lambda path: "0" * 32)  # as of a store that encrypts with a key of its own
    monkeypatch.setattr(ObjectStore, "digest_is_md5", lambda store, name: False)
    copy.fetch()
    assert contents(copy.folder) == {"a": b"12345"}


def test_a_disk_that_is_too_small(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("root/a", b"1" * 5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 6, 4))
    with pytest.raises(BookError, match=r"has room for .*; set ACTIONBOOK_CACHE to a folder on a larger disk"):
        copy_of(bucket).fetch()


def write(folder: Path, **files: bytes) -> None:
    """Write files, each a second younger than the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, body) in enumerate(files.items()):
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (1e9 + number, 1e9 + number))


def test_the_new_and_changed_are_sent_in_their_order(bucket: Any, asked: list[str]) -> None:
    copy, seen = copy_of(bucket), set[str]()
    write(copy.folder, work__b_DOT_ckpt=b"1", work__a_DOT_json=b"2", shared__z=b"3", elsewhere=b"no")
    (copy.folder / "work" / ".tmp-1-x").write_bytes(b"not whole")
    copy.push(["work/", "shared/"], seen, ordered="work/")
    assert asked == ["write shared/z", "write work/b.ckpt", "write work/a.json"]
    assert bucket.names() == ["root/shared/z", "root/work/a.json", "root/work/b.ckpt"]

    asked.clear()
    copy.push(["work/", "shared/"], seen, ordered="work/")
    assert asked == []
    (copy.folder / "work" / "a.json").write_bytes(b"22")
    copy.push(["work/", "shared/"], seen, ordered="work/")
    assert asked == ["write work/a.json"]
    assert bucket.get("root/work/a.json") == b"22"


def test_what_goes_here_goes_there(bucket: Any, asked: list[str]) -> None:
    bucket.put("root/work/never seen", b"0")
    copy, seen = copy_of(bucket), set[str]()
    write(copy.folder, work__state=b"1", work__done=b"2")
    copy.push(["work/"], seen)
    (copy.folder / "work" / "state").unlink()
    bucket.put("root/work/done", b"another job's")
    (copy.folder / "work" / "done").unlink()
    copy.push(["work/"], seen)
    assert bucket.names() == ["root/work/done", "root/work/never seen"]  # not what another one has changed

    write(copy.folder, work__state=b"1")
    copy.push(["work/"], seen)
    shutil.rmtree(copy.folder)  # somebody empties the cache while a job runs
    copy.push(["work/"], seen)
    assert "root/work/state" in bucket.names()


def test_of_two_changes_the_stores_is_taken_and_said(bucket: Any, caplog: pytest.LogCaptureFixture) -> None:
    copy, seen = copy_of(bucket), set[str]()
    write(copy.folder, work__a=b"1", work__b=b"1")
    copy.push(["work/"], seen)
    write(copy.folder, work__a=b"mine", work__b=b"mine")
    bucket.put("root/work/b", b"another's")
    copy.fetch("work/", ours=True)
    assert contents(copy.folder) == {"work/a": b"mine", "work/b": b"another's"}
    said = f"another one is in {copy.store}, which is taken: another job has written there"
    assert [record.message for record in caplog.records] == [f"{copy.folder}/work/b: {said}"]
    copy.push(["work/"], seen)
    assert bucket.get("root/work/a") == b"mine"


PUSH = """
import sys
from actionbook.core.local_copy import LocalCopy
copy = LocalCopy.of("work_root", sys.argv[1])
print("begun", flush=True)
copy.push(["work/"], set(), ordered="work/")
"""


def test_a_push_that_is_killed_leaves_whole_objects_and_the_next_sends_the_rest(bucket: Any) -> None:
    copy = copy_of(bucket)
    files = {f"work__{number:03d}_DOT_{number % 2}": os.urandom(300_000) for number in range(60)}
    files["work__last"] = os.urandom(120_000_000)  # in parts
    write(copy.folder, **files)
    sent = contents(copy.folder)
    for least in (5, 60):  # killed among the small ones, then in the middle of the large one
        child = subprocess.Popen([sys.executable, "-c", PUSH, str(copy.store)], stdout=subprocess.PIPE)
        while len(bucket.names()) < least:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
        there = bucket.names("root/")
        assert least <= len(there) < len(sent)
        assert all(bucket.get(key) == sent[key.removeprefix("root/")] for key in there)
        assert there == [f"root/{name}" for name in sorted(sent)[: len(there)]]  # in their order
    copy.fetch("work/", ours=True)
    copy.push(["work/"], set(), ordered="work/")
    assert {key.removeprefix("root/"): bucket.get(key) for key in bucket.names()} == sent
    assert copy.unpushed(["work/"]) == []
