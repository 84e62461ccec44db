"""Checks of a diagnosis: do the videos and seconds of the detections meet those of the truth, and frames?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from actionbook.core.errors import some
from actionbook.evaluation.ava_findings import Finding, Side, Sides

_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v"}
_RATES = (24.0, 25.0, 30.0, 50.0, 60.0)
_FILM = (24000 / 1001, 30000 / 1001)
Way = tuple[float, float, float]
"""How many a second, the first number, and the second that it is of."""
_FEW = 0.1
"""Share of keyframes without detections, or of detections without truth, that is not worth a word."""


def videos(sides: Sides) -> Iterator[Finding]:
    """Videos under two names, or of one side alone."""
    true, found = (set(sides.keyframes.video[sides.there(side)]) for side in sides.both)
    plain = {_plain(name): name for name in sorted(true)}
    alone = sorted(found - true)
    twins = [(name, plain[_plain(name)]) for name in alone if _plain(name) in plain]
    share = len(alone) / max(len(found), 1)
    if twins:
        yield Finding(
            "problem",
            "a video has one name in the truth and another in the detections",
            f"{len(twins)} of {len(found)} videos, such as {twins[0][0]!r} for {twins[0][1]!r}",
            "name videos as the truth does: without folder and suffix, with the same capitals",
            len(twins) / len(found),
        )
    elif alone:
        yield Finding(
            "problem" if share == 1 else "warning",
            "videos of the detections do not occur in the truth, where all that they hold counts as wrong",
            f"{len(alone)} of {len(found)}: {some(alone)}; the truth has {some(sorted(true))}",
            "score with the truth of the same subset, or leave these videos out",
            share,
        )


def _plain(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/").strip())
    return (path.stem if path.suffix.lower() in _SUFFIXES else path.name).casefold()


def keyframes(sides: Sides, seconds: tuple[float, float], rate: float, start: float) -> Iterator[Finding]:
    """Seconds that do not meet, in videos that both sides have."""
    common = np.logical_and.reduce(
        [sides.keyframes.video.isin(sides.keyframes.video[sides.there(side)]) for side in sides.both]
    )
    true, found = (sides.there(side) & common for side in sides.both)
    if not found.any():
        return
    lonely = (found & ~true).sum() / found.sum()
    other = _other_count(sides, true, found, seconds, _ways(rate, start)) if lonely > 0.5 else None
    if other:
        yield other
    elif lonely > _FEW:
        yield Finding(
            "problem" if lonely == 1 else "warning",
            "detections at seconds for which there is no truth, all of which count as wrong",
            f"{lonely:.0%} of {found.sum():,} keyframes, such as {_examples(sides, found & ~true)}; the truth has "
            f"{_examples(sides, true)}",
            "score the seconds of the truth only; keyframes of AVA are whole seconds of the whole video",
            float(lonely),
        )
    missed = (true & ~found).sum() / true.sum()
    if _FEW < missed < 1:
        yield Finding(
            "warning",
            "keyframes of the truth have no detection: all that is there is missed",
            f"{missed:.0%} of {true.sum():,}, such as {_examples(sides, true & ~found)}",
            "look whether the detector's boxes were dropped by a threshold, or a part of the videos was never run",
            float(missed),
        )


def _other_count(
    sides: Sides, true: np.ndarray, found: np.ndarray, seconds: tuple[float, float], ways: Mapping[str, Way]
) -> Finding | None:
    """Whether one side counts its time in another way, by what makes most of its keyframes meet those of the other."""
    outside = ~sides.keyframes.second.between(*seconds).to_numpy()
    # The side that is odd is the one that leaves the range of keyframes.
    truth_is_odd = (outside & true).sum() / true.sum() > (outside & found).sum() / found.sum()
    what, odd, good = ("truth", true, found) if truth_is_odd else ("detections", found, true)
    there = set(zip(sides.keyframes.video[good], sides.keyframes.second[good], strict=True))
    times, shares = sides.keyframes[odd], {}
    for name, (per_second, first, origin) in ways.items():
        moments = (times.second - first) / per_second + origin
        # The frame nearest to a whole second is at most half a frame away from it.
        moments = moments.where((moments - moments.round()).abs() > 0.501 / max(per_second, 12), moments.round())
        shares[name] = float(np.mean([pair in there for pair in zip(times.video, moments, strict=True)]))
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < 0.5:
        return None
    per_second, first, origin = ways[best]
    return Finding(
        "problem",
        f"the column second of the {what} holds {best}",
        f"read so, {shares[best]:.0%} of {len(times):,} keyframes meet the other side; now "
        f"{(true & found).sum() / odd.sum():.0%} do, such as {_examples(sides, odd)}",
        f"write seconds of the whole video into the column: (number - {first:g}) / {per_second:g} + {origin:g}",
        shares[best],
    )


def _ways(rate: float, start: float) -> dict[str, Way]:
    """What a number may be instead of a second of the whole video."""
    ways = {f"seconds of the part from {start:g} s on": (1.0, 0.0, start)}
    for each in dict.fromkeys((rate, *_RATES, *_FILM)):
        for first in (0.0, 1.0):
            name = f"frame numbers, from {first:g} and {each:g} a second"
            ways |= {f"{name}, of the part from {start:g} s on": (each, first, start), name: (each, first, 0.0)}
    return ways


def _examples(sides: Sides, chosen: np.ndarray) -> str:
    rows = sides.keyframes[chosen]
    return some([f"{video},{second:g}" for video, second in zip(rows.video, rows.second, strict=True)], 3)


def bounds(sides: Sides, seconds: tuple[float, float]) -> Iterator[Finding]:
    """Seconds outside those of keyframes."""
    for side in sides.both:
        outside = ~sides.keyframes.second.between(*seconds).to_numpy()
        share = float(outside[side.keyframe].mean()) if len(side) else 0.0
        if share:
            yield Finding(
                "problem" if share > 0.5 else "warning",
                f"seconds of the {side.what} lie outside {seconds[0]:g} to {seconds[1]:g}",
                f"{share:.0%} of {len(side):,} rows, such as {_examples(sides, outside & sides.there(side))}",
                f"AVA's keyframes are the whole seconds {seconds[0]:g} to {seconds[1]:g} of the whole video; for other "
                "data say which seconds there are",
                share,
            )


def frames(sides: Sides, counts: Mapping[str, int], rate: float, start: float) -> Iterator[Finding]:
    """Keyframes that no frame shows, and videos with as many frames as another rate gives."""
    for side in sides.both:
        yield from _frames_of(sides, side, counts, rate, start)


def _frames_of(sides: Sides, side: Side, counts: Mapping[str, int], rate: float, start: float) -> Iterator[Finding]:
    there = sides.there(side)
    rows = sides.keyframes[there]
    known = rows.video.map(counts)
    if known.isna().any():
        missing = sorted(set(rows.video[known.isna()]))
        yield Finding(
            "problem",
            f"videos of the {side.what} have no frames",
            f"{len(missing)} of {rows.video.nunique()}: {some(missing)}; there are frames of {some(sorted(counts))}",
            "prepare these videos, or name them as their frames are named",
            float(known.isna().mean()),
        )
    numbers = ((rows.second - start) * rate).round()
    unseen = (numbers < 0) | (numbers >= known)
    likely = _rates_of(rows, known, rate, start)
    if likely:
        one, rates = known.first_valid_index(), " or ".join(f"{each:g}" for each in likely)
        yield Finding(
            "problem",
            "the videos have another rate than their keyframes are looked up with",
            f"{rows.video[one]} has {known[one]:,.0f} frames, as many as {rates} a second give up to second "
            f"{rows.second.max():g}; looked up with {rate:g}",
            f"bring the videos to {rate:g} frames a second, or say that they have {rates}",
            1.0,
        )
    elif unseen.any():
        first = rows[unseen].iloc[0]
        yield Finding(
            "problem" if unseen.mean() > _FEW else "warning",
            f"keyframes of the {side.what} are shown by no frame",
            f"{unseen.sum():,} of {len(rows):,}: second {first.second:g} of {first.video} is frame "
            f"{(first.second - start) * rate:,.0f}, and there are {counts[first.video]:,}",
            f"cut the videos from second {start:g} on, far enough, at {rate:g} frames a second",
            float(unseen.mean()),
        )


def _rates_of(rows: pd.DataFrame, known: pd.Series, rate: float, start: float) -> list[float]:
    """Other rates at which every video ends within three seconds after its last keyframe; none where `rate` is one."""
    rows, known = rows[known.notna()], known.dropna()
    last = pd.DataFrame({"video": rows.video, "second": rows.second - start, "frames": known}).groupby("video").max()

    def fits(each: float) -> bool:
        return bool(last.frames.between(last.second * each, (last.second + 3) * each).all())

    return [] if last.empty or fits(rate) else [each for each in _RATES if fits(each)]
