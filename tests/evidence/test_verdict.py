"""What a run is called that holds: reproduced, not reproduced, not comparable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actionbook.core.evidence import Check, Finding, Verdict
from actionbook.core.recipe import Recipe
from actionbook.core.record import read_record
from actionbook.core.schema import merge
from actionbook.core.stage_results import AccuracyResults
from actionbook.core.workspace import Stage
from actionbook.evidence import check as module
from actionbook.evidence.check import check
from actionbook.evidence.pack import pack
from actionbook.results import compare
from actionbook.results.published import Figure

Finished = Callable[..., Stage]


def figure(value: float, **changes: Any) -> Figure:
    """A published top-1 of the tiny data set."""
    fields = {
        "id": "top1", "system": "paper", "what": "net", "metric": "top1", "unit": "fraction", "dataset": "tiny",
        "split": 1, "protocol": "video level", "value": value, "source": "A paper", "where": "table 1",
        "chapter": "tiny", "version": "1",
    }  # fmt: skip
    return Figure(**{**fields, **changes})


@pytest.fixture
def run(make_finished: Finished, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Check]:
    """A function that packs a run that aims at a figure, and checks it against a book that knows figure and recipe."""

    def checked(aim: Callable[[float], Figure], book: dict[str, Any] | None = None, **differences: Any) -> Check:
        streams = {"fast": {"sampling": {"stride": 1}, "published": ["tiny.top1"]}, "slow": {"sampling": {"stride": 1}}}
        stage = make_finished(streams=streams, **differences)
        archive = pack(stage)
        before = check(archive)
        assert before.holds, [one for one in before.findings if one.state == "refuted"]
        results = read_record(stage.workspace).results(AccuracyResults)
        assert results
        (share,) = [row.main.value for row in results.scores if (row.stream, row.format) == ("fast", "network")]
        monkeypatch.setattr(compare, "figure", lambda key: aim(share))
        ours = Recipe.load(stage.workspace / "recipe.yaml", merge({"data": {"manifest": "tiny"}}, book or {}))
        monkeypatch.setattr(module, "book_recipes", lambda chapter: {"tiny": ours})
        return check(archive)

    return checked


def of_network(found: Check) -> Verdict:
    (verdict,) = [one for one in found.verdicts if one.format == "network"]
    return verdict


@pytest.mark.parametrize(
    ("off", "outcome"), [(0.0, "reproduced"), (-0.05, "reproduced"), (0.4, "not reproduced"), (-0.4, "not reproduced")]
)
def test_by_how_much(run: Callable[..., Check], off: float, outcome: str) -> None:
    """14 videos: a share of one half may lie 0.26 away."""
    found = run(lambda share: figure(min(max(share + off, 0.01), 0.99)))
    verdict = of_network(found)
    assert (verdict.outcome, found.outcome) == (outcome, outcome if outcome == "not reproduced" else found.outcome)
    assert np.sign(verdict.difference) == -np.sign(off)
    assert ("more than chance brings" in verdict.reason) == (off == -0.4)


def test_another_number_of_items(run: Callable[..., Check]) -> None:
    found = run(lambda share: figure(0.5, correct=10, expected=20))
    assert of_network(found).outcome == "not comparable"
    assert "is of 20 items" in of_network(found).reason


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"streams": {"fast": {"sampling": {"window": 16}}}}, "sampling.window"),
        ({"transforms": {"std": [50.0, 50.0, 50.0]}}, "transforms.std"),
        ({"evaluation": {"pool": "logit_mean"}}, "evaluation.pool"),
        ({"streams": {"fast": {"published": []}}}, "the book has no recipe for it"),
    ],
)
def test_another_protocol(run: Callable[..., Check], change: dict[str, Any], key: str) -> None:
    verdict = of_network(run(figure, change))
    assert verdict.outcome == "not comparable"
    assert key in verdict.reason


@pytest.mark.parametrize("change", [{"training": {"batch_size": 4}}, {"export": {"batch_sizes": [1]}}, {"title": "x"}])
def test_settings_that_are_no_protocol(run: Callable[..., Check], change: dict[str, Any]) -> None:
    assert of_network(run(figure, change)).outcome == "reproduced"


@pytest.mark.parametrize("aim", [{"dataset": "ucf101"}, {"split": 2}])
def test_figures_of_other_data_are_not_compared(run: Callable[..., Check], aim: dict[str, Any]) -> None:
    found = run(lambda share: figure(share, **aim))
    assert found.verdicts == ()
    assert found.outcome == "not comparable"


def test_a_refuted_pack_reproduces_nothing(run: Callable[..., Check]) -> None:
    found = run(figure)
    wrong = Finding(what="scores", state="refuted", detail="")
    assert found.model_copy(update={"findings": (wrong,)}).outcome == "not comparable"


def test_a_partial_copy_is_not_comparable(run: Callable[..., Check]) -> None:
    verdict = of_network(run(figure, missing=2))
    assert (verdict.score.evaluated, verdict.score.expected) == (12, 14)
    assert verdict.outcome == "not comparable"
    assert "12 of 14 items were evaluated" in verdict.reason
