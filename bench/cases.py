"""What a network is measured on: the sizes of its clips, and the files that all contestants share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actionbook.core.spec import IMAGE
from bench.peers.batches import BOXES


@dataclass(frozen=True)
class Workload:
    """A network and the batch that it gets."""

    model: str
    """The book's name."""
    batch: int
    clip: tuple[int, int, int, int] = (3, 16, 112, 112)
    """(C, T, H, W). A network for other than 3 channels is told so."""
    num_classes: int = 101
    every: int = 1
    """Clips are as long as a multiple of this."""
    boxes: int = 0
    """Of each clip, for a network that detects; `clip` then is its fast one, the slow one has an `every`-th of the
    frames. 0: `clip` is all that the network gets."""

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, C, T, H, W) of `clip`."""
        return (self.batch, *self.clip)

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the batch by the names of the network's inputs, in their order."""
        if not self.boxes:
            return {IMAGE: self.shape}
        n, channels, frames, *size = self.shape
        slow = (n, channels, frames // self.every, *size)
        return {"slow": slow, "fast": self.shape, BOXES: (n, self.boxes, 4)}

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) + (f" with {self.boxes} boxes" if self.boxes else "")


MOBILENET = Workload("mobilenetv2_3d", 8)  # of the rows that are about one network


@dataclass(frozen=True)
class Case:
    """A workload with weights and one batch, in files that all contestants share."""

    workload: Workload
    width: float
    weights: str
    clips: str
    """An .npz file with the batch's arrays in the order of the network's inputs."""
    parameters: int
    """Trainable numbers of the book's network."""

    @property
    def network(self) -> dict[str, Any]:
        """The options that say how to build it: model (the book's name), num_classes, options."""
        channels = self.workload.clip[0]
        options = {"width": self.width, **({} if channels == 3 else {"in_channels": channels})}
        return {"model": self.workload.model, "num_classes": self.workload.num_classes, "options": options}

    @property
    def options(self) -> dict[str, Any]:
        """What a function of `bench.peers` takes to run the network on the batch."""
        return {**self.network, "weights": self.weights, "clips": self.clips}
