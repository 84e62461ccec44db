"""All checkpoints that a training has kept, evaluated in one call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.core.progress import tracked
from actionbook.tasks import Predictions
from actionbook.training.checkpoint import load_checkpoint

COLUMNS = ("checkpoint", "epoch", "value", "correct", "evaluated", "expected", "best")

_EPOCH = re.compile(r"epoch-(\d+)\.ckpt")


def evaluate_checkpoints(
    network: nn.Cell, folder: Path, predict: Callable[[nn.Cell], Predictions], *, progress: bool = True
) -> pd.DataFrame:
    """The main score of every checkpoint in a training folder: one row each, by epoch, the best one marked.

    Evaluated are ``epoch-<n>.ckpt`` and the last network, ``network.ckpt``, unless the former hold its epoch as well.
    `predict` gets the network in evaluation mode with a checkpoint's weights, for example
    ``lambda net: predict_test(net, stage, index)``, which keeps its outputs: a checkpoint is not run twice. Columns:
    ``checkpoint`` (file name), ``epoch``, ``value`` (0..1, of the expected items), ``correct``, ``evaluated``,
    ``expected``, ``best`` (the highest; of equals, the earliest epoch). At the end the network holds the weights of the
    last row.

    The best of several epochs is chosen on the videos that it is then judged by. Its score is therefore a little too
    high, the more so the more epochs are compared and the fewer videos there are; a published figure may contain this
    gain. Report the last epoch, or say how many were compared.

    Raises BookError where the folder holds no checkpoint, or one does not fit the network.
    """
    network.set_train(False)
    rows = []
    for epoch, path in tracked(_checkpoints(folder), f"evaluating {folder.name}", "checkpoints", progress=progress):
        load_checkpoint(network, path)
        score = predict(network).score
        rows.append((path.name, epoch, score.value, score.correct, score.evaluated, score.expected))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    return table.assign(best=table.index == table["value"].idxmax())  # the first of equals


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(epoch, file) of every checkpoint, by epoch."""
    matches = [(_EPOCH.fullmatch(path.name), path) for path in folder.glob("epoch-*.ckpt")]
    found = {int(match[1]): path for match, path in matches if match}
    last = _last_epoch(folder)
    if last is not None:
        found.setdefault(last, folder / "network.ckpt")
    if not found:
        raise BookError(
            f"{shown(folder)}: holds no checkpoint of a finished training (epoch-<n>.ckpt, or network.ckpt with "
            "done.json); finish the training, with training.keep_epochs above 0 to keep several epochs"
        )
    return sorted(found.items())


def _last_epoch(folder: Path) -> int | None:
    """Epochs of a finished training, None where there is none."""
    path = folder / "done.json"
    if not path.exists() or not (folder / "network.ckpt").exists():
        return None
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["epochs"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BookError(f"{shown(path)}: cannot be read ({error}); delete {shown(folder)} and train again") from error
