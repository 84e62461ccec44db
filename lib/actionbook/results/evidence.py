"""Runs that readers have handed in: where they lie in the book, and what their check says, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.evidence import CHECK, MEANING, PREDICTIONS, Check, Listing, read_check, read_listing
from actionbook.core.manifest import load_dataset
from actionbook.core.paths import ROOT, shown
from actionbook.core.record import Record, read_record
from actionbook.results.compare import tolerance
from actionbook.results.markdown import escape, table
from actionbook.results.published import figure

EVIDENCE = ROOT / "book" / "evidence"
"""Accepted packs, unpacked: ``<chapter>/<id>/``."""
MARKS = {"reproduced": "[Re]", "not reproduced": "[¬Re]", "not comparable": "not comparable"}
"""As ReScience titles replications, those that failed among them."""


@dataclass(frozen=True)
class Accepted:
    """A pack that was checked and lies in the book."""

    folder: Path
    listing: Listing
    check: Check
    record: Record

    @property
    def name(self) -> str:
        """Its id in the chapter."""
        return self.folder.name

    @property
    def label(self) -> str:
        """The anchor of its part of the page on evidence."""
        return f"evidence-{self.listing.chapter}-{self.name}".lower().replace("_", "-").replace(".", "-")

    @property
    def whole(self) -> bool:
        """Whether its predictions lie in the book; else they are in the archive, as they are too large."""
        return (self.folder / PREDICTIONS).is_dir()

    @property
    def by(self) -> str:
        """Who has handed it in, for a sentence."""
        return self.listing.by or "somebody who is not named"


def accepted(folder: Path | str = EVIDENCE) -> tuple[Accepted, ...]:
    """All packs in the book, by chapter and id. Raises BookError for one that is damaged or was never checked."""
    found = []
    for path in sorted(path for path in Path(folder).glob("*/*") if path.is_dir()):
        if (one := handed_in(read_record(path))) is None:
            raise BookError(f"{shown(path)}: has no {CHECK}; put packs here with python -m actionbook.evidence accept")
        found.append(one)
    return tuple(found)


def handed_in(record: Record) -> Accepted | None:
    """The accepted pack that a record is of; None for one that was not handed in."""
    check = read_check(record.folder)
    return Accepted(record.folder, read_listing(record.folder), check, record) if check else None


def findings(check: Check) -> pd.DataFrame:
    """What was found: what, state, detail."""
    return pd.DataFrame([one.model_dump() for one in check.findings])


def findings_table(check: Check) -> str:
    """What was found, as Markdown: one row each."""
    rows = [[escape(one.what), f"**{one.state}**", escape(one.detail)] for one in check.findings]
    return table(["What", "State", "Found"], rows)


def verdicts_table(check: Check) -> str:
    """Published figures and the scores beside them; a sentence where there is none."""
    rows = [
        [
            escape(one.figure),
            escape(one.published),
            escape(f"{one.stream}, {one.format}"),
            one.score.figures(5),
            f"{one.score.evaluated:,} / {one.score.expected:,}",
            f"{100 * one.difference:+.2f}",
            f"± {100 * one.tolerance:.2f}",
            f"{escape(one.outcome)}: {escape(one.reason)}",
        ]
        for one in check.verdicts
    ]
    header = [
        "Figure",
        "Published",
        "Stream, format",
        "Here",
        "N evaluated / expected",
        "Points",
        "Tolerance",
        "Verdict",
    ]
    return table(header, rows, right=(1, 3, 4, 5, 6)) if rows else f"{check.why_none}\n"


def report(check: Check) -> str:
    """The whole check as Markdown: verdict, findings, and what their states mean."""
    head = f"**{escape(MARKS[check.outcome])}** {check.chapter}/{check.recipe}"
    if not check.holds:
        head = f"**Refuted** {check.chapter}/{check.recipe}: this pack contradicts itself or what the book knows"
    meaning = "".join(f"- *{state}*: {words}\n" for state, words in MEANING.items())
    return f"{head}\n\n{verdicts_table(check)}\n{findings_table(check)}\n{meaning}"


def evidence_page(packs: Sequence[Accepted]) -> str:
    """Markdown of the page on evidence: a part for each accepted pack; the check's table is folded."""
    return "\n".join([_tolerances(), *(map(_part, packs) if packs else ["Nobody has handed in a run yet.\n"])])


def real(packs: Iterable[Accepted]) -> tuple[Record, ...]:
    """Records of runs on data sets that no program has made; the others are examples and stand on their page alone."""
    return tuple(one.record for one in packs if not one.record.generated)


def _part(one: Accepted) -> str:
    check, listing = one.check, one.listing
    mark = MARKS[check.outcome] if not one.record.generated else "Example, no reproduction:"
    counts = {state: sum(finding.state == state for finding in check.findings) for state in MEANING}
    said = ", ".join(f"{count} {'agree' if state == 'agrees' else state}" for state, count in counts.items() if count)
    lines = [
        f"({one.label})=\n## {mark} {escape(one.record.head.title)}\n",
        f"Recipe `{listing.chapter}/{listing.recipe}`, handed in by {escape(one.by)}, packed on {listing.packed}"
        f" ([{listing.licence}](https://creativecommons.org/licenses/by/4.0/)). {escape(listing.note)}\n",
        verdicts_table(check),
        f"Of {len(check.findings)} findings {said}.{'' if one.whole else _elsewhere(one)}\n",
        f":::{{dropdown}} What was checked, and what can only be believed\n{findings_table(check)}:::\n",
    ]
    return "\n".join(lines)


def _tolerances() -> str:
    """The tolerance in numbers, for a figure of each of two data sets."""
    parts = []
    for key in ("efficient3d.port.top1", "stnet.port.kinetics400"):
        aim = figure(key)
        manifest = load_dataset(str(aim.dataset))
        items = manifest.splits[str(aim.split or 1)].test
        points = f"{100 * tolerance(aim, items):.2f} points"
        parts.append(f"{points} for {100 * aim.share:.1f} % of the {items:,} test videos of {manifest.short_title}")
    return f"The tolerance is {', and '.join(parts)}.\n"


def _elsewhere(one: Accepted) -> str:
    digest = one.check.archive_sha256
    return (
        f" Its predictions are too large for this book; the archive with the SHA-256 `{digest}` is part of a release."
    )
