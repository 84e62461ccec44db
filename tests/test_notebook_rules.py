"""Rules of pages: code that needs no scrolling, figures that say what they show."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from actionbook.core.paths import NOTEBOOKS
from actionbook.core.process import PAGE_WIDTH
from actionbook.notebook_rules import find_pages, unnamed_figures, wide_lines
from actionbook.notebooks import check, main, pair

FITS, WIDE = "x" * PAGE_WIDTH, "y" * (PAGE_WIDTH + 1)
FRONT = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
CELL = "```{code-cell} ipython3\n"
NAMED: dict[str, Any] = {"figure": {"caption": "A line.", "name": "fig-toy-01-line"}, "image": {"alt": "A line."}}


def wide(tmp_path: Path, text: str) -> list[int]:
    """Numbers of the lines that are too wide."""
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return [int(fault.removeprefix(f"{page}:").split(":")[0]) for fault in wide_lines(page)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{WIDE}\n", []),  # prose
        (f"{CELL}{FITS}\n{WIDE}\n```\n{WIDE}\n", [3]),
        (f"{CELL}---\nmystnb:\n  caption: {WIDE}\n---\n{WIDE}\n```\n", [6]),
        (f"{CELL}:tags: [{WIDE}]\n\n{WIDE}\n:{WIDE}\n```\n", [4, 5]),
        (f"```bash\n{WIDE}\n```\n", [2]),
        (f"```\n{WIDE}\n```\n", [2]),
        (f"```bash\n---\n{WIDE}\n---\n```\n", [3]),  # no options: dashes are code
        (f"~~~\n```\n{WIDE}\n~~~\n{WIDE}\n", [3]),
        (f"````\n```\n{WIDE}\n```\n{WIDE}\n````\n", [3, 5]),
        (f"```{{important}}\n{WIDE}\n```\n{WIDE}\n```bash\n{WIDE}\n```\n", [6]),
        (f":::{{dropdown}} Answer\n{WIDE}\n```bash\n{WIDE}\n```\n:::\n{WIDE}\n", [4]),
        (f":::{{code-block}} bash\n{WIDE}\n:::\n{WIDE}\n", [2]),
        (f"- a list\n\n  ```bash\n  {FITS}\n  {WIDE}\n  ```\n", [5]),  # indentation is not shown
        (f"{CELL}{'書' * PAGE_WIDTH}\n```\n", []),
    ],
)
def test_only_code_is_measured(tmp_path: Path, text: str, lines: list[int]) -> None:
    assert wide(tmp_path, text) == lines


def test_the_message_names_file_line_width_and_remedy(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```bash\nmake {WIDE}\n```\n")
    (fault,) = wide_lines(page)
    assert fault.startswith(f"{page}:4: code of {PAGE_WIDTH + 6} columns; break it (commands with a backslash)")
    assert fault.endswith(f"make {WIDE}")


def test_pages_are_all_but_hidden_and_generated_ones(tmp_path: Path) -> None:
    for name in ("a.md", "b/c.md", "b/c.txt", ".hidden/d.md", "_generated/e.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_pages([tmp_path]) == [tmp_path / "a.md", tmp_path / "b" / "c.md"]
    assert find_pages([tmp_path / "a.md"]) == [tmp_path / "a.md"]


def shows(kind: str, options: dict[str, Any]) -> nbformat.NotebookNode:
    output = nbformat.v4.new_output("display_data", data={kind: "…"})
    return nbformat.v4.new_code_cell("plot(rows)\nplt.show()", outputs=[output], metadata={"mystnb": options})


@pytest.mark.parametrize("kind", ["image/png", "image/svg+xml"])
@pytest.mark.parametrize(
    ("part", "key", "value"),
    [("figure", "caption", None), ("figure", "name", ""), ("image", "alt", " \n"), ("image", "alt", None)],
)
def test_a_picture_needs_caption_name_and_text(kind: str, part: str, key: str, value: str | None) -> None:
    said = {**NAMED, part: {**NAMED[part], key: value}}
    (fault,) = unnamed_figures(Path("01_toy.ipynb"), [nbformat.v4.new_markdown_cell("x"), shows(kind, said)])
    assert fault.startswith("01_toy.ipynb: cell 2 (plot(rows)): shows a picture without mystnb.")
    assert f"mystnb.{part}.{key};" in fault


def test_named_pictures_and_cells_without_one_are_fine() -> None:
    table = shows("text/html", {})
    empty = nbformat.v4.new_code_cell("")
    assert unnamed_figures(Path("x"), [shows("image/png", NAMED), table, empty, nbformat.v4.new_markdown_cell()]) == []


def test_the_check_command_applies_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "01_toy.md"
    source.write_text(f"{FRONT}{CELL}:tags: [parameters]\n\nsize = 2\n```\n")
    book = nbformat.read(pair(source), as_version=4)
    code = next(cell for cell in book.cells if cell.cell_type == "code")
    code.execution_count, code.outputs = 1, shows("image/png", {}).outputs
    nbformat.write(book, source.with_suffix(".ipynb"))
    assert len(check(source)) == 1
    (tmp_path / "index.md").write_text(f"```bash\n{WIDE}\n```\n")
    assert main(["check", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "index.md:2: code of 89 columns" in err
    assert "cell 1 (size = 2): shows a picture without mystnb.figure.caption, mystnb.figure.name, mystnb.im" in err


def test_a_caption_changed_after_the_run_is_found(tmp_path: Path) -> None:
    source = tmp_path / "01_toy.md"
    options = "---\ntags: [parameters]\nmystnb:\n  figure:\n    caption: {}\n---\n"
    source.write_text(f"{FRONT}{CELL}{options.format('Old.')}size = 2\n```\n")
    book = nbformat.read(pair(source), as_version=4)
    book.cells[0].execution_count = 1
    nbformat.write(book, source.with_suffix(".ipynb"))
    assert check(source) == []
    source.write_text(f"{FRONT}{CELL}{options.format('New.')}size = 2\n```\n")
    (fault,) = check(source)
    assert "cell 1: mystnb differs from the source" in fault


def imported(page: Path) -> list[tuple[int, str, str]]:
    """What the code cells of a page take from the library: number of the cell, module, name."""
    cells = [cell.source for cell in jupytext.read(page).cells if cell.cell_type == "code"]
    return [
        (number, node.module, alias.name)
        for number, source in enumerate(cells, 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("actionbook")
        for alias in node.names
    ]


@pytest.mark.parametrize(
    "page",
    [page for page in sorted(NOTEBOOKS.rglob("*.md")) if page.with_suffix(".ipynb").is_file()],
    ids=lambda page: page.relative_to(NOTEBOOKS).as_posix(),
)
def test_what_a_page_takes_from_the_library_is_there(page: Path) -> None:
    missing = []
    for number, module, name in imported(page):
        found = importlib.import_module(module)
        if not hasattr(found, name) and importlib.util.find_spec(f"{module}.{name}") is None:
            missing.append(f"code cell {number}: {module} has no {name}")
    assert not missing
