"""Arrays into a network, strictly, and out of it again under the original names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from actionbook.weights.errors import WeightsError
from actionbook.weights.layouts import Array, Layout, get_layout, to_original
from actionbook.weights.report import LoadReport, WrongShape

if TYPE_CHECKING:
    from mindspore import Parameter, nn


def load(
    model: nn.Cell,
    state: Mapping[str, Array],
    layout: str | Layout = "okankop",
    *,
    skip: Collection[str] = (),
    allow_missing: Collection[str] = (),
    allow_unexpected: Collection[str] = (),
) -> LoadReport:
    """Put the arrays of `state` into the parameters of `model`, all or none.

    Args:
        model: the network; its parameters are changed in place and keep their number types.
        state: arrays by the names of the file, as `read_torch` gives them.
        layout: the family of the file's names (see `actionbook.weights.layouts.LAYOUTS`).
        skip: original names, or the modules that hold them (``classifier.1``), to leave at their initial values
            whatever the file has: for fine-tuning with another number of classes.
        allow_missing: names or modules that the file may lack.
        allow_unexpected: names or modules that only the file has.

    Returns:
        The report, with every tensor of both sides in exactly one list.

    Raises:
        WeightsError: a tensor is missing, unexpected, of the wrong shape or holds no real numbers; `skip` names
            nothing in the network. The message lists all of them, and the network is unchanged.
    """
    layout = get_layout(layout)
    parameters = _parameters(model, layout)
    tensors, ignored = to_original(state, layout)
    for entry in skip:
        if not any(_within(name, [entry]) for name in parameters):
            raise WeightsError(
                f"skip names {entry!r}, which the network does not have. Its heads: {_heads(parameters)}."
            )
    kept = {name for name in parameters if _within(name, skip if name in tensors else (*skip, *allow_missing))}
    both = [name for name in parameters if name in tensors and name not in kept]
    shapes = {name: (tuple(parameters[name].shape), tensors[name].shape) for name in both}
    extra = [name for name in tensors if name not in parameters]
    left = {name for name in extra if _within(name, (*skip, *allow_unexpected))}
    report = LoadReport(
        layout.name,
        loaded=tuple(name for name, (expected, found) in shapes.items() if expected == found),
        missing=tuple(name for name in parameters if name not in tensors and name not in kept),
        unexpected=tuple(name for name in extra if name not in left),
        wrong_shape=tuple(WrongShape(name, *pair) for name, pair in shapes.items() if pair[0] != pair[1]),
        kept=tuple(name for name in parameters if name in kept),
        ignored=(*ignored, *(name for name in extra if name in left)),
    )
    if not report.ok:
        raise WeightsError(f"the weights do not fit the network.\n{report}\n{_remedy(report)}")
    for name, array in {name: _fitting(name, tensors[name], parameters[name]) for name in report.loaded}.items():
        _assign(parameters[name], array)
    return report


def export_state(model: nn.Cell, layout: str | Layout = "okankop") -> dict[str, Array]:
    """Copies of all parameters of `model` under their original names: the inverse of `load`.

    Without wrapper prefixes and counters. `numpy.savez(path, **export_state(model))` makes a file that any NumPy reads.
    """
    layout = get_layout(layout)
    return {name: np.array(parameter.asnumpy()) for name, parameter in _parameters(model, layout).items()}


def _parameters(model: nn.Cell, layout: Layout) -> dict[str, Parameter]:
    """The weights of a network by original name, without the state of dropout.

    Raises WeightsError if the layout gives two of them one name.
    """
    from actionbook.models.layers import MASK_KEY  # noqa: PLC0415 (as in _assign)

    named: dict[str, Parameter] = {}
    for parameter in model.get_parameters():
        if parameter.name.rpartition(".")[2] == MASK_KEY:
            continue
        name = layout.original_name(parameter.name)
        if name in named:
            raise WeightsError(
                f"layout {layout.name}: {parameter.name!r} and {named[name].name!r} are both called {name!r}. "
                "This layout does not suit the network; choose the one of its chapter."
            )
        named[name] = parameter
    return named


def _within(name: str, entries: Iterable[str]) -> bool:
    """Whether `name` is one of `entries` or lies in a module that they name."""
    return any(name == entry or name.startswith(f"{entry}.") for entry in entries)


def _heads(parameters: Iterable[str]) -> str:
    """The last modules of a network, for a message."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters))
    return ", ".join(modules[-3:])


def _fitting(name: str, array: Array, parameter: Parameter) -> Array:
    """`array` in the number type of `parameter`. Raises WeightsError if it holds no real numbers."""
    if array.dtype.kind not in "fiu":
        raise WeightsError(f"tensor {name!r} holds {array.dtype}, not real numbers. Fetch the weights again.")
    return np.ascontiguousarray(array, dtype=parameter.asnumpy().dtype)


def _assign(parameter: Parameter, array: Array) -> None:
    # Imported here, so that the readers of this floor work without starting MindSpore.
    from mindspore import Tensor  # noqa: PLC0415

    parameter.set_data(Tensor(array))


def _remedy(report: LoadReport) -> str:
    """What to do about a report that is not ok."""
    head = report.resized_head
    if head is not None:
        module, found, expected = head
        return (
            f"The file was trained on {found} classes, the network has {expected}. To fine-tune from it, pass "
            f"skip=({module!r},): these parameters then keep their initial values. To evaluate it, make the network "
            f"with num_classes={found}."
        )
    return (
        "Check that the network, its width and the layout are those of this file. Parameters that may differ are named "
        "with skip, allow_missing or allow_unexpected."
    )
