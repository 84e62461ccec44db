"""The citation, made from CITATION.cff."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionbook.core.errors import BookError
from actionbook.results.citation import bibtex, citation_page

STATED = """\
cff-version: 1.2.0
title: "A book: of {things}"
authors:
  - name: The contributors
  - family-names: Köpüklü
    given-names: Okan
version: 0.2.0
license: Apache-2.0
"""


def test_an_entry_has_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "CITATION.cff").write_text(STATED)
    assert bibtex(tmp_path) == (
        "@misc{actionbook,\n"
        "  author = {{The contributors} and Köpüklü, Okan},\n"
        "  title = {{A book: of {things}}},\n"
        "  note = {Version 0.2.0, Apache-2.0},\n"
        "}\n"
    )
    assert "source lies" not in citation_page(tmp_path)


def test_an_address_is_shown_once_it_is_stated(tmp_path: Path) -> None:
    more = "repository-code: https://host.example/group/book/\ndate-released: 2027-02-03\n"
    (tmp_path / "CITATION.cff").write_text(STATED + more)
    page = citation_page(tmp_path)
    assert "  year = {2027},\n" in page
    assert "  url = {https://host.example/group/book/},\n" in page
    assert "<https://host.example/group/book/issues>" in page


def test_a_file_without_authors_is_named(tmp_path: Path) -> None:
    (tmp_path / "CITATION.cff").write_text("title: A book\nversion: 0.2.0\nlicense: Apache-2.0\n")
    with pytest.raises(BookError, match=r"CITATION\.cff: expected the key 'authors'"):
        bibtex(tmp_path)
