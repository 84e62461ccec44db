"""An optimiser step over several micro-batches, in the memory that one of them takes."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from actionbook.clips.pipeline import share_of
from actionbook.core.errors import BookError
from actionbook.core.training import Training


def micro_batch(training: Training, devices: int = 1) -> int:
    """Clips that each device computes at once. Raises BookError where a batch cannot be shared equally."""
    share = share_of(training.batch_size, devices)
    if share % training.accumulate:
        raise BookError(
            f"training.accumulate {training.accumulate} does not divide the {share} clips of a step on each of the "
            f"{devices} devices (training.batch_size {training.batch_size}): raise batch_size, or lower accumulate"
        )
    return share // training.accumulate


class MicroBatches(nn.Cell):
    """A step as `nn.TrainOneStepCell`, whose gradients are means over the micro-batches of its batch.

    Two graphs are compiled, however many micro-batches there are: one computes gradients and adds them up, the other
    averages them (over devices, too) and does the optimiser's step. Sums are no state: every step begins them anew.
    """

    def __init__(self, step: nn.TrainOneStepCell, count: int) -> None:
        super().__init__(auto_prefix=False)
        self.step, self.count = step, count  # whose parameters are those of this cell
        add = _Add(step)
        self._graphs = [add.set_train(), _Update(step, add.sums, count).set_train()]  # a list: sums are not among them

    def __call__(self, *batch: Tensor) -> Tensor:
        """A batch, as the wrapped step takes it -> the mean loss, float32 ().

        Micro-batch k has every `count`-th sample from number k on. So the same samples are together on one device and,
        with their equal shares of the batch, on several, and masks of dropout fall on the same ones.
        """
        arrays, losses = [tensor.asnumpy() for tensor in batch], []
        add, update = self._graphs
        for number in range(self.count):
            keep = Tensor(0.0 if number == 0 else 1.0, ms.float32)
            losses.append(add(keep, *(Tensor.from_numpy(array[number :: self.count]) for array in arrays)))
        update()
        return Tensor(np.mean([loss.asnumpy() for loss in losses], dtype=np.float32))


_add = ops.MultitypeFuncGraph("add_to_sum")


@_add.register("Tensor", "Tensor", "Tensor")
def _add_to_sum(keep: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
    return ops.assign(total, total * keep + gradient)


class _Add(nn.Cell):
    """Gradients of one micro-batch, added to the sums (`keep` 1) or taken in their place (0)."""

    def __init__(self, step: nn.TrainOneStepCell) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.weights = step.network, step.weights
        self.scaled, self.sens = step.sense_flag, step.sens
        self.grad, self.grad_no_sens = step.grad, step.grad_no_sens
        self.sums: ParameterTuple = step.weights.clone(prefix="sum", init="zeros")
        self.hyper_map = ops.HyperMap()

    def construct(self, keep: Tensor, *batch: Tensor) -> Tensor:
        loss = self.network(*batch)
        if self.scaled:
            gradients = self.grad(self.network, self.weights)(*batch, ops.fill(loss.dtype, loss.shape, self.sens))
        else:
            gradients = self.grad_no_sens(self.network, self.weights)(*batch)
        return ops.depend(loss, self.hyper_map(ops.partial(_add, keep), self.sums, gradients))


class _Update(nn.Cell):
    """The optimiser's step with the sums' mean, which is reduced over devices and clipped as the wrapped step does."""

    def __init__(self, step: nn.TrainOneStepCell, sums: ParameterTuple, count: int) -> None:
        super().__init__(auto_prefix=False)
        self.reducer, self.optimiser, self.sums = step.grad_reducer, step.optimizer, sums
        self.share = Tensor(1 / count, ms.float32)
        self.hyper_map = ops.HyperMap()

    def construct(self) -> Any:
        return self.optimiser(self.reducer(self.hyper_map(ops.partial(ops.mul, self.share), self.sums)))
