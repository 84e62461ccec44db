"""bench.rounds: which rounds count, and what they say."""

from __future__ import annotations

import pytest
from bench.harness import Slice
from bench.rounds import Pace, alternate, compare


class Scripted:
    """Stands for a Peer: its turns are known beforehand, and it writes down when it ran."""

    def __init__(self, label: str, foreign: list[float], diary: list[str]) -> None:
        self.label, self.foreign, self.diary = label, foreign, diary

    def slice(self, seconds: float, steps: int = 1) -> Slice:
        self.diary.append(self.label)
        return Slice(steps, seconds, seconds, self.foreign.pop(0) if self.foreign else 0.0)


def turns(ours: float, peer: float, foreign: float = 0.0) -> dict[str, Slice]:
    return {"ours": Slice(2, 2 * ours, ours, foreign), "peer": Slice(4, 4 * peer, 40 * peer, 0.0)}


def test_medians_over_clean_rounds_only() -> None:
    rounds = [turns(1, 2), turns(1, 90, foreign=0.5), turns(2, 5), turns(1.5, 4.5)]
    found = compare(rounds, "ours", "peer")
    assert (found.clean, found.rounds) == (3, 4)
    assert found.ours_s == pytest.approx(1.5)
    assert found.peer_s == pytest.approx(4.5)
    assert found.ratio == pytest.approx(2.5)  # of 2, 2.5 and 3
    assert (found.low, found.high) == (pytest.approx(2), pytest.approx(3))


def test_without_clean_rounds_all_are_used_and_none_is_claimed() -> None:
    found = compare([turns(1, 2, 0.2), turns(1, 4, 0.3)], "ours", "peer")
    assert (found.clean, found.ratio) == (0, pytest.approx(3))


def test_cpu_time_is_another_unit() -> None:
    assert compare([turns(1, 2)], "ours", "peer", "cpu").ratio == pytest.approx((40 * 2 / 4) / (1 / 2))


def test_no_rounds_are_an_error() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        compare([], "ours", "peer")


def test_turns_alternate_and_the_order_turns_round() -> None:
    diary: list[str] = []
    peers = [Scripted("a", [], diary), Scripted("b", [], diary)]
    ticks: list[bool] = []
    rounds = alternate(peers, Pace(0.1, 1, 3, 60.0), ticks.append)  # type: ignore[arg-type]
    assert diary[:4] == ["a", "a", "b", "b"]  # warming up
    assert diary[4:] == ["a", "b", "b", "a", "a", "b"]
    assert len(rounds) == 3
    assert ticks == [True, True, True]


def test_goes_on_until_enough_rounds_are_clean() -> None:
    peers = [Scripted("a", [0, 0, 0.5, 0, 0.1], []), Scripted("b", [0, 0, 0, 0.2, 0, 0], [])]
    rounds = alternate(peers, Pace(0.1, 1, 2, 60.0))  # type: ignore[arg-type]
    assert [all(turn.clean for turn in each.values()) for each in rounds] == [False, False, False, True, True]


def test_time_is_up_after_one_round_at_least() -> None:
    peers = [Scripted("a", [0.5] * 9, [])]
    assert len(alternate(peers, Pace(0.1, 1, 3, 0.0))) == 1  # type: ignore[arg-type]
