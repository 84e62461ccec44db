"""``python -m actionbook.evidence``: pack a finished run, check a pack, accept one into the book."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.evidence import Check
from actionbook.core.files import write_json_atomic, write_text_atomic
from actionbook.core.interrupts import program
from actionbook.core.paths import shown
from actionbook.evidence.places import pack_here, send, target_here, workspace_here

WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 1 for a pack that does not hold, 2 for one that cannot be read."""
    options = _parser().parse_args(arguments)
    with program():
        try:
            return int(options.run(options))
        except BookError as error:
            sys.stderr.write(f"{error}\n")
            return 2


def _pack(options: argparse.Namespace) -> int:
    from actionbook.evidence.pack import FILE, pack, stage_of  # noqa: PLC0415 (slow to import: --help should not wait)

    place = options.output or f"{options.workspace.rstrip('/')}/{FILE}"
    path = pack(stage_of(workspace_here(options.workspace)), target_here(place), by=options.by, note=options.note)
    send(place)
    sys.stdout.write(f"{place} ({path.stat().st_size:,} bytes)\n")
    return _checked(path)


def _check(options: argparse.Namespace) -> int:
    return _checked(pack_here(options.pack), options.json, options.markdown)


def _checked(path: Path, as_json: Path | None = None, markdown: Path | None = None) -> int:
    from actionbook.evidence.check import check  # noqa: PLC0415
    from actionbook.results.evidence import report  # noqa: PLC0415

    found = check(path)
    sys.stdout.write(in_words(found))
    if as_json:
        write_json_atomic(as_json, found.model_dump(mode="json"))
    if markdown:
        write_text_atomic(markdown, report(found))
    return 0 if found.holds else 1


def _accept(options: argparse.Namespace) -> int:
    from actionbook.evidence.accept import accept  # noqa: PLC0415

    sys.stdout.write(f"{shown(accept(pack_here(options.pack), options.id))}\n")
    return 0


def in_words(check: Check) -> str:
    """A check for a terminal: a line for each finding, then the verdicts."""
    lines = []
    for one in check.findings:
        lines += textwrap.wrap(f"{one.state:<9} {one.what}: {one.detail}", WIDTH, subsequent_indent=" " * 10)
    for verdict in check.verdicts:
        where = f"{verdict.stream}, {verdict.format}: {verdict.score}, published {verdict.published} ({verdict.figure})"
        lines += textwrap.wrap(f"{verdict.outcome}: {where}: {verdict.reason}", WIDTH, subsequent_indent=" " * 10)
    lines += textwrap.wrap(check.why_none, WIDTH)
    lines.append(f"The pack holds: {check.outcome}." if check.holds else "The pack does not hold.")
    return "\n".join([*lines, ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m actionbook.evidence", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("pack", help="pack the run of a workspace, and check the pack")
    one.add_argument("workspace", help="such as work/efficient3d/ucf101, or s3://bucket/work/efficient3d/ucf101")
    one.add_argument(
        "-o", "--output", help="the zip file (default: evidence.zip in the workspace), or an address of one"
    )
    one.add_argument("--by", default="", help="who ran it, if you want to be named")
    one.add_argument("--note", default="", help="what others should know of this run, in a sentence")
    one.set_defaults(run=_pack)
    one = commands.add_parser("check", help="check a pack; exit status 1 if it does not hold, 2 if it cannot be read")
    one.add_argument("pack", help="a zip file, the folder of one that is unpacked, or the address of a zip file")
    one.add_argument("--json", type=Path, help="write the check into this file, too")
    one.add_argument("--markdown", type=Path, help="write it as Markdown")
    one.set_defaults(run=_check)
    one = commands.add_parser("accept", help="check a pack and put it into the book, below book/evidence")
    one.add_argument("pack", help="a zip file, or the address of one")
    one.add_argument("--id", required=True, help="what it is called in its chapter, such as ucf101-910b-2026-12")
    one.set_defaults(run=_accept)
    return parser


if __name__ == "__main__":
    sys.exit(main())
