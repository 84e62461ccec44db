"""The library's own code, shown where a notebook speaks of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

_HANGING = 4
"""Columns by which the rest of a line stands farther to the right than its beginning, where a page is too narrow."""
_STYLE = f"""\
.library-code .line {{ display: block; white-space: pre-wrap; overflow-wrap: anywhere;
  padding-left: calc((var(--indent) + {_HANGING}) * 1ch); text-indent: calc((var(--indent) + {_HANGING}) * -1ch); }}
"""
# The book's theme has colours of its own for ``highlight``, light and dark; elsewhere these are taken.
_ELSEWHERE = ":root:not([data-theme]) .library-code"
_RULES = HtmlFormatter(style="default").get_style_defs(_ELSEWHERE).splitlines()
_COLOURS = "\n".join(rule.partition(" /*")[0] for rule in _RULES if rule.startswith(f"{_ELSEWHERE} ."))


@dataclass(frozen=True)
class Source:
    """Python code as a notebook shows it: coloured, long lines wrapped with a hanging indent; and as text."""

    text: str

    def _repr_html_(self) -> str:
        lines = highlight(self.text, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).splitlines()
        shown = "".join(
            f'<span class="line" style="--indent: {len(plain) - len(plain.lstrip())}">{line}\n</span>'
            for plain, line in zip(self.text.splitlines(), lines, strict=True)
        )
        return f'<style>{_STYLE}{_COLOURS}</style><div class="highlight library-code"><pre>{shown}</pre></div>'

    def __repr__(self) -> str:
        return self.text


def source_of(what: type | Callable[..., Any]) -> Source:
    """The source of a class or function. Raises OSError where Python does not know it."""
    return Source(inspect.getsource(what).rstrip())
