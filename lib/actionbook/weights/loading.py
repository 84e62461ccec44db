"""Arrays into a network, strictly, and out of it again under the original names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from actionbook.weights.errors import WeightsError
from actionbook.weights.fit import fit, original_names
from actionbook.weights.layouts import Layout, get_layout
from actionbook.weights.report import LoadReport
from actionbook.weights.stored import Array, Weights

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
        state: arrays by the names of the file, as `read` gives them. What wrappers put before every name (``module.``,
            ``model.``, ``_orig_mod.``, several times or others) is taken off where the rest fits the network better.
        layout: the family of the file's names (see `actionbook.weights.layouts.LAYOUTS`).
        skip: original names, or the modules that hold them (``classifier.1``), to leave at their initial values
            whatever the file has: for fine-tuning with another number of classes.
        allow_missing: names or modules that the file may lack.
        allow_unexpected: names or modules that only the file has.

    Returns:
        The report, with every tensor of both sides in exactly one list, and where `read` found them.

    Raises:
        WeightsError: a tensor is missing, unexpected, of the wrong shape or holds no real numbers; `skip` names
            nothing in the network. The message lists all of them, and the network is unchanged.
    """
    parameters = {parameter.name: parameter for parameter in _parameters(model)}
    fitted = fit(
        {name: tuple(parameter.shape) for name, parameter in parameters.items()},
        {name: array.shape for name, array in state.items()},
        get_layout(layout),
        skip=skip,
        allow_missing=allow_missing,
        allow_unexpected=allow_unexpected,
    )
    report = replace(fitted.report, origin=state.origin if isinstance(state, Weights) else None)
    if not report.ok:
        raise WeightsError(f"the weights do not fit the network.\n{report}\n{report.remedy}")
    own = get_layout(layout)
    targets = {name: parameters[fitted.parameters[name]] for name in (*report.loaded, *report.ones)}
    arrays: dict[str, Array] = {name: np.ones(targets[name].shape, np.float32) for name in report.ones}
    for name in report.loaded:
        arrays[name] = own.from_file(name, state[fitted.tensors[name]], tuple(targets[name].shape))
    for name, array in {name: _fitting(name, array, targets[name]) for name, array in arrays.items()}.items():
        _assign(targets[name], array)
    return report


def fits(
    model: nn.Cell, shapes: Mapping[str, tuple[int, ...]], layout: str | Layout, *, skip: Collection[str] = ()
) -> LoadReport:
    """What `load` would report for tensors of these shapes, as `read_shapes` gives them; nothing is loaded.

    Raises WeightsError for a layout that does not suit the network, and if `skip` names nothing in it.
    """
    own = {parameter.name: tuple(parameter.shape) for parameter in _parameters(model)}
    return fit(own, shapes, get_layout(layout), skip=skip).report


def export_state(model: nn.Cell, layout: str | Layout = "okankop") -> dict[str, Array]:
    """Copies of all parameters of `model` under their original names: the inverse of `load`.

    Without wrapper prefixes and counters, the axes as the layout has them. `actionbook.weights.write_safetensors`
    makes a file of it that any framework reads, and ``numpy.savez(path, **export_state(model))`` one for NumPy.
    Raises WeightsError if the layout has no place for a parameter.
    """
    family = get_layout(layout)
    own = {parameter.name: parameter for parameter in _parameters(model)}
    names = original_names(own, family)
    lost = {name for name in names if re.fullmatch(family.ones, name)}
    for name in lost:
        if (own[names[name]].asnumpy() != 1).any():
            raise WeightsError(f"layout {family.name}: {name} is not one, and such files have no place for it.")
    kept = {name: own[stored].asnumpy() for name, stored in names.items() if name not in lost}
    return {name: np.array(family.to_file(array), order="C") for name, array in kept.items()}


def _parameters(model: nn.Cell) -> list[Parameter]:
    """The weights of a network, without the state of dropout."""
    from actionbook.models.layers import MASK_KEY  # noqa: PLC0415 (as in _assign)

    return [one for one in model.get_parameters() if one.name.rpartition(".")[2] != MASK_KEY]


def _fitting(name: str, array: Array, parameter: Parameter) -> Array:
    """`array` in the number type of `parameter`. Raises WeightsError if it holds no real numbers."""
    if array.dtype.kind not in "fiu":
        raise WeightsError(f"tensor {name!r} holds {array.dtype}, not real numbers. Fetch the weights again.")
    return np.ascontiguousarray(array, dtype=parameter.asnumpy().dtype)


def _assign(parameter: Parameter, array: Array) -> None:
    # Imported here, so that the readers of this floor work without starting MindSpore.
    from mindspore import Tensor  # noqa: PLC0415

    parameter.set_data(Tensor(array))
