"""Whether a network takes the inputs that a spec names."""

from __future__ import annotations

import inspect

from mindspore import nn

from actionbook.core.spec import Spec


def mismatch(network: nn.Cell, spec: Spec) -> str:
    """What is wrong with the inputs of `spec` for `network`; nothing where it takes them.

    ``construct`` must take as many inputs as `spec` has, and in this order where it has the same names. MindSpore tells
    only after compiling, in words about its own graph.
    """
    given = list(inspect.signature(network.construct).parameters.values())
    if any(one.kind is one.VAR_POSITIONAL for one in given):
        return ""
    taken = [one for one in given if one.kind is not one.KEYWORD_ONLY and one.kind is not one.VAR_KEYWORD]
    least, most = sum(one.default is one.empty for one in taken), len(taken)
    names = [one.name for one in taken]
    if not least <= len(spec.inputs) <= most:
        takes = f"{most}" if least == most else f"{least} to {most}"
        return (
            f"{type(network).__name__}.construct takes {takes} inputs ({', '.join(names)}), the spec has "
            f"{len(spec.inputs)} ({spec}): give a spec of what the network takes"
        )
    if set(names) == set(spec.inputs) and names != list(spec.inputs):
        return (
            f"{type(network).__name__}.construct takes {', '.join(names)}, the spec has them in another order: {spec}"
        )
    return ""
