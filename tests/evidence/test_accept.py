"""What is accepted lies in the book as it was packed, with its check; nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actionbook.core.errors import BookError
from actionbook.core.evidence import Check, read_check
from actionbook.core.files import sha256_file
from actionbook.evidence import accept as module
from actionbook.evidence.__main__ import main
from actionbook.evidence.accept import accept
from actionbook.evidence.check import check
from actionbook.results.evidence import EVIDENCE, accepted, evidence_page


def test_every_pack_in_the_book_is_checked_again() -> None:
    """The page shows what ``check.json`` says; it is what the check says today."""
    packs = accepted()
    assert packs
    for one in packs:
        assert not one.whole or same(check(one.folder), one.check), one.folder


def same(folder: Check, archive: Check | None) -> bool:
    """Whether both say the same of a pack; the archive has a digest as well."""
    return archive is not None and folder == archive.model_copy(update={"archive_sha256": None})


def test_accepted_and_read_again(packed: Path, tmp_path: Path) -> None:
    folder = accept(packed, "first", tmp_path)
    assert folder == tmp_path / "tiny" / "first"
    assert read_check(folder) == check(packed)
    assert same(check(folder), read_check(folder))
    assert [one.label for one in accepted(tmp_path)] == ["evidence-tiny-first"]
    assert {path.name for path in folder.parent.iterdir()} == {"first"}


def test_the_same_log_again_is_a_copy(packed: Path, opened: Path, tmp_path: Path) -> None:
    accept(packed, "first", tmp_path / "book")
    with pytest.raises(BookError, match="one of them is a copy"):
        accept(packed, "second", tmp_path / "book")
    assert not (tmp_path / "book" / "tiny" / "second").exists()


def test_a_name_that_is_taken(packed: Path, tmp_path: Path) -> None:
    accept(packed, "first", tmp_path)
    with pytest.raises(BookError, match="is there already"):
        accept(packed, "first", tmp_path)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b"])
def test_a_name_that_is_no_name(packed: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BookError, match="expected letters"):
        accept(packed, name, tmp_path)


def test_a_refuted_pack_leaves_nothing(opened: Path, tmp_path: Path) -> None:
    (opened / "README.txt").write_text("other")
    with pytest.raises(BookError, match=r"is refuted: files \(not as listed: README.txt\)"):
        accept(opened, "first", tmp_path / "book")
    assert not (tmp_path / "book").exists()


def test_of_a_pack_too_large_the_predictions_stay_in_the_archive(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_BOOK", 1000)
    folder = accept(packed, "first", tmp_path)
    assert not (folder / "predictions").exists()
    (one,) = accepted(tmp_path)
    assert not one.whole
    assert sha256_file(packed) in evidence_page([one])
    assert one.check.holds


def test_the_command_says_where_it_lies(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "__defaults__", (tmp_path,))
    assert main(["accept", str(packed), "--id", "first"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "tiny" / "first")
    assert json.loads((tmp_path / "tiny" / "first" / "check.json").read_text())["chapter"] == "tiny"


def test_the_book_has_an_example() -> None:
    assert any(one.record.generated for one in accepted(EVIDENCE))
