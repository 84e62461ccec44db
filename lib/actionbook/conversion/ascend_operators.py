"""What Ascend's ATC accepts of ONNX graphs: the operator lists of its releases and the limits of single operators.

The data, with the source of every entry, is in ``ascend_operators.yaml``; this module checks and reads it.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from actionbook.conversion.errors import ConversionError
from actionbook.core.schema import Strict, load, twice

DATA = Path(__file__).with_name("ascend_operators.yaml")
Verdict = Literal["fine", "risky", "refused"]
Trouble = Literal["risky", "refused"]
Span = tuple[int, int]  # both ends belong to it
Opsets = tuple[Span, ...]
Value = Literal["strides", "dilations", "kernel_shape", "pads", "width"]


class OpsetRange(Strict):
    """The opsets of a whole graph: `stated` by the release, `mentioned` by other pages of it or by its code."""

    stated: Span
    mentioned: Span
    source: str

    @model_validator(mode="after")
    def _nested(self) -> OpsetRange:
        if not self.mentioned[0] <= self.stated[0] <= self.stated[1] <= self.mentioned[1]:
            raise ValueError(f"opsets stated {self.stated} must lie within those mentioned {self.mentioned}")
        return self


class OperatorList(Strict):
    """Operators that a release accepts: named, or by their opsets, or as differences from another release's list."""

    source: str
    names: tuple[str, ...] = ()
    opsets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    same_as: str | None = None
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    between: tuple[str, str] | None = None

    @field_validator("opsets")
    @classmethod
    def _spans(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for text in value:
            _parse_opsets(text)
        return value

    @model_validator(mode="after")
    def _once(self) -> OperatorList:
        names = [*self.names, *self.also, *(name for group in self.opsets.values() for name in group)]
        if found := twice(names):
            raise ValueError(f"operators listed twice: {found}")
        if sum([bool(self.names or self.opsets), self.same_as is not None, self.between is not None]) != 1:
            raise ValueError("give operators by names and opsets, or same_as another release, or between two")
        return self


class Release(Strict):
    """One list of operators, for every release from `since` up to, but without, `before` (major, minor)."""

    since: Span
    before: Span
    opsets: OpsetRange
    operators: OperatorList


class Family(Strict):
    """Chips that ATC treats alike."""

    pattern: str
    examples: tuple[str, ...]
    conv3d_groups: str
    """What is known of grouped 3-D convolutions on this chip."""

    @model_validator(mode="after")
    def _examples_fit(self) -> Family:
        wrong = [name for name in self.examples if not re.fullmatch(self.pattern, name)]
        if wrong:
            raise ValueError(f"pattern {self.pattern!r} does not fit {', '.join(wrong)}")
        return self


class Rule(Strict):
    """A limit of some operators, in some releases (none named: in all)."""

    operators: tuple[str, ...]
    otherwise: Trouble
    releases: tuple[str, ...] = ()
    source: str

    def concerns(self, operator: str, release: str) -> bool:
        """Whether the rule holds for this operator in this release."""
        return _matches(self.operators, operator) and (not self.releases or release in self.releases)


class Range(Rule):
    """Least and most of attributes, on kernels of so many spatial axes."""

    windows: Literal[2, 3]
    axes: Literal["all", "depth", "plane"]
    limits: dict[Value, Span]


class Ranks(Rule):
    """Ranks that an operator takes, least and most."""

    accepted: Span
    why: str
    remedy: str


class AutoPad(Rule):
    """What becomes of `auto_pad` on 5-D tensors."""

    accepted: tuple[str, ...]
    effect: str


class Pool(Strict):
    """Chips for which the 5-D form of a pool is marked as unsupported."""

    operator: str
    families: tuple[str, ...]
    why: str


class MaxPoolLimit(Strict):
    """A 2-D MaxPool with a larger window or stride leaves the AI Core for the AI CPU."""

    kernel_product: int
    stride: int
    exempt: tuple[str, ...]
    source: str


class Remedy(Strict):
    """What to do about operators that a list lacks."""

    operators: tuple[str, ...]
    remedy: str
    source: str


class AscendOperators(Strict):
    """The whole of ``ascend_operators.yaml``."""

    releases: dict[str, Release]
    families: dict[str, Family]
    ranges: tuple[Range, ...]
    ranks: tuple[Ranks, ...]
    auto_pad: tuple[AutoPad, ...]
    pools: tuple[Pool, ...]
    max_pool: MaxPoolLimit
    remedies: tuple[Remedy, ...]

    @model_validator(mode="after")
    def _names_known(self) -> AscendOperators:
        releases: set[str] = set()
        for name, release in self.releases.items():
            releases.update({release.operators.same_as or name, *(release.operators.between or ())})
        for rule in (*self.ranges, *self.ranks, *self.auto_pad):
            releases.update(rule.releases)
        families = {*self.max_pool.exempt, *(family for pool in self.pools for family in pool.families)}
        unknown = sorted((releases - set(self.releases)) | (families - set(self.families)))
        if unknown:
            raise ValueError(f"releases or families named but not described: {', '.join(unknown)}")
        return self

    def release_of(self, cann: str) -> str:
        """The list for a CANN release such as "5.1.RC2", "8.0" or "8.0.RC1": only its first two numbers matter.

        Raises ConversionError for other text and for releases older or newer than all lists.
        """
        match = re.fullmatch(r"(\d+)\.(\d+)(\.\w+)*", cann)
        version = (int(match[1]), int(match[2])) if match else None
        for name, release in self.releases.items():
            if version is not None and release.since <= version < release.before:
                return name
        known = ", ".join(f"{n} (from {r.since[0]}.{r.since[1]})" for n, r in self.releases.items())
        newest = max(release.before for release in self.releases.values())
        raise ConversionError(
            f"CANN release {cann!r}: no operator list covers it. Give a release such as '8.0' or '8.0.RC1'; lists: "
            f"{known}, up to but without {newest[0]}.{newest[1]}"
        )

    def accepted(self, release: str) -> dict[str, Opsets]:
        """Operator -> opsets for which the release accepts it; no spans mean that the list does not say."""
        listed = self.releases[release].operators
        if listed.same_as is not None:
            base = self.accepted(listed.same_as)
            return {name: () for name in (*base, *listed.also) if name not in listed.without}
        if listed.between is not None:
            first, second = (self.accepted(name) for name in listed.between)
            return {name: () for name in first if name in second}
        found: dict[str, Opsets] = dict.fromkeys(listed.names, ())
        return found | {name: _parse_opsets(text) for text, names in listed.opsets.items() for name in names}

    def remedy_for(self, operator: str) -> str:
        """What to do about an operator that a list lacks; a general answer where no better one is known."""
        found = (entry.remedy for entry in self.remedies if _matches(entry.operators, operator))
        return next(found, "write it with listed operators before export")


@lru_cache(maxsize=1)
def ascend_operators() -> AscendOperators:
    """The checked data. Raises BookError, naming the file and key, where the file does not follow its schema."""
    return load(AscendOperators, DATA)


def soc_family(soc_version: str) -> str:
    """The family of a chip by ATC's ``--soc_version``: 310, 310B, 310P, 910, A2, A3 or 950.

    "Ascend910B" alone is a first-generation 910; chips of Atlas A2 always carry a digit (Ascend910B3). Raises
    ConversionError for a name that ATC does not know.
    """
    families = ascend_operators().families
    for name, family in families.items():
        if re.fullmatch(family.pattern, soc_version):
            return name
    prefixed = f"Ascend{re.sub(r'(?i)^ascend', '', soc_version)}"
    known = any(re.fullmatch(family.pattern, prefixed) for family in families.values())
    hint = f"did you mean {prefixed!r}? " if known else ""
    examples = ", ".join(name for family in families.values() for name in family.examples)
    raise ConversionError(
        f"soc_version {soc_version!r}: {hint}expected 'Ascend' and the Name column of `npu-smi info`: {examples}"
    )


def holds(opsets: Opsets, opset: int) -> bool:
    """Whether an opset lies in one of the spans; always, where there are none."""
    return not opsets or any(first <= opset <= last for first, last in opsets)


def shown_opsets(opsets: Opsets) -> str:
    """Spans as text: 8-16, 18."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in opsets)


def _parse_opsets(text: str) -> Opsets:
    """ "8-16,18" -> ((8, 16), (18, 18))."""
    spans = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"opsets {text!r}: expected numbers and spans such as '8-16,18'")
        spans.append((int(match[1]), int(match[2] or match[1])))
    return tuple(spans)


def _matches(patterns: tuple[str, ...], operator: str) -> bool:
    return any(fnmatchcase(operator, pattern) for pattern in patterns)
