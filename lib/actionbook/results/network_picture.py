"""A network drawn stage by stage, as it is: every size comes from running it once.

Boxes are the outputs of blocks: as high as the square root of their rows, as wide as that of their channels, and as
deep as they have frames. Stages of one pathway stand in a row; pathways begin at an input or part from a shared stage,
and meet in the next shared one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mindspore import Tensor, nn

from actionbook.core.spec import Shape, Spec
from actionbook.models.profile import layer_table
from actionbook.results.network_svg import Box, drawing


@dataclass(frozen=True)
class MeasuredNetwork:
    """What one run of a network shows: sizes of all that it consists of."""

    spec: Spec
    outputs: Mapping[str, Shape]
    """By name of every cell that has run, without N: (C, T, H, W), or (K,) of a vector."""
    layers: pd.DataFrame
    """Its `layer_table`."""


@dataclass(frozen=True)
class Part:
    """Modules of a network that are drawn as one stage, each of them a box."""

    title: str
    """A word or two; unique in the picture."""
    modules: Sequence[str]
    """Names of cells, as `cells_and_names` gives them, in order of execution. The stage's output is the last one's."""
    kind: str = ""
    """What is special about it, in words for the legend; each kind has a colour. Empty: a plain stage."""
    path: str = ""
    """The pathway that it belongs to: an input's name, or any other. Empty: all pathways meet here, or have one way."""
    into: str = ""
    """Another pathway, whose next stage is also given this one's output (a lateral connection)."""
    adds: str = ""
    """Title of an earlier stage whose output is added to this one's (a shortcut)."""


@dataclass(frozen=True)
class PictureStage:
    """A part with what was found in the network."""

    part: Part
    outputs: tuple[Shape, ...]
    """Of its modules, as in `MeasuredNetwork`."""
    parameters: int
    """Trainable values."""
    macs: int
    """Multiply-accumulates of one sample."""

    @property
    def output(self) -> Shape:
        """What the stage hands on."""
        return self.outputs[-1]


@dataclass(frozen=True)
class NetworkPicture:
    """The picture as a notebook shows it: in a browser, and as text."""

    html: str
    stages: tuple[PictureStage, ...]

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "\n".join(f"{stage.part.title}: {_written(stage.output)}" for stage in self.stages)


def measure_network(network: nn.Cell, spec: Spec | Shape) -> MeasuredNetwork:
    """Run `network` once, layer by layer, with a sample of zeros of `spec`, or a clip (C, T, H, W)."""
    outputs: dict[str, Shape] = {}

    def watch(name: str, cell: nn.Cell) -> Any:
        def note(_cell: nn.Cell, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                outputs[name] = _without_batch(tuple(output.shape))

        return cell.register_forward_hook(note)

    hooks = [watch(name, cell) for name, cell in network.cells_and_names()]
    try:
        layers = layer_table(network, spec)
    finally:
        for hook in hooks:
            hook.remove()
    return MeasuredNetwork(Spec.of(spec), outputs, layers)


def network_picture(measured: MeasuredNetwork, parts: Sequence[Part], start: str | None = None) -> NetworkPicture:
    """Draw the `parts` of a network in that order, behind its inputs.

    Several inputs begin the pathways of their names, which parts go on with. Where `start` names a cell, its output
    stands for the inputs: so one block's inside is drawn. Shares of parameters and multiply-accumulates are of what is
    drawn. Raises ValueError for modules that do not exist or did not run, and for titles, pathways or shortcuts that do
    not fit each other.
    """
    given = [name for part in parts for name in part.modules] + ([] if start is None else [start])
    if missing := [name for name in given if name not in measured.outputs]:
        tops = ", ".join(name for name in measured.outputs if name and "." not in name)
        raise ValueError(f"nothing in this network is called {', '.join(missing)}, or it did not run; there are {tops}")
    inputs = measured.spec.inputs if start is None else {"input": measured.outputs[start]}
    first = [
        PictureStage(Part(name, (), path=name) if len(inputs) > 1 else Part("input", ()), (shape,), 0, 0)
        for name, shape in inputs.items()
    ]
    _check([*(stage.part for stage in first), *parts])
    stages = [*first, *_found(measured, parts)]
    kinds = list(dict.fromkeys(part.kind for part in parts if part.kind))
    total = {what: sum(getattr(stage, what) for stage in stages) for what in ("macs", "parameters")}
    boxes = [_box(stage, kinds, total) for stage in stages]
    text = "; ".join(f"{stage.part.title} {_written(stage.output)}" for stage in stages)
    said = f"Stages of the network, channels × frames × rows × columns: {text}"
    return NetworkPicture(drawing(boxes, _arrows([stage.part for stage in stages]), kinds, said), tuple(stages))


def _check(parts: Sequence[Part]) -> None:
    """Whether each part fits those before it, of which the inputs are the first."""
    titles, paths = [part.title for part in parts], {part.path for part in parts}
    if len(set(titles)) != len(titles):
        raise ValueError(f"the stages of a picture need different titles, found {titles}")
    for number, part in enumerate(parts):
        if part.into and part.into not in paths:
            raise ValueError(f"{part.title!r} leads into {part.into!r}: there are {', '.join(sorted(paths - {''}))}")
        if part.adds and part.adds not in titles[:number]:
            raise ValueError(f"{part.title!r} adds {part.adds!r}: before it are {', '.join(titles[:number])}")


def _found(measured: MeasuredNetwork, parts: Sequence[Part]) -> list[PictureStage]:
    """Each part with its modules' outputs and the costs of the layers in them.

    A layer beside the modules, such as the batch norm between two of a block's convolutions, goes with the one before.
    """
    owners = {name: part.title for part in parts for name in part.modules}
    insides = {name for name in owners if not any(_is_in(other, name) for other in owners if other != name)}
    costs = {part.title: [0, 0] for part in parts}
    last = None
    layers = measured.layers
    for layer, parameters, macs in zip(layers.name, layers.parameters, layers.macs, strict=True):
        around = [name for name in owners if _is_in(layer, name)]
        if around:
            last = next((owners[name] for name in around if name in insides), last or owners[around[0]])
            costs[last][0] += int(parameters)
            costs[last][1] += int(macs)
    return [PictureStage(part, tuple(measured.outputs[m] for m in part.modules), *costs[part.title]) for part in parts]


def _is_in(name: str, module: str) -> bool:
    return f"{name}.".startswith(f"{module}.")


def _without_batch(shape: tuple[int, ...]) -> Shape:
    """The output of one sample without N.

    2-D layers have the frames in the batch: (T, C, H, W) -> (C, T, H, W). Maps along time: (1, C, T) -> (C, T, 1, 1).
    """
    if len(shape) == 4:
        return shape[1], shape[0], *shape[2:]
    return (*shape[1:], 1, 1) if len(shape) == 3 else shape[1:]


def _written(shape: Shape) -> str:
    return " × ".join(map(str, shape))


def _box(stage: PictureStage, kinds: Sequence[str], total: Mapping[str, int]) -> Box:
    part, shape = stage.part, stage.output
    several = f" ×{len(stage.outputs)}" if len(stage.outputs) > 1 else ""
    lines = [_written(shape[:2]), _written(shape[2:])] if len(shape) == 4 else [_written(shape), ""]
    shares = [getattr(stage, what) / total[what] if total[what] else 0.0 for what in ("macs", "parameters")]
    sizes = [(s[0], s[1], s[2]) if len(s) == 4 else (s[0], 1, 1) for s in stage.outputs]
    number = kinds.index(part.kind) if part.kind else None
    return Box(part.title + several, lines, shares, sizes, number, part.path, not part.modules)


def _arrows(parts: Sequence[Part]) -> list[tuple[int, int, str]]:
    """(from, to, look) by number of part; look is "" for the way, "lateral" or "shortcut"."""
    arrows: list[tuple[int, int, str]] = []
    places = {part.title: number for number, part in enumerate(parts)}
    ends: dict[str, int] = {}  # pathway -> its last stage so far, since the last shared one, which is that of ""
    waiting: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        if not part.modules:  # an input
            sources = []
        elif part.path:
            sources = [ends[name] for name in (part.path, "") if name in ends][:1]
        else:
            sources = [ends[name] for name in ends if name] or list(ends.values())
        arrows += [(source, number, "") for source in sources]
        arrows += [(source, number, "lateral") for source in waiting.pop(part.path, [])]
        if not part.path:
            ends.clear()
        ends[part.path] = number
        if part.into:
            waiting.setdefault(part.into, []).append(number)
        if part.adds:
            arrows.append((places[part.adds], number, "shortcut"))
    return arrows
