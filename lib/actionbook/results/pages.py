"""Generated Markdown: ``python -m actionbook.results.pages`` writes what the pages include."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from actionbook.core.chapters import Chapter, chapters, recipe_files
from actionbook.core.errors import BookError
from actionbook.core.files import write_text_atomic
from actionbook.core.manifest import load_dataset
from actionbook.core.paths import ROOT
from actionbook.core.recipe import Recipe
from actionbook.core.record import Record, StageRun
from actionbook.results import ascend_tables, front, needs, side_by_side
from actionbook.results.citation import citation_page
from actionbook.results.evidence import accepted, evidence_page
from actionbook.results.front import EMBEDDED
from actionbook.results.markdown import escape, file_link, table
from actionbook.results.proof import ladder_of
from actionbook.results.records import accepted_records, of_chapter, read_records
from actionbook.results.scoreboard import scoreboard

_VERSIONS = (
    ("Python", "python"),
    ("MindSpore", "mindspore"),
    ("NumPy", "numpy"),
    ("OpenCV", "opencv-contrib-python-headless"),
    ("FFmpeg", "ffmpeg"),
    ("ONNX Runtime", "onnxruntime"),
    ("CANN", "cann"),
    ("driver", "driver"),
)


def scoreboard_page(records: Sequence[Record]) -> str:
    """Markdown of the scoreboard: one section for each chapter."""
    titles = _titles(records)
    return "\n".join(f"## {titles[name]}\n\n{scoreboard(name, of_chapter(records, name))}" for name in titles)


def status_page(records: Sequence[Record]) -> str:
    """Markdown of the status page: each chapter's ladder and stages."""
    titles = _titles(records)
    return "\n".join(f"## {title}\n\n{_status(name, of_chapter(records, name))}" for name, title in titles.items())


def recipes_table(book: Sequence[Chapter]) -> str:
    """Every recipe: what it does, in its own words, and the data set and weight files that it needs."""
    rows = []
    for chapter in book:
        files = sorted(recipe_files(chapter.name), key=lambda path: path.stem != EMBEDDED)
        for recipe in map(Recipe.load, files):
            manifest = load_dataset(recipe.data.manifest)
            needs = [] if manifest.generator else [manifest.short_title]
            streams = map(recipe.for_stream, recipe.stream_names)
            weights = dict.fromkeys(name for one in streams if one.weights for name in one.weights.files)
            needs += [f"`{name}`" for name in weights]
            rows.append(
                [chapter.title, f"`{recipe.name}`", escape(recipe.title), ", ".join(needs) or "nothing: it is drawn"]
            )
    return table(["Chapter", "Recipe", "What it does", "What it needs"], rows)


def write(out: Path, records: Sequence[Record]) -> None:
    """Write what the pages of the book include into the folder `out`."""
    book = chapters()
    pages = {"scoreboard.md": scoreboard_page(records), "status.md": status_page(records), **ascend_tables.pages()}
    pages |= {"hero.md": front.hero(), "measured.md": front.measured(book, records)}
    pages |= {"cards.md": front.cards(book, records), "citation.md": citation_page()}
    pages |= {"evidence.md": evidence_page(accepted())}
    pages |= {"recipes.md": recipes_table(book), **needs.pages(book), **side_by_side.pages(book, records)}
    for chapter in book:
        pages[f"{chapter.name}_film.md"] = front.chapter_film(chapter)
        pages[f"{chapter.name}_notebooks.md"] = front.chapter_notebooks(chapter, records)
    for name, text in pages.items():
        write_text_atomic(out / name, text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; ends with a message instead of a traceback where a record or a table of data is damaged."""
    parser = argparse.ArgumentParser(prog="python -m actionbook.results.pages", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "_generated", help="folder of the pages")
    parser.add_argument("--work", type=Path, help="folder of the workspaces (default: as the notebooks)")
    parser.add_argument("--accepted", action="store_true", help="take the records beside the committed notebooks")
    options = parser.parse_args(arguments)
    try:
        write(options.out, accepted_records() if options.accepted else read_records(options.work))
    except BookError as error:
        sys.exit(str(error))


def _titles(records: Sequence[Record]) -> dict[str, str]:
    """Headings by name: of the chapters of the book, then of any others that records name."""
    book = {chapter.name: chapter.title for chapter in chapters()}
    others = [record.head.chapter for record in records if record.head.chapter not in book]
    return book | {name: escape(name) for name in others}


def _status(chapter: str, records: Sequence[Record]) -> str:
    rows = [
        [
            f"{rung.rung}\N{NO-BREAK SPACE}{rung.name}",
            f"**{rung.state}**",
            escape(rung.evidence),
            ", ".join(file_link(path) for path in rung.where.split(", ")),
            rung.date,
        ]
        for rung in ladder_of(chapter, records)
    ]
    parts = [table(["Rung", "State", "Evidence", "Look at", "Date"], rows, right=(4,))]
    parts += [_stages(record) for record in records]
    if not records:
        parts.append("No record was found; `make notebooks` runs the stages and makes one.\n")
    return "\n".join(parts)


def _stages(record: Record) -> str:
    """When and where the stages of one record ran, then the versions, once for all stages that share them."""
    rows = [
        [name, _minute(entry), round(entry.seconds), entry.device, _short_library(entry)]
        for name, entry in record.stages.items()
    ]
    stages = table(["Stage", "Finished", "Seconds", "Device", "Library"], rows, right=(2,))
    groups: dict[str, list[str]] = {}
    for name, entry in record.stages.items():
        groups.setdefault(_environment(entry), []).append(name[:2])
    environments = "".join(f"- Stages {', '.join(names)}: {text}\n" for text, names in groups.items())
    head = record.head
    recipe = f"### Recipe {escape(head.recipe)}\n\n{escape(head.title)} (recipe `{head.recipe_sha256[:12]}`).\n"
    return "\n".join([recipe, stages, environments])


def _minute(entry: StageRun) -> str:
    """When a stage finished, as "2026-01-31 09:08 UTC"."""
    return f"{entry.finished[:16].replace('T', ' ')} UTC"


def _short_library(entry: StageRun) -> str | None:
    digest = entry.environment.get("library_sha256")
    return f"`{str(digest)[:12]}`" if digest else None


def _environment(entry: StageRun) -> str:
    found = entry.environment
    versions = [f"{title} {escape(str(found.get(key) or 'none'))}" for title, key in _VERSIONS]
    return f"{escape(str(found.get('cpu') or found.get('machine') or 'unknown machine'))}; {', '.join(versions)}."


if __name__ == "__main__":
    main()
