"""What a network takes and gives: names and shapes of its inputs, shape of its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from actionbook.core.errors import BookError

Shape = tuple[int, ...]
Arrays = Mapping[str, np.ndarray]
"""Inputs of a batch or of one sample, by name."""

IMAGE, OUTPUT = "image", "class"
"""Names of the one input and the output in the Ascend port of Efficient-3DCNNs, so that its commands still fit."""

BOXES = "boxes"
"""The input that holds the boxes of detection."""


class SpecError(BookError):
    """Arrays are not what a network takes."""


@dataclass(frozen=True)
class Spec:
    """Names and shapes of a network's inputs, in the order of its ``construct``, and its output; all without N."""

    inputs: Mapping[str, Shape]
    output: Shape | None = None
    """(classes,), or (boxes, classes) for detection; None: not said."""
    output_name: str = OUTPUT

    def __post_init__(self) -> None:
        if not self.inputs:
            raise SpecError("a network takes at least one input, found none")
        for name, shape in self.inputs.items():
            if not name.isidentifier() or not shape or not all(isinstance(n, int) and n >= 1 for n in shape):
                raise SpecError(f"input {name!r} {shape}: expected a plain name and sizes of 1 or more, without N")

    @classmethod
    def of(cls, spec: Spec | Shape) -> Spec:
        """`spec` itself; a shape alone, such as (C, T, H, W), stands for one input called ``image``."""
        return spec if isinstance(spec, Spec) else cls({IMAGE: tuple(spec)})

    def with_output(self, shape: Shape | None) -> Spec:
        """The same inputs, and an output of this shape."""
        return replace(self, output=shape)

    @property
    def single(self) -> str:
        """The name of the only input. Raises SpecError where there are several."""
        if len(self.inputs) > 1:
            raise SpecError(f"expected a network of one input, this one has {', '.join(self.inputs)}")
        return next(iter(self.inputs))

    def named(self, arrays: Arrays | np.ndarray) -> Arrays:
        """`arrays` by name; an array alone is the only input."""
        return {self.single: arrays} if isinstance(arrays, np.ndarray) else arrays

    def check(self, arrays: Arrays | np.ndarray, what: str, most: int | None = None) -> dict[str, np.ndarray]:
        """The batch as the network takes it: every input float32 (b, *shape), the same b, in this spec's order.

        Raises SpecError, which begins with `what`, for a missing or superfluous input, another type or shape, no
        sample, or more than `most` of them.
        """
        given = self.named(arrays)
        if set(given) != set(self.inputs):
            raise SpecError(f"{what}: inputs {', '.join(given)}; expected {', '.join(self.inputs)}")
        sizes = {len(array) for array in given.values() if array.ndim}
        if len(sizes) != 1 or sizes == {0}:
            raise SpecError(f"{what}: batches of {sorted(sizes)} samples; expected one size, of 1 or more")
        for name, shape in self.inputs.items():
            array = given[name]
            if array.dtype != np.float32 or array.shape[1:] != tuple(shape):
                wanted = f"float32 (b, {', '.join(map(str, shape))})"
                raise SpecError(f"{what}: input {name!r} is {array.dtype} {array.shape}, expected {wanted}")
        if most is not None and max(sizes) > most:
            raise SpecError(f"{what}: batch of {max(sizes)} clips, expected at most {most}")
        return {name: given[name] for name in self.inputs}

    def padded(self, arrays: Arrays | np.ndarray, what: str, size: int | None) -> dict[str, np.ndarray]:
        """`check`, and filled up with zeros to `size` samples where one is given; contiguous."""
        checked = self.check(arrays, what, size)
        return {name: _filled(array, size) for name, array in checked.items()}

    def random(self, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
        """A batch of standard normal numbers, float32, from `seed`."""
        rng = np.random.default_rng(seed)
        return {name: rng.standard_normal((batch, *shape), dtype=np.float32) for name, shape in self.inputs.items()}

    def bytes(self, name: str | None = None) -> int:
        """Size of one sample of an input (None: of all inputs) as float32."""
        return 4 * sum(int(np.prod(self.inputs[key])) for key in ([name] if name else self.inputs))

    def as_dict(self) -> dict[str, object]:
        """Plain data, for digests and descriptions on disk."""
        inputs = {name: list(shape) for name, shape in self.inputs.items()}
        return {"inputs": inputs, "output": None if self.output is None else list(self.output)}

    def __str__(self) -> str:
        return ", ".join(f"{name} {tuple(shape)}" for name, shape in self.inputs.items())


def samples(arrays: Arrays) -> int:
    """How many samples a batch holds that `Spec.check` has passed."""
    return len(next(iter(arrays.values())))


def _filled(array: np.ndarray, size: int | None) -> np.ndarray:
    if size is None or len(array) == size:
        return np.ascontiguousarray(array)
    full = np.zeros((size, *array.shape[1:]), array.dtype)
    full[: len(array)] = array
    return full
