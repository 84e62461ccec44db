"""A network of three layers on clips of 4 frames of 32x32 pixels: training in a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mindspore import Tensor, nn

from actionbook import models
from actionbook.clips.pipeline import TrainingSource
from actionbook.core.recipe import Clips, Training
from actionbook.core.runtime import set_device
from actionbook.datasets.index import subset
from actionbook.models.layers import Dropout, conv3d, init_fan_out


class TinyNetwork(nn.Cell):
    """Convolution, batch norm, ReLU, depthwise convolution, average, dropout, dense."""

    def __init__(self, classes: int = 2, channels: int = 4, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.features = nn.SequentialCell(
            conv3d(3, channels, 3, 2),
            nn.BatchNorm3d(channels),
            nn.ReLU(),
            conv3d(channels, channels, 3, groups=channels),
        )
        self.classifier = nn.SequentialCell(Dropout(dropout, seed), nn.Dense(channels, classes))
        init_fan_out(self, seed, linear_std=0.1)

    def construct(self, clip: Tensor) -> Tensor:
        return self.classifier(self.features(clip).mean((2, 3, 4)))


@pytest.fixture(autouse=True, scope="session")
def _graph_mode() -> None:
    set_device("CPU")


@pytest.fixture(scope="session")
def tiny_network() -> type[TinyNetwork]:
    return TinyNetwork


@pytest.fixture
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Recipe sections that train the tiny network on the tiny data set for one epoch of 3 steps."""
    monkeypatch.setitem(models.MODELS, "tiny", TinyNetwork)
    return {"model": {"name": "tiny", "options": {}}, "training": {"epochs": 1}}


@pytest.fixture
def source(prepared: Any) -> Callable[..., TrainingSource]:
    """A function that makes a source of 3 batches of 4 clips, over the 14 test videos of the tiny data set."""
    clips = Clips(frames=4, stride=1, window=4, size=32, std=(50.0, 50.0, 50.0))

    def make(seed: int = 1) -> TrainingSource:
        return TrainingSource(subset(prepared.index, "test"), prepared.store, clips, batch_size=4, seed=seed)

    return make


@pytest.fixture
def settings() -> Callable[..., Training]:
    def make(**changes: Any) -> Training:
        values: dict[str, Any] = {"epochs": 4, "batch_size": 4, "lr": 0.02, "lr_steps": (2,)}
        return Training(**values | changes)

    return make
