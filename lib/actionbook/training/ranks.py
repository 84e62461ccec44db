"""One training on several devices: the same step on each, gradients averaged (data parallel)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from actionbook.core.errors import BookError
from actionbook.models.layers import Dropout


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone by default."""

    rank: int = 0
    """Number of this process, from 0. Number 0 validates and writes."""
    count: int = 1

    @classmethod
    def join(cls) -> Ranks:
        """Meet the other processes that ``msrun`` has started. Device and GRAPH mode must be set before.

        From then on the optimiser steps that are built average their gradients over all processes.
        """
        try:
            ms.communication.init()
        except (RuntimeError, ValueError) as error:
            raise BookError(
                f"the processes of the training cannot reach each other ({str(error).splitlines()[0]}): "
                "start them through msrun, with the same master_addr and master_port on all hosts"
            ) from error
        found = cls(ms.communication.get_rank(), ms.communication.get_group_size())
        ms.set_auto_parallel_context(
            parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=found.count
        )
        return found

    @property
    def leads(self) -> bool:
        """Whether this process is the one that validates and writes."""
        return self.rank == 0

    def mark(self, network: nn.Cell) -> None:
        """Tell the network whose share of each batch it sees, before it is compiled."""
        for _, cell in network.cells_and_names():
            if isinstance(cell, Dropout):
                cell.rank = self.rank

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over all processes, float32; all of them must call this. Values of one process are left as is."""
        if self.count == 1:
            return values
        return ops.AllReduce()(Tensor(values.astype(np.float32))).asnumpy() / np.float32(self.count)

    def leaders(self, number: int) -> int:
        """The leading process's whole number (below 2^24); all processes must call this."""
        shared = self.mean(np.array([number if self.leads else 0], np.float32))
        return round(float(shared[0]) * self.count)

    def wait(self) -> None:
        """Go on when all processes have come this far."""
        self.mean(np.zeros(1, np.float32))

    def average_statistics(self, network: nn.Cell) -> None:
        """Give all processes the mean of their moving statistics of batch norm.

        In training each device normalises by its own part of the batch, as in the originals. Moving statistics are
        linear in those of the batches, so it does not matter (but for rounding) when or how often they are averaged.
        """
        moving = list(_moving(network)) if self.count > 1 else []
        if moving:
            mean = self.mean(np.concatenate([parameter.asnumpy().ravel() for parameter in moving]))
            for parameter in moving:
                own, mean = mean[: parameter.size], mean[parameter.size :]
                parameter.set_data(Tensor(own.reshape(parameter.shape).astype(np.float32)))

    def check_equal(self, network: nn.Cell) -> None:
        """Raise BookError if the processes do not hold the same weights, to the last bit."""
        if self.count == 1:
            return
        # Sums of the bit patterns, modulo a number whose multiples float32 holds exactly.
        patterns = [parameter.asnumpy().view(np.uint8).ravel() for parameter in network.get_parameters()]
        sums = np.array([np.dot(p.astype(np.uint64), np.arange(1, p.size + 1, dtype=np.uint64)) for p in patterns])
        own = (sums % np.uint64(65_521)).astype(np.float32)
        if not np.array_equal(own, self.mean(own)):
            raise BookError(
                f"the {self.count} processes have ended with different weights: a device, driver or network card is "
                "at fault, or they were started with different files; train again on one device and compare"
            )


ALONE = Ranks()


def _moving(network: nn.Cell) -> Iterator[Parameter]:
    """Moving statistics of the batch norms that follow the batches (frozen ones do not)."""
    for _, cell in network.cells_and_names():
        if hasattr(cell, "moving_variance") and cell.use_batch_statistics is not False:
            yield from (cell.moving_mean, cell.moving_variance)
