"""``python -m actionbook.elsewhere``: take a recipe's batches to a machine with a card, bring the answers back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.elsewhere import bring, take
from actionbook.elsewhere.take import SCRIPT


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0 if all went well, 1 with the reason on standard error."""
    print_any_text()
    parser = argparse.ArgumentParser(prog="python -m actionbook.elsewhere", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    there = verbs.add_parser("take", help="make a folder for a machine with a card and without the book")
    there.add_argument("workspace", type=Path, help="work/<chapter>/<recipe>, after notebook 04")
    there.add_argument("out", type=Path, help="the folder to make")
    there.add_argument("--soc-version", help="chip to compile for, such as Ascend310P3 (default: the recipe's)")
    back = verbs.add_parser("bring", help="put the answers where notebooks 04 and 05 look for them")
    back.add_argument("out", type=Path, help="the folder, as it came back")
    back.add_argument("workspace", type=Path, help="work/<chapter>/<recipe>")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "take":
            size = take(options.workspace, options.out, options.soc_version)
            sys.stdout.write(
                f"{shown(options.out)}: {size / 1e9:.3g} GB. Copy it to the machine with the card, below a path of "
                f"letters, digits and _ - . / only, and there: python3 {SCRIPT}\n"
            )
        else:
            for folder in bring(options.out, options.workspace):
                sys.stdout.write(f"{shown(folder)}: answers that belong here. Run notebooks 04 and 05 again\n")
    except BookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
