"""ATC's error codes in plain words: what they mean, what usually causes them, what to do (data in atc_codes.yaml)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import model_validator

from actionbook.core import card_memory
from actionbook.core.schema import Strict, load

CODES = Path(__file__).with_name("atc_codes.yaml")
KILLED = "killed"  # name of the entry for a compiler that the system stopped
FULL_CARD = "EL0004"
# "E10016: ...", "EC0010: [PID: 5948] 2025-04-21-15:00:19.776 ...", newer "[PID: ...] Invalid_Argument(E10016): ..."
_CODE = re.compile(r"(?<![\w.\-/])(E[A-Z0-9]\d{4})\)?:(?!\S)\s*(?:\[PID:\s*\d+\]\s+\S+\s*)?(.*)")


class Entry(Strict):
    """One cause: found by `code`, by `text` (a regular expression), or by both."""

    code: str | None = None
    name: str | None = None
    text: str | None = None
    meaning: str
    cause: str
    remedy: str
    source: str

    @model_validator(mode="after")
    def _findable(self) -> Self:
        if (self.code is None) == (self.name is None):
            raise ValueError("an entry has either a code or a name")
        if self.code is None and self.text is None:
            raise ValueError("an entry without a code needs a text")
        if self.code is not None and not re.fullmatch(r"E[A-Z0-9]\d{4}", self.code):
            raise ValueError(f"{self.code!r} is not of the form of ATC's codes")
        try:
            re.compile(self.text or "")
        except re.error as error:
            raise ValueError(f"text {self.text!r} is not a regular expression: {error}") from error
        return self


class Codes(Strict):
    """The whole file: sources by their short names, and entries, of which the first that fits wins."""

    sources: dict[str, str]
    entries: tuple[Entry, ...]

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        unknown = sorted({entry.source for entry in self.entries} - set(self.sources))
        if unknown:
            raise ValueError(f"sources {', '.join(unknown)} are used but not listed")
        return self


@dataclass(frozen=True)
class Explained:
    """One thing found in ATC's output."""

    code: str
    """ATC's code, or the name of what was found without one ("python-module", "shared-library", "killed")."""
    said: str
    """What ATC wrote: the message beside the code, or the whole line."""
    meaning: str
    cause: str | None
    """What usually causes it; None for a code that is not listed here."""
    remedy: str
    source: str | None

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.meaning}", f"  said: {self.said}" if self.said else ""]
        lines += [f"  usual cause: {self.cause}" if self.cause else "", f"  what to do: {self.remedy}"]
        return "\n".join(line for line in lines if line)


def explain(text: str) -> list[Explained]:
    """What went wrong, from ATC's console output or log, in the order in which it stands there; first, where the
    memory of the card was full, that: the rest only follows from it.

    Codes that are not listed are returned too, with ATC's own message as their meaning. A message that stands several
    times is returned once; a text without any code gives an empty list.
    """
    found: dict[tuple[str, str], Explained] = {}
    if line := card_memory.full_card(text):
        _, said = next(iter(_CODE.findall(line)), (FULL_CARD, line))
        found[FULL_CARD, said.strip()] = explain_code(FULL_CARD, said.strip())
    for line in text.splitlines():
        coded = _CODE.findall(line)
        for code, message in coded:
            found.setdefault((code, message.strip()), explain_code(code, message.strip()))
        for entry in () if coded else _codes().entries:
            if entry.code is None and entry.text is not None and re.search(entry.text, line):
                found.setdefault((str(entry.name), ""), _explained(entry, line.strip()))
    items = list(found.values())
    codes = [item.code for item in items]
    return [item for item in items if not _repeats(item, codes)]


def _repeats(item: Explained, codes: list[str]) -> bool:
    """Whether another item says the same better: below its codes ATC repeats what led to them."""
    if item.code == "python-module":
        return not {"EC0010", "E40020"}.isdisjoint(codes)
    return item.said == "Inner Error!" and codes.count(item.code) > 1


def explain_code(code: str, said: str = "") -> Explained:
    """One code (or name), with what was said beside it."""
    for entry in _codes().entries:
        if code in (entry.code, entry.name) and (entry.name or not entry.text or re.search(entry.text, said)):
            return _explained(entry, said)
    meaning = said or "not described here"
    return Explained(code, said, meaning, None, "Read ATC's own log; the first error in it counts, not the last.", None)


@cache
def _codes() -> Codes:
    return load(Codes, CODES)


def _explained(entry: Entry, said: str) -> Explained:
    source = _codes().sources[entry.source]
    return Explained(entry.code or str(entry.name), said, entry.meaning, entry.cause, entry.remedy, source)
