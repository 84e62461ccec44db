"""Turn by turn: rounds in which every contestant runs once, and what they say of a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.harness import Peer, Slice

Round = Mapping[str, Slice]


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    slice_s: float = 0.5
    """A turn lasts at least so long."""
    steps: int = 1
    """A turn has at least so many steps."""
    rounds: int = 5
    """Clean rounds wanted."""
    limit_s: float = 150.0
    """After so long, what there is has to do."""


@dataclass(frozen=True)
class Comparison:
    """Two contestants over the same rounds: medians. `ratio` > 1 means that ours is the faster one."""

    ours_s: float
    peer_s: float
    """Seconds a step, of wall clock or CPU."""
    ratio: float
    """Median of the rounds' ratios: what drifts from round to round hits both sides alike."""
    low: float
    high: float
    """Smallest and largest ratio of a round."""
    clean: int
    """Rounds in which the machine was quiet during every turn. Where there is none, all rounds are used."""
    rounds: int


def alternate(peers: Sequence[Peer], pace: Pace, tick: Callable[[bool], object] = bool) -> list[dict[str, Slice]]:
    """Let the contestants take turns until `pace.rounds` rounds were clean, or the time is up (one round is made).

    Each warms up for two turns first. Every other round goes in the opposite order. `tick(clean)` is called after each.
    """
    for peer in peers:
        peer.slice(pace.slice_s / 2)
        peer.slice(pace.slice_s / 2)
    rounds: list[dict[str, Slice]] = []
    end = time.monotonic() + pace.limit_s
    while sum(map(is_clean, rounds)) < pace.rounds and (not rounds or time.monotonic() < end):
        order = peers if len(rounds) % 2 == 0 else peers[::-1]
        rounds.append({peer.label: peer.slice(pace.slice_s, pace.steps) for peer in order})
        tick(is_clean(rounds[-1]))
    return rounds


def is_clean(turns: Round) -> bool:
    """Whether the machine was quiet during every turn of a round."""
    return all(turn.clean for turn in turns.values())


def compare(rounds: Sequence[Round], ours: str, peer: str, unit: str = "wall") -> Comparison:
    """The ratio of `peer`'s time to `ours`, by label, over the clean rounds (all of them where none is clean).

    `unit` is "wall" or "cpu". Raises ValueError where there are no rounds.
    """
    if not rounds:
        raise ValueError("no rounds to compare")
    clean = [turns for turns in rounds if is_clean(turns)]
    used = clean or rounds
    our_times = [turns[ours].per_step(unit) for turns in used]
    peer_times = [turns[peer].per_step(unit) for turns in used]
    ratios = [theirs / own for own, theirs in zip(our_times, peer_times, strict=True)]
    return Comparison(
        ours_s=statistics.median(our_times),
        peer_s=statistics.median(peer_times),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        clean=len(clean),
        rounds=len(rounds),
    )
