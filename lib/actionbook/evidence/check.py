"""The check of a pack: everything that can be computed is computed again, and the rest is said to be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from actionbook.core.errors import BookError, some
from actionbook.core.evidence import Check, Finding, Outcome, Verdict
from actionbook.core.files import sha256_file
from actionbook.core.recipe import JOINT, Recipe
from actionbook.evidence import check_data, check_machine, check_scores, check_training
from actionbook.evidence.check_data import book_recipes, differing
from actionbook.evidence.contents import Contents, read_contents, unpacked
from actionbook.results.compare import Comparison, comparisons

CHECKS: tuple[Callable[[Contents], Iterator[Finding]], ...] = (
    check_data.files,
    check_data.recipe,
    check_data.data_set,
    check_data.samples,
    check_scores.scores,
    check_scores.formats,
    check_training.weights,
    check_training.trainings,
    check_training.models,
    check_machine.results,
    check_machine.tools,
    check_machine.throughput,
    check_machine.machine,
)
PROTOCOL = ("task", "data", "sampling", "transforms", "evaluation")
"""Sections of a recipe that are the protocol of a figure."""


def check(source: Path | str) -> Check:
    """Check a pack, an archive or the folder of one that has been unpacked.

    Raises BookError for what is no pack: nothing was found out then. What can be read and contradicts itself, or what
    the book knows, is a finding.
    """
    with unpacked(source) as folder:
        pack = read_contents(folder)
        findings = tuple(finding for one in CHECKS for finding in _findings(one, pack))
        try:
            found = comparisons(pack.record)
            books = list(book_recipes(pack.recipe.chapter).values()) if found else []
            verdicts = tuple(_verdict(pack, item, books) for item in found)
            why_none = "" if verdicts else _why_none(pack)
        except BookError as error:  # a figure that the book does not have
            verdicts, why_none = (), str(error)
        return Check(
            chapter=pack.listing.chapter,
            recipe=pack.listing.recipe,
            findings=findings,
            verdicts=verdicts,
            why_none=why_none,
            archive_sha256=sha256_file(Path(source)) if Path(source).is_file() else None,
        )


def _findings(one: Callable[[Contents], Iterator[Finding]], pack: Contents) -> list[Finding]:
    """What a check finds; where it cannot be made of what the pack holds, that is what it has found."""
    try:
        return list(one(pack))
    except (BookError, ValueError, KeyError) as error:
        detail = f"cannot be computed: {error}"[:400]
        return [Finding(what=one.__name__.replace("_", " "), state="refuted", detail=detail)]


def _verdict(pack: Contents, item: Comparison, books: Sequence[Recipe]) -> Verdict:
    outcome, reason = _outcome(pack, item, books)
    return Verdict(
        figure=item.figure_id,
        published=str(item.figure),
        stream=item.row.stream,
        format=item.row.format,
        score=item.score,
        tolerance=item.tolerance,
        difference=item.difference,
        outcome=outcome,
        reason=reason,
        counts=item.counts,
    )


def _outcome(pack: Contents, item: Comparison, books: Sequence[Recipe]) -> tuple[Outcome, str]:
    if item.status == "partial":
        return "not comparable", f"{item.evaluated:,} of {item.score.expected:,} items were evaluated"
    if other := _other_protocol(pack, item, books):
        return "not comparable", f"measured otherwise than the book's recipe for this figure: {some(other, 6)}"
    if item.figure.expected not in (None, item.score.expected):
        return "not comparable", f"the published figure is of {item.figure.expected:,} items"
    points, allowed = 100 * item.difference, 100 * item.tolerance
    beside = f"{points:+.2f} points, tolerance {allowed:.2f}"
    if item.status == "reproduced":
        return "reproduced", beside
    return "not reproduced", f"{beside}{': more than chance brings, so something else was measured' * (points > 0)}"


def _other_protocol(pack: Contents, item: Comparison, books: Sequence[Recipe]) -> list[str]:
    """In which settings of the protocol the run differs from that of the chapter's recipes which is nearest to it, of
    those that aim at this figure."""
    stream, mine = item.row.stream, _settings(pack.recipe, item.row.stream)
    aiming = [book for book in books if item.figure_id in _of_stream(book, stream).published]
    found = [differing(mine, _settings(book, stream)) for book in aiming]
    return min(found, key=len) if found else ["the book has no recipe for it"]


def _settings(recipe: Recipe, stream: str) -> dict[str, object]:
    own = _of_stream(recipe, stream).as_dict()
    return {key: own[key] for key in PROTOCOL}


def _of_stream(recipe: Recipe, stream: str) -> Recipe:
    return recipe if stream == JOINT or stream not in recipe.stream_names else recipe.for_stream(stream)


def _why_none(pack: Contents) -> str:
    if pack.manifest.generator is not None:
        return "The data set was made by a program. Its scores are no reproduction of anything that was published."
    return "The recipe aims at no published accuracy of the data set that it was run on."
