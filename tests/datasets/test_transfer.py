"""Downloads from a real server on the loopback, with all that can go wrong on the way."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.sources import Source
from actionbook.datasets import transfer
from actionbook.datasets.fetch import fetch
from actionbook.datasets.unpack import sole_user

BLOCK = 1 << 16
DATA = bytes(hashlib.shake_256(b"film").digest(5 * BLOCK + 77))
QUICK = (0.0, 0.0)


@pytest.fixture(autouse=True)
def film(server: Any) -> None:
    """The file that most tests fetch."""
    server.files["/film.bin"] = DATA


def published(server: Any, data: bytes = DATA, **changes: Any) -> Source:
    entry = {
        "name": "film.bin",
        "url": server.url("/film.bin"),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
        "status": "verified",
    }
    return Source(**{**entry, **changes})


def tofu(server: Any) -> Source:
    return Source(name="film.bin", url=server.url("/film.bin"), status="tofu")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_good_download(server: Any, tmp_path: Path) -> None:
    path = fetch(published(server), tmp_path / "new", pauses=QUICK)
    assert path == tmp_path / "new" / "film.bin"
    assert path.read_bytes() == DATA
    assert names(path.parent) == {"film.bin"}
    assert len(server.log) == 1


def test_a_file_that_is_there_and_right_is_not_fetched(server: Any, tmp_path: Path) -> None:
    (tmp_path / "film.bin").write_bytes(DATA)
    fetch(published(server), tmp_path, pauses=QUICK)
    assert server.log == []


def test_a_file_that_is_there_and_wrong_is_left_alone(server: Any, tmp_path: Path) -> None:
    (tmp_path / "film.bin").write_bytes(b"mine")
    with pytest.raises(BookError, match=r"film\.bin: 4 bytes, the manifest says .*Move or delete it"):
        fetch(published(server), tmp_path, pauses=QUICK)
    assert (tmp_path / "film.bin").read_bytes() == b"mine"
    assert server.log == []


def test_a_name_with_a_folder(server: Any, tmp_path: Path) -> None:
    path = fetch(published(server, name="rgb/model.data"), tmp_path, pauses=QUICK)
    assert path == tmp_path / "rgb" / "model.data"
    assert path.read_bytes() == DATA


def test_an_altered_byte_is_found_by_the_digest(server: Any, tmp_path: Path) -> None:
    server.files["/film.bin"] = DATA[:100] + bytes([DATA[100] ^ 1]) + DATA[101:]
    with pytest.raises(BookError) as caught:
        fetch(published(server), tmp_path, pauses=QUICK)
    message = str(caught.value)
    assert message.startswith(
        f"{server.url('/film.bin')}: what came from there is not the published file and was deleted. "
    )
    assert hashlib.sha256(server.files["/film.bin"]).hexdigest() in message
    assert hashlib.sha256(DATA).hexdigest() in message
    assert f"put it at {tmp_path / 'film.bin'}" in message
    assert names(tmp_path) == set()
    assert len(server.log) == 1


def test_a_git_blob_is_checked(server: Any, tmp_path: Path) -> None:
    blob = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA).hexdigest()
    source = published(server, sha256=None, md5=None, git_blob=blob)
    assert fetch(source, tmp_path, pauses=QUICK).read_bytes() == DATA
    server.files["/film.bin"] = b"version https://git-lfs.github.com/spec/v1\n"
    with pytest.raises(BookError, match="pointer of git LFS"):
        fetch(source.model_copy(update={"name": "b", "bytes": None}), tmp_path, pauses=QUICK)
    assert names(tmp_path) == {"film.bin"}


def test_a_file_of_another_size_is_refused_before_it_comes(server: Any, tmp_path: Path) -> None:
    server.files["/film.bin"] = b"<html>gone</html>"
    with pytest.raises(BookError, match=rf"offers 17 bytes .*the manifest says {len(DATA):,}"):
        fetch(published(server), tmp_path, pauses=QUICK)
    assert names(tmp_path) == set()


def test_a_transfer_that_breaks_off_goes_on_where_it_was(server: Any, tmp_path: Path) -> None:
    server.script = [{"cut": 2 * BLOCK}, {"cut": BLOCK}]
    path = fetch(published(server), tmp_path, pauses=QUICK)
    assert path.read_bytes() == DATA
    assert [entry["range"] for entry in server.log] == [None, f"bytes={2 * BLOCK}-", f"bytes={3 * BLOCK}-"]
    assert [entry["if"] for entry in server.log] == [None, '"v1"', '"v1"']
    assert sum(entry["sent"] for entry in server.log) == len(DATA)  # nothing twice
    assert names(tmp_path) == {"film.bin"}


def test_another_run_goes_on_where_the_first_gave_up(server: Any, tmp_path: Path) -> None:
    server.script = [{"cut": 2 * BLOCK}, *[{"status": 503}] * 2]
    with pytest.raises(BookError) as caught:
        fetch(published(server), tmp_path, pauses=QUICK)
    message = str(caught.value)
    assert "the server answers 503" in message
    assert f"{2 * BLOCK:,} of {len(DATA):,} bytes are kept in {tmp_path / 'film.bin.part'}" in message
    assert names(tmp_path) == {"film.bin.part", "film.bin.part.json"}
    assert len(server.log) == 1 + len(QUICK)
    server.log.clear()
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert [(entry["range"], entry["sent"]) for entry in server.log] == [(f"bytes={2 * BLOCK}-", len(DATA) - 2 * BLOCK)]
    assert names(tmp_path) == {"film.bin"}


def test_attempts_that_get_further_are_not_counted(server: Any, tmp_path: Path) -> None:
    server.script = [{"cut": BLOCK}] * 5
    assert fetch(published(server), tmp_path, pauses=(0.0,)).read_bytes() == DATA
    assert len(server.log) == 6


def test_a_server_without_ranges_sends_it_again(server: Any, tmp_path: Path) -> None:
    server.script = [{"cut": 2 * BLOCK}, {"no_ranges": True}]
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert [entry["sent"] for entry in server.log] == [2 * BLOCK, len(DATA)]


def test_a_server_that_always_breaks_off_at_the_same_place(server: Any, tmp_path: Path) -> None:
    server.script = [{"cut": BLOCK, "no_ranges": True}] * 9
    with pytest.raises(BookError, match=f"{BLOCK:,} of {len(DATA):,} bytes are kept"):
        fetch(published(server), tmp_path, pauses=QUICK)
    assert len(server.log) == 1 + len(QUICK)


def test_another_range_than_was_asked_for_is_not_taken(server: Any, tmp_path: Path) -> None:
    server.script = [{"cut": 2 * BLOCK}, {"starts_at": 7}]
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert [entry["range"] for entry in server.log] == [None, f"bytes={2 * BLOCK}-", None]


def test_a_file_that_changed_meanwhile_begins_anew(server: Any, tmp_path: Path) -> None:
    server.script = [{"cut": BLOCK}, *[{"status": 503}] * 2]
    with pytest.raises(BookError, match="503"):
        fetch(tofu(server), tmp_path, pauses=QUICK)
    server.files["/film.bin"] = other = DATA[::-1]
    server.script = [{"tag": '"v2"'}]
    assert fetch(tofu(server), tmp_path, pauses=QUICK).read_bytes() == other
    assert server.log[-1]["if"] == '"v1"'


def test_a_part_without_a_tag_is_used_only_if_a_digest_will_tell(server: Any, tmp_path: Path) -> None:
    for source, ranges in ((tofu(server), [None, None]), (published(server), [None, f"bytes={BLOCK}-"])):
        folder = tmp_path / source.status
        server.script = [{"cut": BLOCK, "tag": ""}, *[{"status": 503}] * 2]
        with pytest.raises(BookError, match="503"):
            fetch(source, folder, pauses=QUICK)
        begun = server.log[0]["range"]
        server.log.clear()
        assert fetch(source, folder, pauses=QUICK).read_bytes() == DATA
        assert [begun, server.log[0]["range"]] == ranges
        server.log.clear()


def test_a_part_of_another_file_leads_to_a_clean_second_attempt(server: Any, tmp_path: Path) -> None:
    (tmp_path / "film.bin.part").write_bytes(b"x" * BLOCK)
    (tmp_path / "film.bin.part.json").write_text(json.dumps({"url": server.url("/film.bin"), "total": len(DATA)}))
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert [entry["range"] for entry in server.log] == [f"bytes={BLOCK}-", None]


@pytest.mark.parametrize("note", [None, "{", "[1]", '{"url": "http://elsewhere/film.bin"}'])
def test_a_part_of_unknown_origin_is_not_used(server: Any, tmp_path: Path, note: str | None) -> None:
    (tmp_path / "film.bin.part").write_bytes(DATA[:BLOCK])
    if note is not None:
        (tmp_path / "film.bin.part.json").write_text(note)
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert [entry["range"] for entry in server.log] == [None]


def test_a_part_that_is_whole_needs_no_server(server: Any, tmp_path: Path) -> None:
    (tmp_path / "film.bin.part").write_bytes(DATA)
    (tmp_path / "film.bin.part.json").write_text(json.dumps({"url": server.url("/film.bin")}))
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert server.log == []


def test_a_range_that_cannot_be_had_begins_anew(server: Any, tmp_path: Path) -> None:
    (tmp_path / "film.bin.part").write_bytes(DATA + b"more")
    (tmp_path / "film.bin.part.json").write_text(json.dumps({"url": server.url("/film.bin"), "etag": '"v1"'}))
    source = published(server, bytes=None)  # so that the excess is not seen at once
    assert fetch(source, tmp_path, pauses=QUICK).read_bytes() == DATA
    assert [entry["range"] for entry in server.log] == [f"bytes={len(DATA) + 4}-", None]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_followed_also_in_the_middle(server: Any, tmp_path: Path, status: int) -> None:
    server.files = {"/moved.bin": DATA}
    away = {"status": status, "to": "/moved.bin"}
    server.script = [away, {"cut": BLOCK}, away]
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert [entry["path"] for entry in server.log] == ["/film.bin", "/moved.bin"] * 2
    assert server.log[-1]["range"] == f"bytes={BLOCK}-"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(server: Any, tmp_path: Path, status: int) -> None:
    server.script = [{"status": status}]
    with pytest.raises(BookError) as caught:
        fetch(published(server), tmp_path, pauses=QUICK)
    message = str(caught.value)
    assert message.startswith(f"{server.url('/film.bin')}: the server answers {status} ")
    assert f"get film.bin another way and put it at {tmp_path / 'film.bin'}" in message
    assert len(server.log) == 1
    assert names(tmp_path) == set()


def test_a_passing_refusal_is_not(server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.script = [{"status": 503}, {"status": 429}]
    assert fetch(published(server), tmp_path, pauses=(0.01, 0.02)).read_bytes() == DATA
    assert [record.getMessage().rsplit("; ")[-1] for record in caplog.records if record.name == transfer.__name__] == [
        "trying again in 0.01 s",
        "trying again in 0.02 s",
    ]


def test_a_refused_connection(server: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = published(server, url=f"http://127.0.0.1:{port}/film.bin")
    with pytest.raises(BookError, match=rf"127\.0\.0\.1:{port}/film\.bin: .*[Rr]efused.*put it at "):
        fetch(source, tmp_path, pauses=QUICK)
    assert names(tmp_path) == set()


def test_a_host_that_does_not_exist(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    source = published(server, url="http://videos.invalid/film.bin")
    with pytest.raises(BookError, match=r"Failed to resolve 'videos\.invalid'.*put it at "):
        fetch(source, tmp_path, pauses=QUICK)


def test_a_server_that_says_nothing(tmp_path: Path, server: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = published(server, url=f"http://127.0.0.1:{silent.getsockname()[1]}/film.bin")
        with pytest.raises(BookError, match=r"[Rr]ead timed out.*put it at "):
            fetch(source, tmp_path, pauses=())


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/film.bin", "film.bin", "http://"])
def test_an_address_that_is_none(server: Any, tmp_path: Path, url: str) -> None:
    with pytest.raises(BookError, match="put it at "):
        fetch(published(server, url=url), tmp_path, pauses=QUICK)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
def test_certificates_are_checked(server: Any, tmp_path: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    made += [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "key",
        "-out",
        "certificate",
    ]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    source = published(server, url=server.url("/film.bin").replace("http:", "https:"))
    with pytest.raises(BookError, match=r"certificate cannot be verified .*check the clock"):
        fetch(source, tmp_path / "new", pauses=QUICK)
    assert server.log == []
    assert names(tmp_path / "new") == set()


def test_bytes_are_taken_as_published_whatever_the_server_calls_them(server: Any, tmp_path: Path) -> None:
    server.files["/film.bin"] = packed = gzip.compress(DATA)
    server.script = [{"encoding": "gzip"}]
    assert fetch(published(server, packed), tmp_path, pauses=QUICK).read_bytes() == packed
    assert [entry["accepts"] for entry in server.log] == ["identity"]


def test_a_length_that_nobody_knows(server: Any, tmp_path: Path) -> None:
    server.script = [{"length": False}, {"length": False}]
    assert fetch(published(server, bytes=None), tmp_path, pauses=QUICK).read_bytes() == DATA
    with pytest.raises(BookError, match="does not say how long the file is"):
        fetch(tofu(server), tmp_path / "tofu", pauses=QUICK)
    assert names(tmp_path / "tofu") == set()


def test_a_file_that_differs_from_the_one_first_seen_is_refused(server: Any, tmp_path: Path) -> None:
    for _ in range(2):  # the same again is not
        fetch(tofu(server), tmp_path, pauses=QUICK).unlink()
    before = (tmp_path / "first_seen.json").read_bytes()
    assert set(json.loads(before)) == {"film.bin"}
    server.files["/film.bin"] = other = DATA[::-1]
    with pytest.raises(BookError) as caught:
        fetch(tofu(server), tmp_path, pauses=QUICK)
    message = str(caught.value)
    assert hashlib.sha256(DATA).hexdigest() in message
    assert hashlib.sha256(other).hexdigest() in message
    assert f"delete its entry in {tmp_path / 'first_seen.json'}" in message
    assert names(tmp_path) == {"first_seen.json"}
    assert (tmp_path / "first_seen.json").read_bytes() == before


def test_a_damaged_record_costs_no_download(server: Any, tmp_path: Path) -> None:
    (tmp_path / "first_seen.json").write_text("{")
    with pytest.raises(BookError, match=r"first_seen\.json: cannot be read"):
        fetch(tofu(server), tmp_path, pauses=QUICK)
    assert (tmp_path / "film.bin.part").read_bytes() == DATA
    (tmp_path / "first_seen.json").unlink()
    assert fetch(tofu(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert len(server.log) == 1


def test_a_full_disk_keeps_what_was_written(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            room = 2 * BLOCK + 5 - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(memoryview(data)[:room])  # as the kernel does: what fits is written

    opened = Path.open

    def small(path: Path, mode: str = "r", **options: Any) -> Any:
        return Full(path, mode) if path.suffix == ".part" and mode == "ab" else opened(path, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", small)
        with pytest.raises(BookError) as caught:
            fetch(published(server), tmp_path, pauses=QUICK)
    missing = len(DATA) - 2 * BLOCK - 5
    assert f"the disk of {tmp_path / 'film.bin.part'} is full; make room for {missing:,} bytes more" in str(
        caught.value
    )
    assert names(tmp_path) == {"film.bin.part", "film.bin.part.json"}
    assert len(server.log) == 1
    assert fetch(published(server), tmp_path, pauses=QUICK).read_bytes() == DATA
    assert server.log[-1]["sent"] == missing


def test_writes_that_take_only_a_part(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:50_000])

    opened = Path.open

    def slow(path: Path, mode: str = "r", **options: Any) -> Any:
        return Slow(path, mode) if path.suffix == ".part" and mode == "ab" else opened(path, mode, **options)

    monkeypatch.setattr(Path, "open", slow)
    assert fetch(published(server), tmp_path, pauses=()).read_bytes() == DATA
    assert len(server.log) == 1


def test_too_little_room_is_seen_before(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 99))
    with pytest.raises(BookError, match=rf"{len(DATA):,} bytes are still to come, but 99 are free on the disk"):
        fetch(published(server), tmp_path, pauses=QUICK)
    assert names(tmp_path) == set()


def test_two_at_once_do_not_mix(server: Any, tmp_path: Path) -> None:
    with (
        sole_user(tmp_path),
        pytest.raises(BookError, match=f"{re.escape(str(tmp_path))}: another process fetches"),
    ):
        fetch(published(server), tmp_path, pauses=QUICK)
    fetch(published(server), tmp_path, pauses=QUICK)


def test_no_address(tmp_path: Path) -> None:
    source = Source(name="net.pth", status="tofu", note="linked from the README")
    with pytest.raises(
        BookError, match=r"net\.pth: is missing, and no address of it is known\. linked from the README"
    ):
        fetch(source, tmp_path)


def test_a_fetch_that_is_killed_goes_on(server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    code = (
        "import os, sys; from pathlib import Path; from actionbook.core.sources import Source;"
        "from actionbook.datasets import fetch, transfer; write = transfer.Transfer._write\n"
        "def killed(self, data):\n"
        "    if self.have: os.kill(os.getpid(), 9)\n"
        "    write(self, data)\n"
        "transfer.Transfer._write = killed\n"
        "fetch.fetch(Source.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-c", code, published(server).model_dump_json(), str(folder)]
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == -9
    assert names(folder) == {"film.bin.part", "film.bin.part.json"}
    assert fetch(published(server), folder, pauses=QUICK).read_bytes() == DATA
    assert server.log[-1]["range"] == f"bytes={BLOCK}-"
