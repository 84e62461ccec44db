"""Two trials that take too long for the tests: that kills change nothing, and that UCF101's size is no trouble.

``python tests/stress kill`` prepares, trains and evaluates on the miniature UCF101, undisturbed and then again with
SIGKILL at random moments; nothing may differ afterwards. ``python tests/stress scale --clips DIR`` prepares a tree
of 13,320 links to the videos of a folder, in the classes, groups and lists of UCF101. Neither is collected by pytest;
``test_stress.py`` runs the quickest form of both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from stress_common import Failed
from stress_kills import PIECES, Trial, kill, prepare_piece
from stress_size import scale

from actionbook.core.errors import BookError


def main(arguments: list[str] | None = None) -> int:
    """Run one of the trials. Returns the exit status: 1 if something is not as it should be."""
    parser = argparse.ArgumentParser("python tests/stress", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="trial", required=True)
    one = commands.add_parser("kill", help="kill preparation, training and evaluation; nothing may change")
    one.add_argument("--times", type=int, default=20, help="kills of each piece; default: 20")
    one.add_argument("--seed", type=int, default=1, help="of the moments; default: 1")
    one.add_argument("--only", choices=PIECES, nargs="+", help="what is killed; default: all three")
    one.add_argument("--quick", action="store_true", help="twenty small videos")
    two = commands.add_parser("scale", help="prepare a tree of UCF101's size")
    two.add_argument("--clips", type=Path, required=True, help="folder of real videos, to which the tree links")
    two.add_argument("--videos", type=int, default=13_320)
    two.add_argument("--height", type=int, default=64, help="of the stored frames, in pixels; default: 64")
    two.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    for command in (one, two):
        command.add_argument(
            "--work", type=Path, help="an empty folder to work in, which stays; default: a temporary one"
        )
    commands.add_parser("piece").add_argument("settings", type=json.loads)
    options = vars(parser.parse_args(arguments))
    trial = options.pop("trial")
    if trial == "piece":
        settings = options["settings"]
        prepare_piece(
            Trial(Path(settings["folder"]), settings["overrides"], settings["workers"]), Path(settings["root"])
        )
        return 0
    work = options.pop("work")
    folder = Path(work or tempfile.mkdtemp(prefix="stress-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        {"kill": kill, "scale": scale}[trial](folder=folder, **options)
    except (Failed, BookError) as error:
        sys.stderr.write(f"{trial} failed: {error}\nWhat it left is in {folder}\n")
        return 1
    if work is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
