"""Train a recipe from the command line: alone, side by side, on several devices of this machine, or on several hosts.

``python -m actionbook.train --help``. It does what the notebooks' stage 03_training does before it draws its pictures;
that notebook then finds the trainings finished. ``msrun`` starts it once for each device. Ctrl-C and SIGTERM end it
with one line; the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import actionbook  # noqa: F401 (before MindSpore: it sets what that reads as it starts)
from actionbook.core import interrupts

if __name__ == "__main__":
    interrupts.wait_for_interrupts()  # before packages start threads as they are imported

from actionbook.core import runtime, write_back
from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError
from actionbook.core.parameters import choice
from actionbook.core.workspace import Stage
from actionbook.evaluation.predict import centre_validation, predict_share
from actionbook.training.jobs import side_by_side, train_side_by_side
from actionbook.training.launch import announce, announce_end
from actionbook.training.ranks import ALONE, Ranks
from actionbook.training.runs import train_runs


def main(arguments: list[str] | None = None) -> int:
    """Train, and classify the test videos. Returns the exit status: 1 after an error that a user can mend."""
    print_any_text()
    options = vars(_parser().parse_args(arguments))
    try:
        announce()
        with interrupts.program():
            _train(options)
        announce_end()
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
    parser.add_argument("--run", help="one of the recipe's runs, in this process; default: all")
    parser.add_argument("--seed", type=int, action="append", help="one of its seeds, may be repeated; default: all")
    parser.add_argument(
        "--data-root", help="folder of the data set; default: <manifest> in data/ of the checkout or ACTIONBOOK_DATA"
    )
    parser.add_argument("--work-root", help="folder of workspaces; default: work/ in the checkout, or ACTIONBOOK_WORK")
    parser.add_argument("--device", default="auto", choices=runtime.DEVICES)
    parser.add_argument("--workers", type=int, help="threads that read clips; default: one for each core")
    parser.add_argument(
        "--devices", type=int, default=1, help="devices of this machine to train on at once; default: 1"
    )
    parser.add_argument("--scheduler", help="tcp://host:port of a Dask cluster: one training on each of its workers")
    return parser


def _train(options: dict[str, Any]) -> None:
    run, seeds = options.pop("run"), options.pop("seed")
    stage = Stage.open(options.pop("chapter"), "03_training", **options)
    stage.require("01_data", "data")
    _check(stage, run, seeds)
    with write_back.written_back(stage.work_root):
        _train_runs(stage, run, seeds)


def _train_runs(stage: Stage, run: str | None, seeds: list[int] | None) -> None:
    started_by_msrun, ranks = "MS_ROLE" in os.environ, ALONE
    if started_by_msrun or stage.devices == 1:
        stage.set_device()
    if run is None and not started_by_msrun and side_by_side(stage):
        train_side_by_side(stage)
    if started_by_msrun:
        ranks = Ranks.join()
        stage.devices = ranks.count
    for stream in stage.streams.values():
        for trained in train_runs(stream, centre_validation, ranks, run=run, seeds=seeds):
            if started_by_msrun or stage.devices == 1:  # else the processes that have trained have done it
                predict_share(trained.network, trained.stage, trained.index, ranks.rank, ranks.count)
                ranks.wait()
            if ranks.leads:
                sys.stdout.write(f"{trained.folder}\n")


def _check(stage: Stage, run: str | None, seeds: list[int] | None) -> None:
    runs = {one.name: one.seeds for stream in stage.streams.values() for one in stream.recipe.training.runs}
    if run is not None:
        choice("run", run, tuple(runs))
    known = {seed for name, its in runs.items() if run in (None, name) for seed in its}
    if wrong := [seed for seed in seeds or () if seed not in known]:
        raise BookError(
            f"seed {wrong[0]}: expected one of {', '.join(map(str, sorted(known)))}, as the recipe has them"
        )


if __name__ == "__main__":
    raise SystemExit(main())
