"""bench.report: verdicts, the table, the JSON."""

from __future__ import annotations

import json

import pytest
from bench.report import Result, as_json, duration, table, timed
from bench.rounds import Comparison


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (Result("r", "w", 1.5, 1.5, clean=3, rounds=3), "met"),
        (Result("r", "w", 1.49, 1.5, clean=3, rounds=3), "missed"),
        (Result("r", "w", 9.0, 1.5, clean=2, rounds=9), "too few clean rounds"),
        (Result("r", "w", 0.03, 0.03, at_most=True, clean=5, rounds=5), "met"),
        (Result("r", "w", 0.36, 0.35, at_most=True), "missed"),  # counted, not timed
        (Result("r", "w", 3.0, clean=3, rounds=3), ""),
        (Result("r", "", state="not run", note="no ffmpeg"), "not run"),
        (Result("r", "", state="crashed", note="boom"), "crashed"),
    ],
)
def test_verdict(result: Result, verdict: str) -> None:
    assert result.verdict == verdict


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1164, "116 ms"), (2.409, "2.41 s"), (0.00146, "1.46 ms"), (0.9999, "1 s"), (1234.0, "1234 s")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_table_has_a_line_for_each_result_and_its_note() -> None:
    found = Comparison(ours_s=0.25, peer_s=0.5, ratio=2.0, low=1.9, high=2.2, clean=4, rounds=6)
    share = Result("loader", "share", 0.0123, 0.03, at_most=True, percent=True, clean=5, rounds=5)
    text = table(
        [timed("forward", "a vs b", found, 1.5, "agrees"), share, Result("x", "", state="not run", note="why")]
    )
    lines = text.splitlines()
    assert " ".join(lines[2].split()) == "forward a vs b 250 ms 500 ms 2.00 1.90 to 2.20 >= 1.50 met 4 of 6"
    assert "1.2 %" in lines[3]
    assert "<= 3.0 %" in lines[3]
    assert lines[-2:] == ["forward, a vs b: agrees", "x: why"]


def test_json_holds_the_verdicts() -> None:
    data = json.loads(json.dumps(as_json([Result("a", "b", 2.0, 1.0)], {"cores": 2})))
    assert data["environment"] == {"cores": 2}
    assert data["results"][0]["verdict"] == "met"
