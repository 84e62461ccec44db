"""Whether a network is what its spec says: the inputs that it takes, and the one output that it gives."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import nn

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Sizes
from actionbook.core.spec import Spec
from actionbook.models.inputs import mismatch


def check_inputs(network: nn.Cell, spec: Spec, batch: int | None = None) -> None:
    """Raise ConversionError for inputs that `network` does not take, and for an impossible batch size."""
    if batch is not None and batch < 1:
        raise ConversionError(f"batch {batch}: expected 1 or more")
    if wrong := mismatch(network, spec):
        raise ConversionError(wrong)


def check_outputs(found: Sequence[Sizes], spec: Spec) -> None:
    """Raise ConversionError unless a network's outputs (with N) are one, of the shape that `spec` says if it does."""
    if len(found) != 1:
        raise ConversionError(
            f"the network returns {len(found)} outputs {list(found)}, the spec has one, {spec.output_name!r}: "
            "export a network that returns one tensor"
        )
    shape = found[0][1:]
    if spec.output is not None and None not in shape and shape != tuple(spec.output):
        raise ConversionError(
            f"the network's output {spec.output_name!r} is {shape} for a sample, the spec says {tuple(spec.output)}"
        )
