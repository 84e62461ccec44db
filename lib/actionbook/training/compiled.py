"""One compiled step for all trainings of a kind: for small networks compiling takes as long as training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mindspore import Tensor, nn

from actionbook.core.training import Training
from actionbook.training.optimiser import train_step


@dataclass
class CompiledStep:
    """The network and optimiser step of the last training, lent to the next one if that is of the same kind."""

    kind: str = ""
    network: nn.Cell | None = None
    step: nn.Cell | None = None
    _optimiser: dict[str, np.ndarray] = field(default_factory=dict)

    def take(
        self, kind: str, network: nn.Cell, loss: nn.Cell, training: Training, *, steps: int, inputs: int = 1
    ) -> tuple[nn.Cell, nn.Cell]:
        """(network, step) that hold the weights of `network` and an optimiser that has seen nothing.

        `kind` names everything that is compiled in: structure, number of classes, optimisation, steps. Where it is that
        of the last call, the network returned is that call's, with new weights and the masks of dropout as they begin.
        """
        if kind != self.kind or self.network is None or self.step is None:
            self.kind, self.network = kind, network
            self.step = train_step(network, loss, training, steps, inputs)
            own = {id(parameter) for parameter in network.get_parameters()}
            state = (parameter for parameter in self.step.get_parameters() if id(parameter) not in own)
            self._optimiser = {parameter.name: parameter.asnumpy().copy() for parameter in state}
        elif network is not self.network:
            for mine, theirs in zip(self.network.get_parameters(), network.get_parameters(), strict=True):
                mine.set_data(Tensor(theirs.asnumpy().copy()))
            for parameter in self.step.get_parameters():
                if parameter.name in self._optimiser:
                    parameter.set_data(Tensor(self._optimiser[parameter.name]))
        return self.network, self.step
