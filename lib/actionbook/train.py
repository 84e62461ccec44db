"""Train a recipe from the command line: alone, on several devices of this machine, or on several hosts.

``python -m actionbook.train --help``. It does what the notebooks' stage 03_training does before it draws its pictures;
that notebook then finds the trainings finished. ``msrun`` starts it once for each device.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import actionbook  # noqa: F401 (before MindSpore: it sets what that reads as it starts)
from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.evaluation.predict import centre_validation, predict_share
from actionbook.training.launch import announce
from actionbook.training.ranks import ALONE, Ranks
from actionbook.training.runs import train_runs


def main(arguments: list[str] | None = None) -> int:
    """Train, and classify the test videos. Returns the exit status: 1 after an error that a user can mend."""
    options = vars(_parser().parse_args(arguments))
    try:
        announce()
        _train(options)
    except BookError as error:
        sys.stderr.write(f"BookError: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m actionbook.train", description=(__doc__ or "").split("``")[0].strip())
    parser.add_argument("chapter", help="efficient3d, i3d, ...")
    parser.add_argument("recipe", help="a name in the chapter's recipes/, or the path of a recipe file")
    parser.add_argument("--overrides", help="changes to the recipe as YAML, such as '{training: {epochs: 2}}'")
    parser.add_argument("--stream", help="one of the recipe's streams, such as rgb; default: all, one after the other")
    parser.add_argument("--data-root", help="folder of the data set; default: data/<manifest> in the checkout")
    parser.add_argument("--work-root", help="folder of workspaces; default: work/ in the checkout")
    parser.add_argument("--device", default="auto", choices=runtime.DEVICES)
    parser.add_argument("--workers", type=int, help="threads that read clips; default: one for each core")
    parser.add_argument(
        "--devices", type=int, default=1, help="devices of this machine to train on at once; default: 1"
    )
    return parser


def _train(options: dict[str, Any]) -> None:
    started_by_msrun = "MS_ROLE" in os.environ
    stage = Stage.open(options.pop("chapter"), "03_training", **options)
    stage.require("01_data", "data")
    ranks = ALONE
    if started_by_msrun or stage.devices == 1:
        stage.set_device()
    if started_by_msrun:
        ranks = Ranks.join()
        stage.devices = ranks.count
    for stream in stage.streams.values():
        for trained in train_runs(stream, centre_validation, ranks):
            if started_by_msrun or stage.devices == 1:  # else the processes that have trained have done it
                predict_share(trained.network, trained.stage, trained.index, ranks.rank, ranks.count)
                ranks.wait()
            if ranks.leads:
                sys.stdout.write(f"{trained.folder}\n")


if __name__ == "__main__":
    raise SystemExit(main())
