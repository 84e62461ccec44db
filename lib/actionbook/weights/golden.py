"""Golden runs of the authors' programs: weights made by a rule, one sample or two, and what came out, stage by stage.

With such weights two programs can be compared without a checkpoint being passed between them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from mindspore import Tensor, nn

from actionbook.core.difference import difference
from actionbook.core.errors import BookError
from actionbook.core.paths import ROOT
from actionbook.core.spec import BOXES, Shape, Spec
from actionbook.models import create_model
from actionbook.models.profile import watch_outputs
from actionbook.models.specified import Specified, of_chapter
from actionbook.weights.loading import load
from actionbook.weights.stored import Array

TOLERANCE: Final = 1e-4
"""Relative: sums of float32 in another order stay well below it, any other fault far above."""


@dataclass(frozen=True)
class Golden:
    """What the authors' program made of one network and its samples.

    Attributes:
        name, model, options, num_classes: the run's name, and what `create_model` makes the network of.
        spec: shapes of the inputs, see `batch`.
        layout: of the names in `tensors`.
        tensors: name and shape of every tensor of the original network; `rule_made` makes them.
        stages: by module, of its output: shape with N, mean, standard deviation, first value. ``cell`` is the module
            here where it has another name, ``pooled`` says that the original's output is its mean over T, H and W.
        logits: (samples, classes), or (boxes, classes), sample by sample.
        drawn: the order of the axes in which the numbers of every input were drawn.
        scaled: factors of the rule's weights, by the end of their names.
        boxes: of every sample, corners in pixels (boxes, 4), which are not drawn; None: the network takes none.
    """

    name: str
    model: str
    options: Mapping[str, Any]
    num_classes: int
    spec: Spec
    layout: str
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    stages: Mapping[str, Mapping[str, Any]]
    logits: Array
    drawn: Literal["NCTHW", "NTCHW"] = "NCTHW"
    scaled: Mapping[str, float] = field(default_factory=dict)
    boxes: tuple[Array, ...] | None = None

    @property
    def batch(self) -> dict[str, Array]:
        """The samples, inputs (samples, ...): standard normal numbers of the frozen generator, input k of seed k.

        Boxes are filled up with zeros to as many as the spec has.
        """
        samples = len(self.logits if self.boxes is None else self.boxes)

        def draw(seed: int, shape: Shape) -> Array:
            rng = np.random.RandomState(seed)
            if self.drawn == "NCTHW":
                return rng.standard_normal((samples, *shape)).astype(np.float32)
            c, t, *size = shape
            return rng.standard_normal((samples, t, c, *size)).astype(np.float32).swapaxes(1, 2)

        drawn = {name: shape for name, shape in self.spec.inputs.items() if name != BOXES}
        batch = {name: draw(seed, shape) for seed, (name, shape) in enumerate(drawn.items())}
        if self.boxes is not None:
            batch[BOXES] = np.zeros((samples, *self.spec.inputs[BOXES]), np.float32)
            for row, boxes in zip(batch[BOXES], self.boxes, strict=True):
                row[: len(boxes)] = boxes
        return batch

    def real(self, logits: Array) -> Array:
        """(samples, classes) as it is; of (samples, boxes, classes) the real boxes, (boxes, classes)."""
        if self.boxes is None:
            return logits
        return np.concatenate([row[: len(boxes)] for row, boxes in zip(logits, self.boxes, strict=True)])

    def network(self) -> nn.Cell:
        """The network with the rule's weights. Raises WeightsError unless every tensor finds its place."""
        network = create_model(self.model, num_classes=self.num_classes, **self.options)
        load(network, rule_made(self.tensors, self.scaled), self.layout)
        return network


@dataclass(frozen=True)
class Agreement:
    """How far a network is from a golden run."""

    golden: Golden
    logits: Array
    """(samples or boxes, classes), found."""
    differences: Mapping[str, float]
    """Relative, by stage and of the ``logits``."""

    @property
    def holds(self) -> bool:
        """Whether logits and all stages are within the tolerance."""
        return max(self.differences.values()) < TOLERANCE

    @property
    def row(self) -> dict[str, Any]:
        """{network, relative_difference, tolerance}, of the logits or of the stage that is furthest off."""
        greatest = max(self.differences.values())
        return {"network": self.golden.name, "relative_difference": greatest, "tolerance": TOLERANCE}


def equivalent(chapter: str) -> list[Agreement]:
    """Rung 2: every network of a chapter that the authors' program was run with, at full size.

    Seconds each. Raises BookError for a chapter without networks, WeightsError where tensors find no place.
    """
    return [agreement(golden) for golden in golden_runs(chapter)]


def agreement_table(found: Iterable[Agreement]) -> pd.DataFrame:
    """Agreements for people, one row a golden run: how much was loaded and compared, and whether it agrees."""
    rows = {
        one.golden.name: {
            "tensors": len(one.golden.tensors),
            "outputs compared": len(one.differences),
            f"all within {TOLERANCE:g}": "yes" if one.holds else "NO",
            "same winner": "yes" if (one.logits.argmax(1) == one.golden.logits.argmax(1)).all() else "NO",
        }
        for one in found
    }
    return pd.DataFrame(rows.values(), index=pd.Index(rows, name="run"))


def golden_runs(chapter: str) -> list[Golden]:
    """The golden runs of a chapter's networks, in the order of the table (`actionbook.models.specified`)."""
    networks = {name: one for one in of_chapter(chapter) for name in one.golden}
    file = ROOT / "tests" / "models" / "data" / f"{chapter}_golden.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    cases = {case["name"]: case for case in data["cases"]}
    if set(cases) != set(networks):
        odd = ", ".join(sorted(set(cases) ^ set(networks)))
        raise BookError(f"{file}: the golden runs there and those in the table of networks differ by {odd}")
    return [_golden(one, data, cases[name]) for name, one in networks.items()]


def _golden(one: Specified, data: Mapping[str, Any], case: Mapping[str, Any]) -> Golden:
    """A case of a file; its tensors may be a list that the file has a name for, of which some ``changed``."""
    classes, tensors = case["num_classes"], case["tensors"]
    if isinstance(tensors, str):
        tensors = list((dict(data["tensors"][tensors]) | case["changed"]).items())
    inputs = {key: tuple(shape) for key, shape in case["inputs"].items()}
    boxes = tuple(np.array(corners, np.float32) for corners in case["boxes"]) if "boxes" in case else None
    if boxes is not None:
        inputs[BOXES] = (max(map(len, boxes)), 4)
    return Golden(
        case["name"],
        one.model,
        {**one.options, **case.get("options", {})},
        classes,
        Spec(inputs, (classes,) if boxes is None else (inputs[BOXES][0], classes)),
        case.get("layout", data["layout"]),
        tuple((tensor, tuple(shape)) for tensor, shape in tensors),
        case["stages"],
        np.atleast_2d(case["logits"]),
        case.get("drawn", "NCTHW"),
        data.get("scaled", {}),
        boxes,
    )


def agreement(golden: Golden, network: nn.Cell | None = None) -> Agreement:
    """Run `network`, by default the golden run's own, on its sample and compare logits and stages."""
    network = golden.network() if network is None else network  # an empty cell is false
    places = {name: stage.get("cell", name) for name, stage in golden.stages.items()}
    logits: list[Array] = []
    found: dict[str, float] = {}

    def note(name: str, cell: nn.Cell, output: Tensor) -> None:
        if cell is network:
            logits.append(golden.real(output.asnumpy()))
        for stage in [stage for stage, place in places.items() if place == name]:
            found[stage] = _stage_difference(output.asnumpy(), golden.stages[stage])

    wanted = {id(network)} | {id(cell) for name, cell in network.cells_and_names() if name in places.values()}
    watch_outputs(network, golden.batch, lambda cell: id(cell) in wanted, note)
    never = dict.fromkeys(set(places) - set(found), np.inf)
    return Agreement(golden, logits[0], found | never | {"logits": difference(logits[0], golden.logits).relative})


def _stage_difference(output: Array, expected: Mapping[str, Any]) -> float:
    """The greatest difference of mean, standard deviation and first value, in standard deviations.

    Infinite for another shape, and for values that are not finite.
    """
    if expected.get("pooled"):
        output = output.mean(axis=tuple(range(2, output.ndim)), keepdims=True)
    if list(output.shape) != expected["shape"]:
        return np.inf
    figures = (output.mean(dtype=np.float64), output.std(ddof=1, dtype=np.float64), output.flat[0])
    greatest = max(abs(found - expected[name]) for name, found in zip(("mean", "std", "first"), figures, strict=True))
    return float(greatest / (expected["std"] or 1.0)) if np.isfinite(figures).all() else np.inf


def rule_made(
    tensors: Iterable[tuple[str, Iterable[int]]], scaled: Mapping[str, float] | None = None
) -> dict[str, Array]:
    """Float32 arrays for (name, shape) pairs, names as in PyTorch without ``module.``, or as in MindSpore.

    Each is drawn from ``RandomState(crc32(name))``: running means 0.1 x normal, running variances uniform in
    0.5..1.5, weights of two and more axes normal with variance 2 / fan-in, biases 0.1 x normal, batch norm scales
    uniform in 0.5..1.5; all of it times the factor of each end of a name in `scaled`. The golden runs were made with
    these.
    """

    def made(name: str, shape: tuple[int, ...]) -> Array:
        factors = [factor for end, factor in (scaled or {}).items() if name.endswith(end)]
        return np.asarray(np.prod(factors) * _draw(name, shape), np.float32)

    return {name: made(name, tuple(shape)) for name, shape in tensors}


def _draw(name: str, shape: tuple[int, ...]) -> Array:
    rng = np.random.RandomState(zlib.crc32(name.encode()))  # the legacy generator: its stream is frozen
    if name.endswith(("running_mean", "moving_mean")):
        return np.asarray(0.1 * rng.standard_normal(shape))
    if name.endswith(("running_var", "moving_variance")):
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) > 1:
        return np.asarray(rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])))
    if name.endswith((".bias", ".beta")):
        return np.asarray(0.1 * rng.standard_normal(shape))
    return rng.uniform(0.5, 1.5, shape)
