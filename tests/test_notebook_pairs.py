"""Every committed notebook is its source, executed: nbval alone would pass one that was never run."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionbook.core.paths import NOTEBOOKS
from actionbook.core.record import STAGES
from actionbook.notebooks import check, is_source

SOURCES = [path for path in sorted(NOTEBOOKS.rglob("*.md")) if is_source(path)]
CHAPTERS = sorted(path for path in NOTEBOOKS.iterdir() if (path / "index.md").exists())


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(NOTEBOOKS).as_posix())
def test_pair_is_the_executed_source(source: Path) -> None:
    assert check(source) == []


def test_every_chapter_has_its_five_stages_and_nothing_without_a_source() -> None:
    assert CHAPTERS
    for chapter in CHAPTERS:
        names = [path.stem for path in SOURCES if path.parent == chapter]
        assert [name for name in names if name[0].isdigit()] == list(
            STAGES
        )  # a chapter may have pages beside its stages
    executed = {
        path.with_suffix(".md") for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    }
    assert executed == set(SOURCES)
