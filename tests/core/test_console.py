"""Text that a terminal's encoding lacks does not end a program."""

from __future__ import annotations

import io
import sys

import pytest

from actionbook.core.console import print_any_text


def test_what_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1", write_through=True))
    with pytest.raises(UnicodeEncodeError):
        sys.stdout.write("\u2212")
    print_any_text()
    sys.stdout.write("\u22121 °C in \u4e2d, \udcff")
    assert written.getvalue() == b"\\u22121 \xb0C in \\u4e2d, \\udcff"
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # as a notebook's, which takes any text
    print_any_text()
