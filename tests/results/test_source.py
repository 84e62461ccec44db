"""Library code on a page: all of it, each line with its own indentation to hang from."""

from __future__ import annotations

import html
import re

from actionbook.results.source import Source, source_of
from actionbook.tasks.pooling import pool_clips

CODE = 'def f(x):\n    """Two\n\n    lines."""\n    return x < 1 and "<b>"'


def test_every_line_is_there_and_hangs_from_its_own_indentation() -> None:
    lines = re.findall(
        r'<span class="line" style="--indent: (\d+)">(.*?)\n</span>', Source(CODE)._repr_html_(), re.DOTALL
    )
    assert [html.unescape(re.sub(r"<[^>]+>", "", line)) for _, line in lines] == CODE.splitlines()
    assert [int(indent) for indent, _ in lines] == [0, 4, 0, 4, 4]


def test_its_style_is_for_itself_and_leaves_colours_to_a_theme() -> None:
    found = Source("x = 1")._repr_html_()
    assert '<div class="highlight library-code">' in found
    style = found.partition("<style>")[2].partition("</style>")[0]
    rules = re.findall(r"([^{}]+)\{", style)
    assert all(
        rule.strip().startswith((".library-code .line", ":root:not([data-theme]) .library-code .")) for rule in rules
    )
    assert len(rules) > 20


def test_the_text_is_the_functions_own() -> None:
    assert repr(source_of(pool_clips)).startswith("def pool_clips(")
    assert repr(source_of(pool_clips)) == repr(source_of(pool_clips)).rstrip()
