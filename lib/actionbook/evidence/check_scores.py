"""Every score and every comparison of formats again, from the predictions, by the code that all chapters use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from actionbook.core.evidence import Finding
from actionbook.core.recipe import JOINT
from actionbook.core.score import Score
from actionbook.core.stage_results import AccuracyResults, AccuracyRow, ConversionResults, FormatRow
from actionbook.evaluation.compare import compare_formats
from actionbook.evidence.contents import Contents
from actionbook.stages.accuracy import accuracy_rows, protocols_of

CLOSE = 1e-9
"""How far two sums of the same numbers may differ by the order in which they are added."""
ROUGH = 1e-4
"""Relative; differences between formats are differences of almost equal numbers."""


def scores(pack: Contents) -> Iterator[Finding]:
    """The scores that the record of stage 05 states are those of the predictions."""
    results = pack.record.results(AccuracyResults)
    assert results is not None  # `read_contents` asks for the stage
    said, again = _by_key(results.scores), _by_key(accuracy_rows(pack.found))
    wrong = [f"{_name(key)}: {_both(said.get(key), again.get(key))}" for key in {**again, **said}
             if not _same_scores(said.get(key), again.get(key))]  # fmt: skip
    if wrong:
        yield Finding(what="scores", state="refuted", detail="; ".join(wrong[:4]))
    else:
        count = sum(len(row.scores) for row in again.values())
        key, first = next(iter(again.items()))
        detail = f"{count} scores computed again from the predictions are those of the record"
        detail += f" ({_name(key)} {first.main})"
        yield Finding(what="scores", state="proven", detail=detail)
    protocols = protocols_of(pack.whole, pack.streams)
    other = [name for name, text in protocols.items() if not results.protocols.get(name, "").startswith(text)]
    if other or set(protocols) != set(results.protocols):
        detail = f"the recipe says {protocols[other[0]] if other else protocols}, the record {results.protocols}"
        yield Finding(what="protocol", state="refuted", detail=detail)
    else:
        yield Finding(what="protocol", state="agrees", detail="; ".join(results.protocols.values()))
    aims = {name: list(recipe.published) for name, recipe in pack.streams.items()}
    if JOINT in protocols:
        aims[JOINT] = list(pack.recipe.published)
    if {name: list(ids) for name, ids in results.published.items() if ids} != {k: v for k, v in aims.items() if v}:
        detail = "the record aims at other published figures than the recipe"
        yield Finding(what="published figures", state="refuted", detail=detail)


def formats(pack: Contents) -> Iterator[Finding]:
    """What stage 04 says of each format beside the network follows from the predictions."""
    results = pack.record.results(ConversionResults)
    assert results is not None
    rows = {name: results.streams[name].formats for name in pack.streams if name in results.streams}
    ran = pack.record.stages["04_conversion"].recipe_sections.get("evaluation")
    scored = ran == pack.sha256("evaluation")  # else stage 05 has pooled or fused otherwise since
    rows |= {JOINT: results.fused} if scored and JOINT in {stream for stream, _ in pack.found} else {}
    wrong: list[str] = []
    for stream, said in rows.items():
        found = {kind: one for (name, kind), one in pack.found.items() if name == stream}
        again = {
            row.format: row for row in compare_formats(found, half=any("16 bits" in row.criterion for row in said))
        }
        for row in said:
            if row.format not in again or (field := _other(row, again[row.format], scored)):
                wrong.append(f"{_name((stream, row.format))}: {field if row.format in again else 'no predictions'}")
    if wrong:
        yield Finding(what="formats", state="refuted", detail=f"stage 04 says otherwise: {'; '.join(wrong[:4])}")
    else:
        count = sum(map(len, rows.values()))
        detail = f"{count} comparisons with the network computed again are those of stage 04"
        detail += "" if scored else ", but for the scores, which it took by another evaluation"
        yield Finding(what="formats", state="proven", detail=detail)


def _by_key(rows: Iterable[AccuracyRow]) -> dict[tuple[str, str], AccuracyRow]:
    return {(row.stream, row.format): row for row in rows}


def _name(key: tuple[str, str]) -> str:
    return ", ".join(key)


def _both(said: AccuracyRow | None, again: AccuracyRow | None) -> str:
    if said is None or again is None:
        return "has no predictions" if again is None else "is not in the record"
    for one, other in zip(said.scores, again.scores, strict=False):
        if not _same(one, other):
            return f"the record says {one}, its predictions {other}"
    return "the record has other metrics"


def _same_scores(said: AccuracyRow | None, again: AccuracyRow | None) -> bool:
    if said is None or again is None or len(said.scores) != len(again.scores):
        return False
    return all(_same(one, other) for one, other in zip(said.scores, again.scores, strict=True))


def _same(one: Score, other: Score) -> bool:
    exact = ("metric", "evaluated", "expected", "correct", "missing_sha256")
    if any(getattr(one, key) != getattr(other, key) for key in exact) or one.parts.keys() != other.parts.keys():
        return False
    pairs = [(one.value, other.value), *((value, other.parts[name]) for name, value in one.parts.items())]
    return all(abs(a - b) <= CLOSE for a, b in pairs)


def _other(said: FormatRow, again: FormatRow, scored: bool) -> str:
    """The first field in which two comparisons differ, with both values; empty where there is none.

    What hangs on the score is left out unless it was `scored` in the same way.
    """
    if scored and not _same(said.score, again.score):
        return f"score {said.score}, computed {again.score}"
    left_out = {"score", "reason", "criterion"} | (set() if scored else {"passed"})
    mine, theirs = (row.model_dump(exclude=left_out) for row in (said, again))
    for key, value in mine.items():
        if not _near(value, theirs[key]):
            return f"{key} {value}, computed {theirs[key]}"
    return ""


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUGH, abs_tol=1e-7)
    return bool(one == other)
