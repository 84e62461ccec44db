"""Evidence: a run that somebody hands in, and what its check has found. The files of a pack are listed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.core.schema import Name, Schema, Strict, validate
from actionbook.core.score import Score
from actionbook.core.sources import Count, Sha256

LISTING, RECIPE, MANIFEST, README, CHECK = "evidence.json", "recipe.yaml", "manifest.yaml", "README.txt", "check.json"
INDEX, SAMPLES = "index/index", "samples.txt"
PREDICTIONS, TRAINING, CONVERSION, FAILURES = "predictions", "training", "conversion", "failures"
"""Folders and files of a pack; its record lies in the folder `record.FOLDER`."""

MOST_TEXT = 64 << 20
"""Bytes of a record or a log."""

State = Literal["proven", "agrees", "believed", "refuted"]
Outcome = Literal["reproduced", "not reproduced", "not comparable"]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
Line = Annotated[str, Field(max_length=500, pattern=r"^[^\n\r\x00-\x1f]*$")]
"""Words of the one who hands in, which stand on a page."""

MOST_WORDS = 1000
"""Characters of a finding."""


def _printable(text: str) -> str:
    """Words that may come from a stranger, for a terminal and a page: no control characters, and not without end."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= MOST_WORDS else f"{plain[:MOST_WORDS]} …"


Words = Annotated[str, AfterValidator(_printable)]

MEANING: dict[State, str] = {
    "proven": "computed again from what the pack holds, or compared with what the book holds",
    "agrees": "parts of the pack that were made apart say the same",
    "believed": "nothing here can tell; it is what the one who ran it says",
    "refuted": "it cannot be as the pack says",
}


class PackedFile(Strict):
    """One file of a pack."""

    bytes: Count
    sha256: Sha256


class Listing(Strict):
    """``evidence.json``: whose run it is, and every other file of the pack."""

    version: Literal[1] = 1
    chapter: Name
    recipe: Name
    packed: Day
    by: Line = ""
    """Who ran it, if they want to be named."""
    note: Line = ""
    licence: Literal["CC-BY-4.0"] = "CC-BY-4.0"
    left_out: tuple[str, ...] = ()
    """Keys of the recipe whose values name places on a machine; they are not in ``recipe.yaml``."""
    files: dict[str, PackedFile]


class Finding(Strict):
    """What the check says of one thing."""

    what: Words
    state: State
    detail: Words


class Verdict(Strict):
    """A published figure and the score of one format that was set beside it."""

    figure: str
    """Its full id."""
    published: str
    """As printed."""
    stream: str
    format: str
    score: Score
    tolerance: float
    """As far from the published share as chance alone may bring it, see `results.compare.tolerance`."""
    difference: float
    """Score less published share."""
    outcome: Outcome
    reason: Words
    counts: bool
    """Whether that of the whole run hangs on it; not on formats that may lose something."""


class Check(Strict):
    """``check.json``: what was found in a pack, and what follows from it."""

    chapter: Name
    recipe: Name
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...] = ()
    why_none: Words = ""
    """Why no published figure can be compared; empty where one is."""
    archive_sha256: Sha256 | None = None
    """Of the archive that was checked; None for a folder."""

    @property
    def holds(self) -> bool:
        """Whether nothing is refuted."""
        return all(finding.state != "refuted" for finding in self.findings)

    @property
    def outcome(self) -> Outcome:
        """Of the run: reproduced if any figure is and none is not; not comparable where there is none to compare."""
        found = {verdict.outcome for verdict in self.verdicts if verdict.counts}
        if not self.holds or not found - {"not comparable"}:
            return "not comparable"
        return "not reproduced" if "not reproduced" in found else "reproduced"


def read_check(folder: Path) -> Check | None:
    """What was found in the unpacked pack `folder`, None for a folder without a check. Raises BookError as `_read`."""
    return _read(Check, folder / CHECK) if (folder / CHECK).is_file() else None


def read_listing(folder: Path) -> Listing:
    """``evidence.json`` of an unpacked pack. Raises BookError as `_read`."""
    return _read(Listing, folder / LISTING)


def _read(schema: type[Schema], path: Path) -> Schema:
    """Raises BookError, naming the file, where it is missing, no JSON, or not what the schema says."""
    return validate(schema, read_json(path), shown(path))


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file of a pack. Raises BookError where it is missing, or anything else."""
    data = parse_json(read_text(path), shown(path))
    if not isinstance(data, dict):
        raise BookError(f"{shown(path)}: expected a mapping; pack again")
    return data


def parse_json(text: str, source: str) -> Any:
    """JSON from somebody else. Raises BookError that names the `source`, also for one that is nested too deep."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BookError(f"{source}: is not valid JSON ({error}); pack again") from error


def read_text(path: Path) -> str:
    """The text of a file in a pack. Raises BookError where it is missing, too long, or no UTF-8."""
    try:
        if path.stat().st_size > MOST_TEXT:
            raise BookError(f"{shown(path)}: {path.stat().st_size:,} bytes; expected at most {MOST_TEXT:,}")
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise BookError(f"{shown(path)}: is missing in the pack; pack again") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BookError(f"{shown(path)}: cannot be read ({error}); pack again") from error
