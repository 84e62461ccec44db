"""What a network is measured on: the sizes of its clips, and the files that all contestants share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Workload:
    """A network and the batch of clips that it gets."""

    model: str
    """The book's name."""
    batch: int
    clip: tuple[int, int, int, int] = (3, 16, 112, 112)
    """(C, T, H, W). A network for other than 3 channels is told so."""
    num_classes: int = 101
    every: int = 1
    """Clips are as long as a multiple of this."""

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, C, T, H, W)."""
        return (self.batch, *self.clip)

    def __str__(self) -> str:
        return "x".join(map(str, self.shape))


MOBILENET = Workload("mobilenetv2_3d", 8)  # of the rows that are about one network


@dataclass(frozen=True)
class Case:
    """A workload with weights and one batch of clips, in files that all contestants share."""

    workload: Workload
    width: float
    weights: str
    clips: str
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
