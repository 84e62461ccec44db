"""A network of three layers on clips of 4 frames of 32x32 pixels: training in a second."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mindspore import Tensor, nn

from actionbook import models
from actionbook.clips.pipeline import TrainingSource
from actionbook.clips.samples import Samples
from actionbook.core.recipe import Recipe
from actionbook.core.runtime import set_device
from actionbook.core.training import Training
from actionbook.models.layers import Dropout, conv3d, init_fan_out
from actionbook.tasks import Classification
from actionbook.training.optimiser import train_step

sys.path.append(str(Path(__file__).parent))  # for `averages`: pytest's import mode leaves helpers out


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


@pytest.fixture(scope="session")
def samples(prepared: Any) -> Samples:
    """The 14 test videos of the tiny data set, as clips for the tiny network."""
    sections: dict[str, Any] = {
        "chapter": "tiny",
        "name": "tiny",
        "title": "Tiny",
        "data": {"manifest": "mini_ucf101"},
        "sampling": {"name": "windows", "frames": 4, "window": 4},
        "transforms": {"size": 32, "std": (50.0, 50.0, 50.0)},
        "model": {"name": "tiny"},
        "training": {"epochs": 4, "batch_size": 4, "lr": 0.02},
    }
    return Samples(prepared.index.subset("test"), prepared.store, Recipe.model_validate(sections), 2)


@pytest.fixture
def source(samples: Samples) -> Callable[..., TrainingSource]:
    """A function that makes a source of 3 batches of 4 clips, over the 14 test videos of the tiny data set."""

    def make(seed: int = 1) -> TrainingSource:
        return TrainingSource(samples, batch_size=4, seed=seed)

    return make


@pytest.fixture
def step_of() -> Callable[..., nn.Cell]:
    """A function that gives a network's optimiser step, for class numbers."""

    def make(network: nn.Cell, training: Training, steps_per_epoch: int = 1) -> nn.Cell:
        return train_step(network.set_train(True), Classification().loss(), training, steps_per_epoch)

    return make


@pytest.fixture
def settings() -> Callable[..., Training]:
    def make(**changes: Any) -> Training:
        values: dict[str, Any] = {"epochs": 4, "batch_size": 4, "lr": 0.02, "lr_steps": (2,)}
        return Training(**values | changes)

    return make
