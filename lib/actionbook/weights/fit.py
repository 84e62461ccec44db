"""Whether the tensors of a file fit a network, by names and shapes alone."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from actionbook.weights.errors import WeightsError
from actionbook.weights.layouts import LAYOUTS, Layout
from actionbook.weights.report import LoadReport, Nearest, WrongShape, module_of

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

WRAPPERS: Final = frozenset({"module", "model", "_orig_mod", "net", "network"})
"""What DataParallel, Lightning, `torch.compile` and training scripts put before every name."""
_MAX_WRAPPERS: Final = 8
_MARKS: Final = r"[./]"
"""What stands between the modules in a name: a dot in PyTorch and MindSpore, a slash in TensorFlow."""
_COMPARED: Final = 500
"""Names among which the likest is looked for: comparing takes its time."""


@dataclass(frozen=True)
class Fit:
    """How a file's tensors and a network's parameters belong together.

    Attributes:
        report: what became, or would become, of every tensor.
        parameters, tensors: original name -> name of the network's parameter, and of the tensor in the file.
    """

    report: LoadReport
    parameters: Mapping[str, str]
    tensors: Mapping[str, str]


def fit(
    network: Shapes,
    file: Shapes,
    layout: Layout,
    *,
    skip: Collection[str] = (),
    allow_missing: Collection[str] = (),
    allow_unexpected: Collection[str] = (),
) -> Fit:
    """Compare shapes by name: of a network's parameters, under MindSpore's names, and of a file's tensors.

    The other arguments are those of `load`. Raises WeightsError if the layout gives two parameters one name, if a
    tensor's name stands twice in the file, or if `skip` names nothing in the network.
    """
    parameters = original_names(network, layout)
    prefix = common_prefix(
        [name for name in file if not (_within(name, allow_unexpected) or re.fullmatch(layout.ignored, name))],
        parameters,
    )
    tensors: dict[str, str] = {}
    for stored in file:
        name = layout.respelt(stored.removeprefix(prefix))
        if tensors.setdefault(name, stored) != stored:
            raise WeightsError(
                f"the weights hold {tensors[name]!r} and {stored!r}, which are both {name!r}. Pass only one of them."
            )
    held = {name for name in parameters if layout.holds(name)}
    counters = [name for name in tensors if re.fullmatch(layout.ignored, name) and name not in held]
    for entry in skip:
        if not any(_within(name, [entry]) for name in parameters):
            raise WeightsError(
                f"skip names {entry!r}, which the network does not have. Its heads: {_heads(parameters)}."
            )
    kept = {
        name
        for name in parameters
        if name not in held or _within(name, skip if name in tensors else (*skip, *allow_missing))
    }
    both = [name for name in parameters if name in tensors and name not in kept]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    cut, inflated = list[WrongShape](), list[WrongShape]()
    for name in both:
        expected = network[parameters[name]]
        found = layout.turned(file[tensors[name]], expected)
        for wanted, changed in ((layout.cuts, cut), (layout.inflates, inflated)):
            if wanted(name, found, expected):
                changed.append(WrongShape(name, expected, found))
                found = expected
        shapes[name] = expected, found
    extra = [name for name in tensors if name not in held and name not in counters]
    left = {name for name in extra if _within(name, (*skip, *allow_unexpected))}
    absent = [name for name in parameters if name not in tensors and name not in kept]
    ones = tuple(name for name in absent if re.fullmatch(layout.ones, name))
    missing = tuple(name for name in absent if name not in ones)
    unexpected = tuple(name for name in extra if name not in left)
    report = LoadReport(
        layout.name,
        loaded=tuple(name for name, (expected, found) in shapes.items() if expected == found),
        missing=missing,
        unexpected=unexpected,
        wrong_shape=tuple(WrongShape(name, *pair) for name, pair in shapes.items() if pair[0] != pair[1]),
        kept=tuple(name for name in parameters if name in kept),
        ignored=(*counters, *(name for name in extra if name in left)),
        prefix=prefix,
        ones=ones,
        cut=tuple(cut),
        inflated=tuple(inflated),
        groups_option=layout.groups_option,
        nearest=_nearest(network, file, layout) if missing and unexpected else None,
    )
    return Fit(report, parameters, tensors)


def original_names(network: Iterable[str], layout: Layout) -> dict[str, str]:
    """Original name -> MindSpore's, of every parameter. Raises WeightsError if two have one original name."""
    named: dict[str, str] = {}
    for own in network:
        name = layout.original_name(own)
        if name in named:
            raise WeightsError(
                f"layout {layout.name}: {own!r} and {named[name]!r} are both called {name!r}. "
                "This layout does not suit the network; choose the one of its chapter."
            )
        named[name] = own
    return named


def common_prefix(names: Collection[str], wanted: Collection[str]) -> str:
    """What wrappers put before every one of `names`, up to its last dot or slash; empty if nothing.

    Of the beginnings that all names share it is the one without which most names are among `wanted`, the shortest of
    equal ones. Where none are, it is what is known as a wrapper's.
    """
    beginnings = list(_shared(names))
    counts = {prefix: sum(name.removeprefix(prefix) in wanted for name in names) for prefix in ["", *beginnings]}
    best = max(counts, key=counts.__getitem__)
    if counts[best]:
        return best
    known = [prefix for prefix in beginnings if set(re.split(_MARKS, prefix[:-1])) <= WRAPPERS]
    return known[-1] if known else ""


def _shared(names: Collection[str]) -> Iterator[str]:
    """The beginnings that all names share, up to a dot or slash each, the shorter first."""
    if not names:
        return
    first = next(iter(names))
    for mark in islice(re.finditer(_MARKS, first), _MAX_WRAPPERS):
        prefix = first[: mark.end()]
        if not all(name.startswith(prefix) for name in names):
            return
        yield prefix


def _nearest(network: Shapes, file: Shapes, layout: Layout) -> Nearest:
    """The layout by which most names fit, `layout` itself among equal ones; and two names that do not."""
    best: tuple[int, Layout, set[str], set[str]] | None = None
    for one in (layout, *LAYOUTS.values()):
        wanted = {one.original_name(name) for name in network}
        prefix = common_prefix(file.keys(), wanted)
        found = {one.respelt(name.removeprefix(prefix)) for name in file}
        if best is None or len(wanted & found) > best[0]:
            best = len(wanted & found), one, wanted, found
    assert best is not None
    count, one, wanted, found = best
    ours, theirs = (
        sorted(wanted - found),
        sorted(name for name in found - wanted if not re.fullmatch(one.ignored, name)),
    )
    example = ("", "")
    if ours and theirs:
        near = difflib.get_close_matches(ours[0], theirs[:_COMPARED], n=1, cutoff=0.0)
        example = (ours[0], near[0])
    return Nearest(one.name, count, len(network), *example)


def _within(name: str, entries: Iterable[str]) -> bool:
    """Whether `name` is one of `entries` or lies in a module that they name."""
    return any(name == entry or name.startswith((f"{entry}.", f"{entry}/")) for entry in entries)


def _heads(parameters: Iterable[str]) -> str:
    """The last modules of a network, for a message."""
    modules = list(dict.fromkeys(module_of(name) for name in parameters))
    return ", ".join(modules[-3:])
