"""One optimiser step as a cell, and which parameters it moves, how fast, with what decay."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from actionbook.core.errors import BookError
from actionbook.core.training import Group, Norms, Training
from actionbook.training.micro_batches import MicroBatches
from actionbook.training.schedule import step_rates

NORMS = ("gamma", "beta")
"""Last parts of the names of what normalisations learn."""
LEVEL = "plateau_level"
"""Name of the parameter that the rates of a plateau are multiplied by."""


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

    SGD with dampening (Efficient-3DCNNs: main.py, PyTorch's SGD) or with Nesterov's momentum (ECO: solver.prototxt), or
    Adam (the Ascend port of I3D: train.py), with weight decay on every parameter that is trained, where the recipe
    names no groups. Where it says so, the batch is computed in micro-batches (`MicroBatches`), and the gradients' mean
    over these and all devices is clipped (`Clipped`). Under ``training.plateau`` the rates follow `set_level`.
    """
    freeze(network, training.trainable, training.norms)
    rates: Any = step_rates(training, steps_per_epoch) or [training.lr]
    groups = parameter_groups(network, training, rates)
    if training.plateau:
        rates, groups = _levelled(rates, groups)
    scale = training.loss_scale
    own_rates = any("lr" in group for group in groups)
    if training.optimizer == "adam":
        adam = _AdamOfGroups if own_rates else nn.Adam
        optimiser: nn.Cell = adam(groups, learning_rate=rates, loss_scale=scale)
    else:
        momentum, dampening = training.momentum, training.dampening
        sgd, nesterov = _SGDOfGroups if own_rates else nn.SGD, training.nesterov
        optimiser = sgd(groups, rates, momentum=momentum, dampening=dampening, nesterov=nesterov, loss_scale=scale)
    manager = None if scale == 1 else ms.amp.FixedLossScaleManager(scale, False)
    # The network alone is computed in 16 bits, where the recipe says so; the loss never is.
    mixed = ms.amp.auto_mixed_precision(network, training.amp_level)
    step = ms.amp.build_train_network(
        LossCell(mixed, loss, inputs), optimiser, level="O0", boost_level="O0", loss_scale_manager=manager
    )
    if training.clip_norm:
        step.grad_reducer = Clipped(step.grad_reducer, training.clip_norm, scale)
    return step if training.accumulate == 1 else MicroBatches(step, training.accumulate)


class _RatesOfGroups(nn.Optimizer):
    """What an optimiser asks for its rates, computed once for each group.

    MindSpore computes them anew for every parameter: of ECO's step, compiling that took more than all the rest.
    """

    def __init__(self, groups: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(groups, *args, **kwargs)
        self.sizes = tuple(len(group["params"]) for group in groups)
        firsts = np.cumsum((0, *self.sizes[:-1]))
        self.rates_of_groups = nn.CellList([self.learning_rate[int(first)] for first in firsts], auto_prefix=False)

    def get_lr(self) -> tuple[Tensor, ...]:
        """One rate a parameter, float32 (), in the order of the groups."""
        rates = ()
        for number, rate in enumerate(self.rates_of_groups):
            rates += (rate(self.global_step).reshape(()),) * self.sizes[number]
        return rates


class _SGDOfGroups(_RatesOfGroups, nn.SGD):
    pass


class _AdamOfGroups(_RatesOfGroups, nn.Adam):
    pass


class Clipped(nn.Cell):
    """Gradients, averaged over all devices, shortened to a global norm where theirs is greater.

    Multiplied by min(1, limit / (norm + 1e-6)), the norm that of all of them as one vector, as PyTorch's
    clip_grad_norm_ does. They carry the loss scale still, which the optimiser takes off; the norm is that without it.
    """

    def __init__(self, reducer: nn.Cell, limit: float, scale: float) -> None:
        super().__init__(auto_prefix=False)
        self.reducer, self.limit, self.scale = reducer, limit, scale
        self.hyper_map = ops.HyperMap()

    def construct(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        gradients = self.reducer(gradients)
        norm = ops.sqrt(ops.addn(self.hyper_map(_square_sum, gradients))) / self.scale
        factor = ops.minimum(self.limit / (norm + 1e-6), 1.0)
        return self.hyper_map(ops.partial(ops.mul, factor), gradients)


def _square_sum(gradient: Tensor) -> Tensor:
    return ops.square(gradient.astype(ms.float32)).sum()


class Levelled(nn.learning_rate_schedule.LearningRateSchedule):
    """Planned rates, one a step, times a level that `set_level` changes between the steps."""

    def __init__(self, rates: list[float], level: Parameter) -> None:
        super().__init__()
        self.rates, self.level = Tensor(np.array(rates, np.float32)), level

    def construct(self, step: Tensor) -> Tensor:
        """Number of the step, int32 () or (1,) -> its rate, of the same shape."""
        return ops.gather(self.rates, step, 0) * self.level


def _levelled(rates: list[float], groups: list[dict[str, Any]]) -> tuple[Levelled, list[dict[str, Any]]]:
    """The same rates, of all parameters and of groups with rates of their own, times one level, at first 1."""
    level = Parameter(Tensor(1.0, ms.float32), name=LEVEL, requires_grad=False)
    own = [{**group, "lr": Levelled(group["lr"], level)} if "lr" in group else group for group in groups]
    return Levelled(rates, level), own


def set_level(step: nn.Cell, level: float) -> None:
    """From now on the rates of a cell of `train_step` under a plateau are those planned, times `level`."""
    for parameter in step.get_parameters():
        if parameter.name == LEVEL:
            parameter.set_data(Tensor(level, ms.float32))


def parameter_groups(network: nn.Cell, training: Training, rates: list[float]) -> list[dict[str, Any]]:
    """The optimiser's groups: those of the recipe in their order, then all other parameters.

    As a plain list, parameters with "gamma" or "beta" in their names would be spared the decay; in a group none is.
    Raises BookError for a group that no parameter belongs to, but for norms that ``training.norms`` freezes.
    """
    left = list(network.trainable_params())
    made = []
    for group in training.groups:
        mine = [parameter for parameter in left if _belongs(parameter, group)]
        if not mine and group.kind == "norms" and training.norms != "trained":
            continue
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


def freeze(network: nn.Cell, trainable: tuple[str, ...], norms: Norms = "trained") -> None:
    """Train only parameters whose names begin with one of `trainable`; none named: all of them.

    Of the batch norms among these, `norms` trains all, none, or the network's first alone, in the order in which it
    defines them. A frozen one keeps to its moving statistics in training too. The Ascend port of I3D freezes the
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
    every = [cell for _, cell in network.cells_and_names() if hasattr(cell, "moving_variance")]
    for cell in every[{"frozen": 0, "frozen_but_first": 1, "trained": len(every)}[norms] :]:
        cell.gamma.requires_grad = cell.beta.requires_grad = cell.use_batch_statistics = False
