"""All checkpoints that a training has kept, evaluated in one call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.progress import tracked
from actionbook.evaluation.predict import Predictions
from actionbook.training.checkpoint import load_checkpoint

STORE = "evaluated.json"
COLUMNS = ("checkpoint", "epoch", "top1", "correct", "evaluated", "expected", "best")

_EPOCH = re.compile(r"epoch-(\d+)\.ckpt")
_COUNTS = ("correct", "evaluated", "expected")


def evaluate_checkpoints(
    network: nn.Cell,
    folder: Path,
    predict: Callable[[nn.Cell], Predictions],
    *,
    protocol: str = "",
    progress: bool = True,
) -> pd.DataFrame:
    """Top-1 accuracy of every checkpoint in a training folder: one row each, by epoch, the best one marked.

    Evaluated are ``epoch-<n>.ckpt`` and the last network, ``network.ckpt``, unless the former hold its epoch as well.
    `predict` gets the network in evaluation mode with a checkpoint's weights, for example
    ``lambda net: predict_test(net, stage, index)``. Columns: ``checkpoint`` (file name), ``epoch``, ``top1``
    (0..1, of the expected videos), ``correct``, ``evaluated``, ``expected``, ``best`` (the most correct; of equals, the
    earliest epoch). At the end the network holds the weights of the last row.

    Results are stored in ``evaluated.json`` of the folder, by the checkpoint's SHA-256, after each one: a checkpoint
    that is there is not run again. `protocol` says what decides a result beside the weights (clips, index, evaluation;
    a digest of them will do); results that were stored for another protocol are evaluated anew.

    The best of several epochs is chosen on the videos that it is then judged by. Its accuracy is therefore a little too
    high, the more so the more epochs are compared and the fewer videos there are; a published figure may contain this
    gain. Report the last epoch, or say how many were compared.

    Raises BookError where the folder holds no checkpoint, one does not fit the network, or stored results are damaged.
    """
    found = _checkpoints(folder)
    stored = _read(folder / STORE, protocol)
    network.set_train(False)
    digests = [sha256_file(path) for _, path in found]
    waiting = {digest: path for (_, path), digest in zip(found, digests, strict=True) if digest not in stored}
    what = f"evaluating {folder.name}"
    for digest, path in tracked(waiting.items(), what, "checkpoints", progress=progress):
        load_checkpoint(network, path)
        accuracy = predict(network).accuracy(1)
        stored[digest] = {"checkpoint": path.name, **{key: getattr(accuracy, key) for key in _COUNTS}}
        write_json_atomic(folder / STORE, {"protocol": protocol, "results": stored})
    load_checkpoint(network, found[-1][1])
    rows = [
        {"checkpoint": path.name, "epoch": epoch, **{key: stored[digest][key] for key in _COUNTS}}
        for (epoch, path), digest in zip(found, digests, strict=True)
    ]
    return _table(rows, folder)


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


def _read(path: Path, protocol: str) -> dict[str, dict[str, Any]]:
    """Stored results by SHA-256; none where they belong to another protocol."""
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        results: dict[str, dict[str, Any]] = data["results"] if data["protocol"] == protocol else {}
        whole = all(isinstance(result[key], int) for result in results.values() for key in _COUNTS)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BookError(f"{shown(path)}: cannot be read ({error!r}); delete it to evaluate again") from error
    if not whole:
        raise BookError(f"{shown(path)}: holds counts that are no whole numbers; delete it to evaluate again")
    return dict(results)


def _table(rows: list[dict[str, Any]], folder: Path) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    if table["expected"].nunique() > 1:
        raise BookError(
            f"{shown(folder / STORE)}: checkpoints were evaluated over different numbers of videos "
            f"({', '.join(map(str, table['expected'].unique()))}); delete it to evaluate all of them again"
        )
    table["top1"] = table["correct"] / table["expected"]
    table["best"] = table.index == table["correct"].idxmax()  # the first of equals
    return table[list(COLUMNS)]
