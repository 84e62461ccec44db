"""The doctor on the checkout, the folders in its stead, the home, the encoding, the user and the working directory."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.paths import ROOT
from actionbook.doctor import places


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that cannot be written, which root would not notice."""

    def refuse(folder: Path, _: str) -> None:
        if folder.is_relative_to(ROOT):
            raise BookError("read-only")

    monkeypatch.setattr(places, "require_writable", refuse)


def test_a_checkout_and_folders_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    for name in ("ACTIONBOOK_DATA", "ACTIONBOOK_WORK", "ACTIONBOOK_BUILD"):
        monkeypatch.delenv(name, raising=False)
    assert table.of(places.checkout).row("checkout", "ok").message == f"{ROOT} can be written"
    monkeypatch.setenv("ACTIONBOOK_DATA", str(tmp_path))
    assert table.of(places.checkout).row("checkout", "ok").message == f"{ROOT} can be written; data in {tmp_path}"


@pytest.mark.usefixtures("read_only")
def test_a_checkout_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    for name in ("ACTIONBOOK_DATA", "ACTIONBOOK_BUILD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACTIONBOOK_WORK", str(tmp_path / "w"))
    row = table.of(places.checkout).row(
        "checkout", "warning", remedy="ACTIONBOOK_DATA, ACTIONBOOK_WORK and ACTIONBOOK_B"
    )
    assert row.message.endswith(f"these cannot be written: data ({ROOT / 'data'}), build ({ROOT / '_build'})")
    monkeypatch.setenv("ACTIONBOOK_BUILD", str(tmp_path / "b"))  # data may lie in the checkout, whole
    row = table.of(places.checkout).row("checkout", "ok")
    assert row.message == f"{ROOT} is read-only; work in {tmp_path / 'w'}, build in {tmp_path / 'b'}"


def test_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    def row(unusable: list[str], **given: str) -> Any:
        monkeypatch.setattr(places, "unusable", lambda: unusable)
        monkeypatch.setattr(places, "GIVEN", given)
        return table.of(places.home)

    monkeypatch.setenv("HOME", str(tmp_path))
    row([]).row("home", "ok", f"{tmp_path} can hold the caches")
    row([], HOME="/t/a b").row("home", "warning", "it does not exist", "export HOME='/t/a b'")
    row([], IPYTHONDIR="/t/i", MPLCONFIGDIR="/t/m").row(
        "home", "warning", f"{tmp_path} or parts of it cannot be written", "export IPYTHONDIR=/t/i MPLCONFIGDIR=/t/m"
    )
    row(["HOME"]).row("home", "warning", "no folder can be made that takes its place (HOME)", "TMPDIR")


def test_encodings(monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.ISO-8859-1")
    table.of(places.encoding).row("encoding", "ok", "locale: LC_ALL=de_DE.ISO-8859-1")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    table.of(places.encoding).row("encoding", "warning", "names of files are iso8859-1", "PYTHONUTF8=1")


def test_users_and_working_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    table.of(places.user).row("user", "ok", "number 4711, without a name here")
    monkeypatch.chdir(ROOT)
    table.of(places.working_directory).row("working directory", "ok", f"{ROOT} (the checkout)")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    table.of(places.working_directory).row("working directory", "problem", "does not exist any more", "cd to")
