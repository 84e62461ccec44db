"""bench.peers on a network of two clips and boxes: one file holds the batch, every contestant reads it alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import torch_env
from bench.agreement import LOGITS, LOSSES
from bench.cases import Workload
from bench.peers import batches
from bench.rows.network import SGD

TORCH = torch_env.FOLDER / "bin" / "python"
MOMENT = Workload("slowfast_r50", 1, (3, 8, 32, 48), 5, every=4, boxes=3)
NETWORK = {"model": MOMENT.model, "num_classes": MOMENT.num_classes, "options": {"width": 0.125, "depth": 14}}
SCRIPT = """
import json, sys
from bench.peers import pytorch
print(json.dumps(pytorch.train(**json.loads(sys.argv[1]), threads=1).facts["losses"]))
"""


def written(folder: Path, workload: Workload) -> dict[str, Any]:
    """The options of a contestant on new weights and a new batch."""
    from bench.peers import book

    files = {"weights": str(folder / "weights.npz"), "clips": str(folder / "clips.npz")}
    book.fixtures(**files, inputs=workload.inputs, **NETWORK)
    return {**NETWORK, **files}


def test_the_batch_keeps_its_order_and_its_boxes_lie_within_the_clips(tmp_path: Path) -> None:
    inputs = replace(MOMENT, batch=4, boxes=50).inputs
    np.savez(tmp_path / "clips.npz", **batches.drawn(inputs))
    batch = batches.read(str(tmp_path / "clips.npz"))
    assert {name: array.shape for name, array in batch.items()} == inputs
    assert list(batch) == ["slow", "fast", "boxes"]
    left, top, right, bottom = batch["boxes"].reshape(-1, 4).T
    for start, end, size in ((left, right, 48), (top, bottom, 32)):
        assert (start >= 0).all()
        assert (start < end).all()
        assert 0.8 * size < end.max() <= size


def test_clips_and_boxes_have_a_class_each() -> None:
    image = {"image": np.zeros((3, 1), np.float32)}
    assert batches.targets(image, 2).tolist() == [0, 1, 0]
    boxes = batches.targets(batches.drawn(replace(MOMENT, batch=2).inputs), 5)
    assert boxes.shape == (2, 3, 5)
    assert boxes.argmax(2).tolist() == [[0, 1, 2], [3, 4, 0]]
    assert (boxes.sum(2) == 1).all()


def test_files_of_three_inputs_agree(tmp_path: Path) -> None:
    from bench.peers import book, runtime

    options = written(tmp_path, MOMENT)
    files = {name: str(tmp_path / f"{name}.onnx") for name in ("ours", "raw")}
    facts = book.exports(**NETWORK, **files, weights=options["weights"], inputs=MOMENT.inputs).facts
    assert facts["nodes"] < facts["raw_nodes"]
    ours, raw = (np.array(runtime.forward(path, options["clips"], 1).facts["logits"]) for path in files.values())
    assert ours.shape == (1, 3, 5)
    assert np.abs(ours - raw).max() <= LOGITS * ours.std()


@pytest.mark.skipif(not TORCH.exists(), reason="no .venv-bench; make bench makes it")
def test_boxes_are_learnt_as_pytorch_learns_them(tmp_path: Path, in_torch: Callable[[str, Any], str]) -> None:
    from bench.peers import book

    workload = replace(MOMENT, clip=(3, 16, 64, 64))  # batch norms over more than a handful of values
    options = {**written(tmp_path, workload), "sgd": {**SGD, "lr": 0.1}}
    losses = book.train(**options).facts["losses"]
    assert losses[2] < 0.9 * losses[0]
    np.testing.assert_allclose(json.loads(in_torch(SCRIPT, options)), losses, rtol=LOSSES)
