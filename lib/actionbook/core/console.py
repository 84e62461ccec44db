"""What programs of this library print, on whatever terminal."""

from __future__ import annotations

import io
import sys


def print_any_text() -> None:
    """From now on a character that the encoding of standard output lacks is written as an escape, such as ``\\u2212``.

    Without it a program ends at the first such character: a minus sign, a Chinese name, or a file's name that is no
    text at all. Python does the same for standard error by itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
