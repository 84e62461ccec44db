"""What a run found, as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.rounds import Comparison

ENOUGH = 3  # clean rounds, below which nothing is said about a target


@dataclass(frozen=True)
class Result:
    """One line of the report.

    `value` is a ratio, peer's time to ours, unless `what` says otherwise; `target` is its bound from below, or from
    above with `at_most`, or None where the book sets none. `state`: "measured", "not run" or "crashed"; the last two
    say why in `note`.
    """

    row: str
    what: str
    value: float | None = None
    target: float | None = None
    at_most: bool = False
    percent: bool = False
    ours: str = ""
    peer: str = ""
    spread: tuple[float, float] | None = None
    clean: int | None = None
    rounds: int | None = None
    state: str = "measured"
    note: str = ""

    @property
    def verdict(self) -> str:
        """met, missed, or why neither can be said."""
        if self.state != "measured":
            return self.state
        if self.value is None or self.target is None:
            return ""
        if self.clean is not None and self.clean < ENOUGH:
            return "too few clean rounds"
        good = self.value <= self.target if self.at_most else self.value >= self.target
        return "met" if good else "missed"


def timed(row: str, what: str, found: Comparison, target: float | None = None, note: str = "") -> Result:
    """The result of a comparison whose value is the ratio."""
    return Result(
        row,
        what,
        value=found.ratio,
        target=target,
        ours=duration(found.ours_s),
        peer=duration(found.peer_s),
        spread=(found.low, found.high),
        clean=found.clean,
        rounds=found.rounds,
        note=note,
    )


def duration(seconds: float) -> str:
    """Three digits with a unit: "116 ms", "2.41 s"."""
    value, unit = (seconds, "s") if seconds >= 0.9995 else (seconds * 1e3, "ms")
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"


def number(value: float | None, percent: bool) -> str:
    """A value as the table shows it."""
    if value is None:
        return ""
    return f"{value * 100:.1f} %" if percent else f"{value:.2f}"


def table(results: Sequence[Result]) -> str:
    """All results, one a line, notes below."""
    head = ("row", "what", "ours", "peer", "ratio", "range", "target", "verdict", "clean rounds")
    lines = [head, *(_cells(result) for result in results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    notes = [
        f"{', '.join(filter(None, (result.row, result.what)))}: {result.note}" for result in results if result.note
    ]
    return "\n".join([*text, "", *notes]) if notes else "\n".join(text)


def _cells(result: Result) -> tuple[str, ...]:
    low, high = result.spread or (None, None)
    target = number(result.target, result.percent)
    return (
        result.row,
        result.what,
        result.ours,
        result.peer,
        number(result.value, result.percent),
        f"{number(low, result.percent)} to {number(high, result.percent)}" if result.spread else "",
        f"{'<=' if result.at_most else '>='} {target}" if target else "",
        result.verdict,
        "" if result.rounds is None else f"{result.clean} of {result.rounds}",
    )


def as_json(results: Sequence[Result], environment: dict[str, Any]) -> dict[str, Any]:
    """Everything of a run: `environment` and the results with their verdicts."""
    return {"environment": environment, "results": [{**asdict(r), "verdict": r.verdict} for r in results]}
