"""Boxes around people, by the detector that OpenCV brings along: a first draft for people to correct.

Histograms of oriented gradients and a linear classifier, from 2005 (Dalal and Triggs, "Histograms of Oriented Gradients
for Human Detection", CVPR 2005; cv2.HOGDescriptor_getDefaultPeopleDetector). It knows whole
people who stand or walk upright, at least 100 pixels high, and misses who sits, bends, is near the camera or cut off by
the frame; bottles, chair legs and arms are people to it. No published result can be had with its boxes: those of AVA
are of a network fine-tuned on AVA, which finds 91 of 100 people (Feichtenhofer et al., "SlowFast Networks for Video
Recognition", ICCV 2019).

Command line: ``python -m actionbook.datasets.people_detector VIDEO ... --boxes FILE``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from math import exp
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError
from actionbook.core.files import write_text_atomic
from actionbook.core.paths import expanded, shown
from actionbook.datasets.ava_writing import CORNERS
from actionbook.video.decode import iterate, shown_pixels

COLUMNS = ("video", "second", *CORNERS, "label", "score")
LEAST_HEIGHT = 480
"""Frames that are less high are enlarged to this height: the detector's window is 128 pixels high."""
_MARGIN = 0.15, 0.05
"""The window's share around a person at either side and above and below, as in OpenCV's sample peopledetect.py."""


def people(frame: np.ndarray) -> list[tuple[float, float, float, float, float]]:
    """People in a frame, RGB uint8 ``(H, W, 3)``: corners as shares of it and a score, the surest first.

    The score is 1 - exp(-m) of the classifier's margin m: 0 to 1, and no probability. Margins of 0.3 to 0.8 are as
    often a chair as a person.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if (enlarged := LEAST_HEIGHT / len(grey)) > 1:
        grey = cv2.resize(grey, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_LINEAR)
    height, width = grey.shape
    if width < 64:
        return []  # no window fits in
    detector = cv2.HOGDescriptor()
    detector.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector()))
    windows, margins = detector.detectMultiScale(grey, winStride=(8, 8), padding=(16, 16), scale=1.05)
    found = []
    for (x, y, w, h), margin in zip(windows, np.ravel(margins), strict=True):
        dx, dy = _MARGIN[0] * w, _MARGIN[1] * h
        x1, x2 = (min(max(value / width, 0.0), 1.0) for value in (x + dx, x + w - dx))
        y1, y2 = (min(max(value / height, 0.0), 1.0) for value in (y + dy, y + h - dy))
        if x1 < x2 and y1 < y2:
            found.append((x1, y1, x2, y2, 1 - exp(-max(float(margin), 0.0))))
    return sorted(found, key=lambda one: -one[-1])


def find_people(path: Path, every: float = 1.0, first: float = 0.0) -> pd.DataFrame:
    """People in a video every so many seconds from `first` on: a row for each, columns `COLUMNS`, no labels.

    `second` is that asked for; looked at is the frame that is shown then. Raises VideoError for what is no video, and
    BookError for an interval that is not above 0.
    """
    if not every > 0 or first < 0:
        raise BookError(f"every {every:g} s from {first:g} s: expected more than 0 seconds, from 0 on")
    rows = [
        (path.name, second, *one[:4], "", one[4])
        for second, frame in frames_at(path, every, first)
        for one in people(frame)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def frames_at(path: Path, every: float = 1.0, first: float = 0.0) -> Iterator[tuple[float, np.ndarray]]:
    """(second, frame) of each of the seconds that the video has, from one decode: those that `find_people` looks at."""
    number, begin, last = 0, None, None
    for frame in iterate(path):
        time = frame.time or 0.0
        begin = time if begin is None else begin
        # A thousandth: time stamps are rounded to that in some containers.
        while last is not None and first + number * every < time - begin - 1e-3:
            yield round(first + number * every, 6), shown_pixels(last)
            number += 1
        last = frame
    if last is not None and first + number * every <= (last.time or 0.0) - (begin or 0.0) + 1e-3:
        yield round(first + number * every, 6), shown_pixels(last)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m actionbook.datasets.people_detector",
        description="Boxes around upright people, by OpenCV's detector, as a table whose labels are to be filled in: a "
        "first draft, with many people missed and many boxes on nothing.",
    )
    parser.add_argument("videos", metavar="VIDEO", nargs="+", help="video files")
    parser.add_argument("--boxes", metavar="FILE", required=True, help="the table to write (.csv)")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="from keyframe to keyframe (1)")
    parser.add_argument("--first", type=float, default=0.0, metavar="SECONDS", help="the first keyframe (0)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0 if the table is written, 1 with the reason on standard error."""
    print_any_text()
    options = _parser().parse_args(arguments)
    try:
        path = expanded(options.boxes)
        if path.exists():
            raise BookError(f"{shown(path)}: exists, and may hold labels; name another file, or move it away")
        tables = []
        for video in map(expanded, options.videos):
            tables.append(find_people(video, options.every, options.first))
            sys.stdout.write(f"{shown(video)}: {len(tables[-1])} boxes\n")
            sys.stdout.flush()
        found = pd.concat(tables, ignore_index=True)
        write_text_atomic(path, found.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
        sys.stdout.write(f"{shown(path)}: {len(found)} boxes; look at each, and give those on people their labels\n")
    except BookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
