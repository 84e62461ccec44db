"""Average precision at AVA's scale: the book's beside loops as the original has them."""

from __future__ import annotations

from collections.abc import Iterator

from bench.errors import PeerFailed
from bench.report import Result, timed
from bench.rounds import compare
from bench.session import Session


def score(session: Session) -> Iterator[Result]:
    """CPU time from boxes and scores to the mean average precision, on one core each. Target: 25 times the loops.

    Of drawn people, a fortieth of AVA's validation set. Both sides have to find the same number, to the last digit.
    """
    keyframes = session.scale.keyframes
    ours, rival = (
        session.peer(label, f"ava:{name}", {"keyframes": keyframes}, one_core=True)
        for label, name in (("AVA score", "book"), ("AVA loops", "original"))
    )
    with session.running([ours, rival]):
        values = ours.facts["value"], rival.facts["value"]
        if values[0] != values[1]:
            raise PeerFailed(f"the scores of both sides differ: {values[0]!r} and {values[1]!r}")
        rounds = session.rounds("ava-score", [ours, rival], session.scale.pace)
    note = (
        f"{keyframes:,} keyframes, {ours.facts['rows']:,} detections; both find {values[0]!r}; the loops are written "
        "as the original is: lists of each keyframe, then one class of a keyframe after the other"
    )
    yield timed(
        "ava-score", "average precision vs loops, CPU time", compare(rounds, ours.label, rival.label, "cpu"), 25.0, note
    )
