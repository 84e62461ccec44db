"""bench.peers.networks: PyTorch's I3D, ECO and SlowFast compute what the book's do; where PyTorch is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import torch_env
from bench.agreement import LOGITS
from bench.cases import Case, Workload

TORCH = torch_env.FOLDER / "bin" / "python"
pytestmark = pytest.mark.skipif(not TORCH.exists(), reason="no .venv-bench; make bench makes it")
CASES = (
    # All sizes odd on the way to the last map, even ones, and a last map of a single frame.
    Workload("i3d", 2, (3, 17, 57, 75), 7),
    Workload("i3d", 1, (2, 16, 48, 64), 7),
    Workload("i3d", 2, (2, 5, 34, 33), 7),
    Workload("eco_full", 2, (3, 4, 64, 96), 7),
    Workload("eco_lite", 2, (3, 8, 48, 64), 7),
    # A last map of 3 x 13 cells: bins of one sample along H, of one or two along W.
    Workload("slowfast_r50", 2, (3, 8, 48, 208), 7, every=4, boxes=5),
)
SCRIPT = """
import json, sys
import numpy as np
from bench.peers import pytorch
for case in json.loads(sys.argv[1]):
    for layout in (False, True):
        given = {**case["options"], "clips": case["clips"], "weights": case["weights"]}
        facts = pytorch.forward(**given, threads=1, channels_last=layout).facts
        print(json.dumps(facts["logits"]))
"""


def test_logits_agree_at_every_size_and_in_both_layouts(tmp_path: Path, in_torch: Callable[[str, Any], str]) -> None:
    from bench.peers import book

    cases, expected = [], []
    for number, workload in enumerate(CASES):
        case = Case(workload, 0.125, str(tmp_path / f"{number}.npz"), str(tmp_path / f"{number}-clips.npz"), 0)
        book.fixtures(**case.options, inputs=workload.inputs)
        cases.append({"options": case.network, "weights": case.weights, "clips": case.clips})
        expected.append(np.array(book.forward(**case.options).facts["logits"]))
    found = [np.array(json.loads(line)) for line in in_torch(SCRIPT, cases).splitlines()]
    assert len(found) == 2 * len(CASES)
    for i, logits in enumerate(expected):
        for theirs in found[2 * i : 2 * i + 2]:
            assert np.abs(theirs - logits).max() <= LOGITS * logits.std(), CASES[i]
