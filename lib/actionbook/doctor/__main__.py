"""The doctor's command line: ``python -m actionbook.doctor --help``."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError
from actionbook.doctor.examine import doctor
from actionbook.doctor.findings import Finding

MARKS = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
WIDTH = 110


def main(arguments: Sequence[str] | None = None) -> int:
    """Look, print, and return the exit status: 1 if there is a problem, else 0."""
    print_any_text()
    options = _parser().parse_args(arguments)
    try:
        rows = doctor(options.recipe, data_root=options.data_root, work_root=options.work_root, device=options.device)
    except BookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(as_text(rows))
    return int(any(row.status == "problem" for row in rows))


def as_text(rows: Sequence[Finding]) -> str:
    """The rows as lines, section by section, remedies below what they are for, and the counts at the end."""
    lines: list[str] = []
    for section, group in groupby(rows, key=lambda row: row.section):
        lines += ["", section]
        for row in group:
            lines += _wrapped(f"  {MARKS[row.status]}{row.check}: {row.message}", " " * 12)
            if row.remedy:
                lines += _wrapped(f"{' ' * 10}> {row.remedy}", " " * 12)
    counts = [sum(row.status == status for row in rows) for status in ("ok", "warning", "problem")]
    lines += ["", "{} ok, {} to read, {} to mend".format(*counts)]
    return "\n".join(lines[1:]) + "\n"


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m actionbook.doctor",
        description="Look at all that the book needs on this machine, change nothing, and say what to mend.",
        epilog="Exit status 1 if there is a problem. Without --recipe only machine and packages are looked at.",
    )
    parser.add_argument("--recipe", help="<chapter>/<name>, such as efficient3d/mini, or the path of a recipe file")
    parser.add_argument("--data-root", help="where the recipe's data set lies, as for the notebooks")
    parser.add_argument("--work-root", help="where workspaces go, as for the notebooks")
    parser.add_argument("--device", default="auto", choices=("auto", "CPU", "GPU", "Ascend"))
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of text")
    return parser


if __name__ == "__main__":
    sys.exit(main())
