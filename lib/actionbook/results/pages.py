"""Generated Markdown: ``python -m actionbook.results.pages`` writes what the pages include."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.files import write_text_atomic
from actionbook.core.paths import ROOT
from actionbook.results import ascend_tables
from actionbook.results.ladder import ladder
from actionbook.results.markdown import escape, file_link, table
from actionbook.results.records import Record, StageEntry, of_chapter, read_records
from actionbook.results.scoreboard import scoreboard

CHAPTERS = {"efficient3d": "Efficient-3DCNNs", "i3d": "I3D"}
PLANNED = ("ECO", "StNet", "SlowFast")

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
    parts = [f"## {_title(name)}\n\n{scoreboard(name, of_chapter(records, name))}" for name in _chapters(records)]
    return "\n".join(parts)


def status_page(records: Sequence[Record]) -> str:
    """Markdown of the status page: each chapter's ladder and stages, then the chapters that are planned."""
    parts = [_status(name, of_chapter(records, name)) for name in _chapters(records)]
    planned = table(["Chapter", "State"], [[name, "not written yet"] for name in PLANNED])
    return "\n".join([*parts, f"## Planned chapters\n\n{planned}"])


def write(out: Path, records: Sequence[Record]) -> None:
    """Write scoreboard.md, status.md and the tables of the Ascend page into the folder `out`."""
    pages = {"scoreboard.md": scoreboard_page(records), "status.md": status_page(records), **ascend_tables.pages()}
    for name, text in pages.items():
        write_text_atomic(out / name, text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; ends with a message instead of a traceback where a record or a table of data is damaged."""
    parser = argparse.ArgumentParser(prog="python -m actionbook.results.pages", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "_generated", help="folder of the pages")
    parser.add_argument("--work", type=Path, help="folder of the workspaces (default: as the notebooks)")
    options = parser.parse_args(arguments)
    try:
        write(options.out, read_records(options.work))
    except BookError as error:
        sys.exit(str(error))


def _chapters(records: Sequence[Record]) -> list[str]:
    """Chapters of the book, then any others that records name."""
    return list(dict.fromkeys([*CHAPTERS, *(record.chapter for record in records)]))


def _title(chapter: str) -> str:
    return CHAPTERS.get(chapter, escape(chapter))


def _status(chapter: str, records: Sequence[Record]) -> str:
    rows = [
        [
            f"{rung.rung} {rung.name}",
            f"**{rung.state}**",
            escape(rung.evidence),
            ", ".join(file_link(path) for path in rung.where.split(", ")),
            rung.date,
        ]
        for rung in ladder(chapter, records)
    ]
    parts = [f"## {_title(chapter)}\n", table(["Rung", "State", "Evidence", "Look at", "Date"], rows)]
    parts += [_stages(record) for record in records]
    if not records:
        parts.append("No record was found; `make notebooks` runs the stages and makes one.\n")
    return "\n".join(parts)


def _stages(record: Record) -> str:
    """When and where the stages of one record ran, then the versions, once for all stages that share them."""
    rows = [
        [name, entry.finished.replace("T", " "), f"{entry.seconds:.0f}", entry.device, _short_library(entry)]
        for name, entry in record.stages.items()
    ]
    stages = table(["Stage", "Finished", "Seconds", "Device", "Library"], rows, right=(2,))
    groups: dict[str, list[str]] = {}
    for name, entry in record.stages.items():
        groups.setdefault(_environment(entry), []).append(name[:2])
    environments = "".join(f"- Stages {', '.join(names)}: {text}\n" for text, names in groups.items())
    recipe = f"### Recipe {escape(record.recipe)}\n\n{escape(record.title)} (recipe `{record.recipe_sha256[:12]}`).\n"
    return "\n".join([recipe, stages, environments])


def _short_library(entry: StageEntry) -> str | None:
    digest = entry.environment.get("library_sha256")
    return f"`{str(digest)[:12]}`" if digest else None


def _environment(entry: StageEntry) -> str:
    found = entry.environment
    versions = [f"{title} {escape(str(found.get(key) or 'none'))}" for title, key in _VERSIONS]
    return f"{escape(str(found.get('cpu') or found.get('machine') or 'unknown machine'))}; {', '.join(versions)}."


if __name__ == "__main__":
    main()
