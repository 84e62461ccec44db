"""SlowFast in two files: what is the same for every box of a clip, and what asks about boxes.

A card computes the first (the backbone, nearly all of the work, convolutions alone), the host the second, so that a
compiler for the card need not know how boxes are read, and their number is not settled with the backbone.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.models import check_clips
from actionbook.models.slowfast import CELL, SlowFast

MAPS = "maps"
"""Name of the backbone's output and of the head's input."""


class Backbone(nn.Cell):
    """The pathways of a network without its head, with the network's own parameters."""

    def __init__(self, network: SlowFast) -> None:
        super().__init__(auto_prefix=False)  # parameter names stay those of the network
        self.network = network

    def construct(self, slow: Tensor, fast: Tensor) -> Tensor:
        """(N, 3, T/alpha, H, W) and (N, 3, T, H, W) -> means over time, (N, C, H/16, W/16), slow channels first."""
        return self.network.head.means(self.network.maps(slow, fast))


class Head(nn.Cell):
    """The head of a network, with the network's own parameters."""

    def __init__(self, network: SlowFast) -> None:
        super().__init__(auto_prefix=False)
        self.head = network.head

    def construct(self, maps: Tensor, boxes: Tensor) -> Tensor:
        """What the backbone gives, and corners in pixels of the clip (N, M, 4) -> logits (N, M, classes)."""
        return self.head.read(maps, boxes)


def backbone_of(network: nn.Cell, spec: Spec) -> tuple[Backbone, Spec]:
    """The backbone of a network of `spec`, and its own spec: the two clips, and the output `MAPS` (C, H/16, W/16).

    Raises BookError for a network that is no SlowFast for detection, or not of this spec.
    """
    part, (slow, fast, _) = Backbone(_detector(network, spec)), spec.inputs
    return part, Spec({name: spec.inputs[name] for name in (slow, fast)}, _maps(part.network, spec), MAPS)


def head_of(network: nn.Cell, spec: Spec, boxes: int | None = None) -> tuple[Head, Spec]:
    """The head of a network of `spec`, and its own spec: `MAPS` and boxes, and the network's output.

    `boxes` is the number M that an export takes at once, None that of `spec`. A box has no say in what another gets:
    fewer are filled up with zeros. Raises BookError as `backbone_of`.
    """
    part, (*_, last) = Head(_detector(network, spec)), spec.inputs
    count = spec.inputs[last][0] if boxes is None else boxes
    output = (count, part.head.projection.out_channels)
    return part, Spec({MAPS: _maps(part, spec), last: (count, 4)}, output, spec.output_name)


def _detector(network: nn.Cell, spec: Spec) -> SlowFast:
    if not isinstance(network, SlowFast) or not network.detects:
        raise BookError(f"{type(network).__name__}: expected SlowFast of task 'detection': other heads take no boxes")
    check_clips(network, spec, "parts of SlowFast")
    return network


def _maps(part: SlowFast | Head, spec: Spec) -> tuple[int, int, int]:
    height, width = next(iter(spec.inputs.values()))[2:]
    return part.head.projection.in_channels, -(-height // CELL), -(-width // CELL)
