"""One optimiser step as a cell, and which parameters it moves, how fast, with what decay."""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.training import Group, Training
from actionbook.training.schedule import step_rates

NORMS = ("gamma", "beta")
"""Last parts of the names of what normalisations learn."""


class LossCell(nn.Cell):
    """A network of any number of inputs and its loss."""

    def __init__(self, network: nn.Cell, loss: nn.Cell, inputs: int) -> None:
        super().__init__(auto_prefix=False)  # parameter names stay those of the network
        self.network, self.loss, self.inputs = network, loss, inputs

    def construct(self, *batch: Tensor) -> Tensor:
        """The inputs in the spec's order, then what the loss takes beside the output -> the loss."""
        output = self.network(*batch[: self.inputs])
        return self.loss(output.astype(ms.float32), *batch[self.inputs :])


def train_step(network: nn.Cell, loss: nn.Cell, training: Training, steps_per_epoch: int, inputs: int = 1) -> nn.Cell:
    """A cell that takes a batch (`LossCell`), does one optimiser step and returns the loss.

    SGD with dampening (Efficient-3DCNNs: main.py, PyTorch's SGD) or Adam (the Ascend port of I3D: train.py), with
    weight decay on every parameter that is trained, where the recipe names no groups.
    """
    freeze(network, training.trainable)
    rates = step_rates(training, steps_per_epoch) or [training.lr]
    groups = parameter_groups(network, training, rates)
    scale = training.loss_scale
    if training.optimizer == "adam":
        optimiser: nn.Cell = nn.Adam(groups, learning_rate=rates, loss_scale=scale)
    else:
        momentum, dampening = training.momentum, training.dampening
        optimiser = nn.SGD(groups, rates, momentum=momentum, dampening=dampening, loss_scale=scale)
    manager = None if scale == 1 else ms.amp.FixedLossScaleManager(scale, False)
    # The network alone is computed in 16 bits, where the recipe says so; the loss never is.
    mixed = ms.amp.auto_mixed_precision(network, training.amp_level)
    return ms.amp.build_train_network(
        LossCell(mixed, loss, inputs), optimiser, level="O0", boost_level="O0", loss_scale_manager=manager
    )


def parameter_groups(network: nn.Cell, training: Training, rates: list[float]) -> list[dict[str, Any]]:
    """The optimiser's groups: those of the recipe in their order, then all other parameters.

    As a plain list, parameters with "gamma" or "beta" in their names would be spared the decay; in a group none is.
    Raises BookError for a group that no parameter belongs to.
    """
    left = list(network.trainable_params())
    made = []
    for group in training.groups:
        mine = [parameter for parameter in left if _belongs(parameter, group)]
        if not mine:
            raise BookError(f"training.groups: no trained parameter is left for {group.kind} {list(group.prefixes)}")
        left = [parameter for parameter in left if all(parameter is not one for one in mine)]
        decay = training.weight_decay if group.weight_decay is None else group.weight_decay
        made.append({"params": mine, "weight_decay": decay})
        if any(one.lr_factor != 1 for one in training.groups):  # all groups need rates of their own, or none
            made[-1]["lr"] = [rate * group.lr_factor for rate in rates]
    if left:
        rest: dict[str, Any] = {"params": left, "weight_decay": training.weight_decay}
        made.append(rest)
    return made


def _belongs(parameter: Parameter, group: Group) -> bool:
    leaf = parameter.name.rpartition(".")[2]
    if group.kind == "named":
        return bool(parameter.name.startswith(group.prefixes))
    return leaf in NORMS if group.kind == "norms" else leaf == "bias"


def freeze(network: nn.Cell, trainable: tuple[str, ...]) -> None:
    """Train only parameters whose names begin with one of `trainable`; none named: all of them.

    Batch norm of a frozen layer keeps to its moving statistics in training too. The Ascend port of I3D freezes the
    convolutions and lets batch norm follow each batch: the frozen part then still changes.
    Raises BookError for a prefix that no parameter has.
    """
    names = [parameter.name for parameter in network.trainable_params()]
    for prefix in trainable:
        if not any(name.startswith(prefix) for name in names):
            parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
            raise BookError(f"training.trainable: no parameter begins with {prefix!r}; the network's parts: {parts}")
    for _, cell in network.cells_and_names():
        own = list(cell.parameters_and_names(expand=False))
        others = [parameter for _, parameter in own if trainable and not parameter.name.startswith(trainable)]
        for parameter in others:
            parameter.requires_grad = False
        if others and len(others) == len(own) and hasattr(cell, "use_batch_statistics"):
            cell.use_batch_statistics = False
