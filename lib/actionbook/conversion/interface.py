"""Whether a network is what its spec says: the inputs that it takes, and the one output that it gives."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from mindspore import nn

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Sizes
from actionbook.core.spec import Spec


def check_inputs(network: nn.Cell, spec: Spec, batch: int | None = None) -> None:
    """Raise ConversionError unless ``construct`` takes as many inputs as `spec` has, and in this order where it has
    the same names, and for an impossible batch size.

    MindSpore tells only after compiling, in words about its own graph.
    """
    if batch is not None and batch < 1:
        raise ConversionError(f"batch {batch}: expected 1 or more")
    given = list(inspect.signature(network.construct).parameters.values())
    if any(one.kind is one.VAR_POSITIONAL for one in given):
        return
    taken = [one for one in given if one.kind is not one.KEYWORD_ONLY and one.kind is not one.VAR_KEYWORD]
    least, most = sum(one.default is one.empty for one in taken), len(taken)
    names = [one.name for one in taken]
    if not least <= len(spec.inputs) <= most:
        takes = f"{most}" if least == most else f"{least} to {most}"
        raise ConversionError(
            f"{type(network).__name__}.construct takes {takes} inputs ({', '.join(names)}), the spec has "
            f"{len(spec.inputs)} ({spec}): give a spec of what the network takes"
        )
    if set(names) == set(spec.inputs) and names != list(spec.inputs):
        raise ConversionError(
            f"{type(network).__name__}.construct takes {', '.join(names)}, the spec has them in another order: {spec}"
        )


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
