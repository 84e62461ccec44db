"""What became of every tensor when weights were put into a network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from actionbook.weights.stored import Origin

_SHOWN = 20


def module_of(name: str) -> str:
    """What a tensor belongs to: its name up to the last dot or slash; all of a name that has none."""
    return re.sub(r"[./][^./]*$", "", name)


@dataclass(frozen=True, order=True)
class WrongShape:
    """A tensor whose shape in the file differs from the one that the network expects."""

    name: str
    expected: tuple[int, ...]
    found: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: the network expects {self.expected}, the file has {self.found}"

    @property
    def grouping(self) -> Literal["dense", "grouped", ""]:
        """What the file's kernel is where of (C, C, ...) and (C, 1, ...) the network has the other; else empty."""
        if len(self.found) > 2:
            channels, _, *size = self.found
            dense, grouped = (channels, channels, *size), (channels, 1, *size)
            if (self.found, self.expected) == (dense, grouped):
                return "dense"
            if (self.found, self.expected) == (grouped, dense):
                return "grouped"
        return ""


@dataclass(frozen=True)
class Nearest:
    """The layout by whose names most of a file's tensors are found in the network, where they do not all fit."""

    layout: str
    matches: int
    total: int
    """Of the network's parameters."""
    ours: str = ""
    """A name of the network by that layout which the file does not have."""
    theirs: str = ""
    """The likest name in the file which the network does not have."""

    def __str__(self) -> str:
        example = f"; the network has {self.ours!r}, the file {self.theirs!r}" if self.ours else ""
        return f"nearest layout: {self.layout}, by which {self.matches} of {self.total} names fit{example}"


@dataclass(frozen=True)
class LoadReport:
    """The outcome of a load, by original names.

    Attributes:
        layout: name of the layout.
        loaded: in both, put into the network.
        ones: parameters that networks of this layout do not have because they are one there; set to one.
        missing: parameters of the network that the file does not have.
        unexpected: tensors of the file that the network does not have.
        wrong_shape: in both, with different shapes.
        kept: parameters left at their initial values because the caller asked for it (`skip`, `allow_missing`), or
            because files of this layout are for another part of the network.
        ignored: tensors of the file left out because the layout or the caller (`skip`, `allow_unexpected`) says so.
        sha256: digest of the file, where the arrays came from one.
        cut: those of `loaded` of which the network takes only the first input channels.
        inflated: those of `loaded` that were for one picture and are now for several frames.
        groups_option: that of the layout.
        prefix: what stood before every name of the file and was taken off, such as ``module.``.
        origin: where in a file the arrays were and what lay beside them; None if they were not read from one.
        nearest: the layout whose names fit best, where names are missing and others unexpected.
    """

    layout: str
    loaded: tuple[str, ...] = ()
    ones: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    wrong_shape: tuple[WrongShape, ...] = ()
    kept: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    cut: tuple[WrongShape, ...] = ()
    inflated: tuple[WrongShape, ...] = ()
    groups_option: str = ""
    sha256: str = ""
    prefix: str = ""
    origin: Origin | None = None
    nearest: Nearest | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, unexpected or of the wrong shape."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    @property
    def resized_head(self) -> tuple[tuple[str, ...], int, int] | None:
        """(what to skip, classes in the file, classes of the network) if only their number differs, else None.

        That is so when every wrong shape is in one module, or none is in any (``pred_w``, ``pred_b``), and all differ
        in their first axis only.
        """
        modules = {module_of(item.name): None for item in self.wrong_shape}
        counts = {(item.found[:1], item.expected[:1]) for item in self.wrong_shape}
        same = all(item.found[1:] == item.expected[1:] for item in self.wrong_shape)
        together = len(modules) == 1 or all(item.name in modules for item in self.wrong_shape)
        if not together or len(counts) != 1 or not same:
            return None
        found, expected = counts.pop()
        return (tuple(modules), found[0], expected[0]) if found and expected else None

    @property
    def other_blocks(self) -> tuple[str, str]:
        """Numbered blocks that only the file has, and those that only the network has: ``layer3.6 to 22``; or empty.

        A block is known by the first number in a name with which no name of the other side begins. Says something
        where the names are those of the layout at all.
        """
        shared = [*self.loaded, *(item.name for item in self.wrong_shape)]
        network, file = [*shared, *self.missing, *self.kept], [*shared, *self.unexpected]
        return _blocks(self.unexpected, network), _blocks(self.missing, file)

    @property
    def remedy(self) -> str:
        """What to do about a report that is not ok."""
        other = next((item.grouping for item in self.wrong_shape if item.grouping), "")
        if self.groups_option and other:
            return (
                f"Kernels of the file are {other}, those of the network are not: make the network with "
                f"{self.groups_option}={other!r}; in a recipe, model.options: {{{self.groups_option}: {other}}}."
            )
        head = self.resized_head
        if head is not None:
            modules, found, expected = head
            return (
                f"The file was trained on {found} classes, the network has {expected}. To fine-tune from it, pass "
                f"skip={modules!r}: these parameters then keep their initial values. To evaluate it, make the "
                f"network with num_classes={found}."
            )
        if self.nearest is not None and self.nearest.layout != self.layout:
            return f"The file's names are those of another layout: pass layout={self.nearest.layout!r}."
        if self.loaded and any(self.other_blocks):
            more, fewer = self.other_blocks
            told = [f"the file has {more}, which the network lacks"] if more else []
            told += [f"the network has {fewer}, which the file lacks"] if fewer else []
            return (
                f"The file is of a network with other blocks: {'; '.join(told)}. Make the network as the file's is, or "
                "take a file of this one's depth."
            )
        return (
            "Check that the network, its width and the layout are those of this file. Parameters that may differ are "
            "named with skip, allow_missing or allow_unexpected."
        )

    def __str__(self) -> str:
        """A summary in a few lines; long lists are cut, with their length given."""
        lines = [f"layout {self.layout}: {len(self.loaded)} tensors {'loaded' if self.ok else 'fit'}"]
        lines += _origin_lines(self.origin) if self.origin else []
        lines += [f"taken off every name: {self.prefix}"] if self.prefix else []
        lines += [f"not in such files, set to one: {len(self.ones)}"] if self.ones else []
        lines += _listed("of which the first input channels are taken", self.cut)
        lines += _listed("of which are inflated from a picture to frames", self.inflated)
        lines += _listed("missing from the file", self.missing)
        lines += _listed("unexpected in the file", self.unexpected)
        lines += _listed("wrong shape", self.wrong_shape)
        lines += [str(self.nearest)] if self.nearest else []
        lines += _listed("left at their initial values", self.kept)
        if self.ignored:
            lines.append(f"ignored in the file: {len(self.ignored)}")
        return "\n".join(lines)


def _origin_lines(origin: Origin) -> list[str]:
    """Where the arrays were."""
    lines = [f"read from: {origin.place}"]
    lines += [f"other dictionaries of tensors there: {', '.join(origin.others)}"] if origin.others else []
    lines += [f"no tensors, skipped: {', '.join(origin.skipped)}"] if origin.skipped else []
    lines += [f"beside them, not built: {', '.join(origin.beside)}"] if origin.beside else []
    return lines


def _blocks(names: Iterable[str], others: Iterable[str]) -> str:
    """The blocks of `names` that no name of `others` begins with: their beginnings, each with its numbers."""
    known = {name[: number.end()] for name in others for number in re.finditer(r"\d+", name)}
    found: dict[str, set[int]] = {}
    for name in names:
        numbers = re.finditer(r"\d+", name)
        if first := next((one for one in numbers if name[: one.end()] not in known), None):
            found.setdefault(name[: first.start()], set()).add(int(first[0]))
    return ", ".join(f"{beginning}{_spans(sorted(numbers))}" for beginning, numbers in found.items())


def _spans(numbers: list[int]) -> str:
    """Ascending numbers in words: ``6 to 22``, or ``6, 13 and 20``."""
    if len(numbers) > 1 and numbers == [*range(numbers[0], numbers[-1] + 1)]:
        return f"{numbers[0]} to {numbers[-1]}"
    *rest, last = map(str, numbers)
    return f"{', '.join(rest)} and {last}" if rest else last


def _listed(title: str, items: Iterable[object]) -> list[str]:
    """A heading with the count and one indented line per item, cut after some."""
    names = [str(item) for item in items]
    if not names:
        return []
    rest = [f"  and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return [f"{title}: {len(names)}", *(f"  {name}" for name in names[:_SHOWN]), *rest]
