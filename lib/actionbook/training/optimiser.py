"""One optimiser step as a cell, and which parameters it moves."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.core.recipe import Training
from actionbook.training.schedule import step_rates


def train_step(network: nn.Cell, training: Training, steps_per_epoch: int) -> nn.Cell:
    """A cell that takes (clips, targets), does one optimiser step and returns the loss.

    Cross-entropy, and SGD with dampening (Efficient-3DCNNs: main.py, PyTorch's SGD) or Adam (the Ascend port of I3D:
    train.py), with weight decay on every parameter that is trained.
    """
    freeze(network, training.trainable)
    rates = step_rates(training, steps_per_epoch) or [training.lr]
    # As a plain list, parameters with "gamma" or "beta" in their names would be spared the decay; in a group none is.
    parameters = [{"params": network.trainable_params(), "weight_decay": training.weight_decay}]
    scale = training.loss_scale
    if training.optimizer == "adam":
        optimiser: nn.Cell = nn.Adam(parameters, learning_rate=rates, loss_scale=scale)
    else:
        momentum, dampening = training.momentum, training.dampening
        optimiser = nn.SGD(parameters, rates, momentum=momentum, dampening=dampening, loss_scale=scale)
    manager = None if scale == 1 else ms.amp.FixedLossScaleManager(scale, False)
    # sparse=True takes class numbers instead of one-hot rows.
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    return ms.amp.build_train_network(
        network, optimiser, loss, level=training.amp_level, boost_level="O0", loss_scale_manager=manager
    )


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
