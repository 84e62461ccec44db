"""Published files are checked before use: by size and digest, or by what they were when first used."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.sources import NotTheFile, Source, first_seen, verify


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lists.zip"
    path.write_bytes(b"abc")
    return path


def test_verify_returns_the_digest(file: Path) -> None:
    digest = sha256_file(file)
    assert verify(file, Source(name=file.name, bytes=3, sha256=digest, status="verified")) == digest
    assert verify(file, Source(name=file.name, status="tofu")) == digest


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"bytes": 4, "sha256": "0" * 64}, r"lists\.zip: 3 bytes, the manifest says 4"),
        ({"bytes": 3, "sha256": "0" * 64}, r"lists\.zip: sha256 ba7816bf.*, the manifest says 0000"),
        ({"md5": "0" * 32}, r"lists\.zip: md5 900150983cd24fb0d6963f7d28e17f72, the manifest says 0000"),
    ],
)
def test_verify_refuses_another_file(file: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(BookError, match=message):
        verify(file, Source(name=file.name, status="single", **entry))


def test_verify_names_the_source_of_a_missing_file(tmp_path: Path) -> None:
    source = Source(name="a.rar", url="https://example.org/a.rar", sha256="0" * 64, status="single")
    with pytest.raises(BookError, match=r"a\.rar: is missing; it is published at https://example\.org/a\.rar"):
        verify(tmp_path / "a.rar", source)


def test_git_blobs_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"hello\n")
    blob = "ce013625030ba8dba906f756967f9e9ca394464a"  # echo hello | git hash-object --stdin
    source = Source(name=path.name, git_blob=blob, status="single")
    assert len(verify(path, source)) == 64  # the sha256, for the record
    path.write_bytes(b"hellO\n")
    with pytest.raises(BookError, match=f"the manifest says {blob}.*another or a damaged file"):
        verify(path, source)
    with pytest.raises(ValidationError, match="git_blob"):
        Source(name=path.name, git_blob="ce0136", status="single")
    with pytest.raises(ValidationError, match="needs a sha256 or an md5, or a git_blob"):
        Source(name=path.name, status="single")


TOFU = Source(name="lists.zip", url="https://example.org/lists.zip", status="tofu")


def test_what_a_file_was_when_first_used_binds(file: Path) -> None:
    assert first_seen(file) is None
    digest = verify(file, TOFU)
    seen = first_seen(file)
    assert seen is not None
    assert {key: seen[key] for key in ("bytes", "sha256", "url")} == {"bytes": 3, "sha256": digest, "url": TOFU.url}
    record = (file.parent / "first_seen.json").read_bytes()
    assert verify(file, TOFU) == digest
    file.write_bytes(b"abd")
    with pytest.raises(NotTheFile, match=rf"lists\.zip: 3 bytes with sha256 .*, but when first used, .* {digest}"):
        verify(file, TOFU)
    assert (file.parent / "first_seen.json").read_bytes() == record


def test_records_of_several_files_and_of_those_with_a_temporary_name(file: Path) -> None:
    verify(file, TOFU)
    part = file.with_name("b.zip.part")
    part.write_bytes(b"b")
    with pytest.raises(NotTheFile, match=r"/b\.zip: 1 bytes, the manifest says 2"):
        verify(part, Source(name="b.zip", bytes=2, status="tofu"), file.with_name("b.zip"))
    verify(part, Source(name="b.zip", status="tofu"), file.with_name("b.zip"))
    record = json.loads((file.parent / "first_seen.json").read_text(encoding="utf-8"))
    assert list(record) == ["b.zip", "lists.zip"]


def test_files_with_a_published_digest_leave_no_record(file: Path) -> None:
    verify(file, Source(name=file.name, sha256=sha256_file(file), status="single"))
    assert not (file.parent / "first_seen.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"lists.zip": 3}', '{"lists.zip": {"bytes": 3}}'])
def test_a_damaged_record_is_no_leave_to_use_a_file(file: Path, text: str) -> None:
    (file.parent / "first_seen.json").write_text(text, encoding="utf-8")
    with pytest.raises(BookError, match=r"first_seen\.json: .*mend it, or delete it") as caught:
        verify(file, TOFU)
    assert not isinstance(caught.value, NotTheFile)  # the file itself may well be right
    assert (file.parent / "first_seen.json").read_text(encoding="utf-8") == text


def test_a_record_that_cannot_be_written_names_the_way_out(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("actionbook.core.sources.write_json_atomic", read_only)
    with pytest.raises(BookError, match=rf"cannot be written \(Read-only .*`sha256: {sha256_file(file)}` and `status:"):
        verify(file, TOFU)
