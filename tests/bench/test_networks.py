"""bench.peers.networks: PyTorch's networks have the book's parameters, name by name. Only where PyTorch is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from bench import torch_env
from bench.agreement import PUBLISHED_PARAMETERS
from bench.peers.book import layout

from actionbook.models import create_model, list_models
from actionbook.weights import export_state

TORCH = torch_env.FOLDER / "bin" / "python"
pytestmark = pytest.mark.skipif(not TORCH.exists(), reason="no .venv-bench; make bench makes it")
# On the device "meta" tensors have shapes and no values.
SCRIPT = """
import json, sys, torch
from bench.peers.networks import NETWORKS
from bench.peers.pytorch import count
options = lambda channels: {} if channels == 3 else {"in_channels": channels}
with torch.device("meta"):
    small = {name: make(5, width=0.25).state_dict() for name, make in NETWORKS.items()}
    keys = json.loads(sys.argv[1])
    full = [count(NETWORKS[name](classes, **options(channels))) for name, classes, channels in keys]
shapes = {name: {key: list(value.shape) for key, value in state.items()} for name, state in small.items()}
print(json.dumps({"shapes": shapes, "parameters": full}))
"""


@pytest.fixture(scope="module")
def found(in_torch: Callable[[str, Any], str]) -> Mapping[str, Mapping]:
    return json.loads(in_torch(SCRIPT, list(PUBLISHED_PARAMETERS)))


def test_at_full_size_they_have_the_published_number_of_parameters(found: Mapping[str, Mapping]) -> None:
    assert dict(zip(PUBLISHED_PARAMETERS, found["parameters"], strict=True)) == PUBLISHED_PARAMETERS


@pytest.mark.parametrize("model", list_models())
def test_they_load_what_the_book_exports(model: str, found: Mapping[str, Mapping]) -> None:
    state = export_state(create_model(model, num_classes=5, width=0.25), layout(model))
    theirs = {k: v for k, v in found["shapes"][model].items() if not k.endswith("num_batches_tracked")}
    assert theirs == {name: list(array.shape) for name, array in state.items()}
