"""Checks of a data set in AVA's form: do the boxes of the test meet its truth, and are its keyframes shown?

The lists are read before; of those for training, with a million rows, nothing more is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.doctor.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    import pandas as pd

    from actionbook.core.keyframes import Cut, Keyframes
    from actionbook.datasets.dataset import Dataset
    from actionbook.datasets.index import Index
    from actionbook.evaluation.ava_findings import Finding as Diagnosed

PERSON = "person"
"""The one label of all boxes here: a detector's have no class yet."""


def detected_boxes(dataset: Dataset, name: str) -> Iterator[Finding]:
    """What `evaluation.ava_diagnosis` finds in the detector's boxes of the test, beside those of people.

    Nothing where there are no such lists, or the recipe does not ask about the detector's boxes.
    """
    from actionbook.datasets.ava_files import read_excluded  # noqa: PLC0415 (needs packages that may be missing)
    from actionbook.evaluation.ava_diagnosis import diagnose  # noqa: PLC0415

    keyframes, settings = dataset.manifest.keyframes, dataset.data.boxes
    if not keyframes or settings.test != "detected" or not (keyframes.truth.test and keyframes.detected.test):
        return
    folder, left_out = dataset.root / dataset.manifest.layout.annotations, keyframes.excluded.test
    detections = _boxes(dataset, keyframes, keyframes.detected.test, scored=True)
    found = diagnose(
        _boxes(dataset, keyframes, keyframes.truth.test, scored=False),
        detections,
        [PERSON],
        seconds=(keyframes.first, keyframes.last),
        rate=keyframes.cut.rate,
        start=keyframes.cut.start,
        min_score=settings.min_score,
        excluded=read_excluded(folder / left_out) if left_out else (),
    )
    place = shown(folder / keyframes.detected.test)
    yield from (_row(name, place, one) for one in found)
    if not found:
        videos = detections.video.nunique()
        yield ok(name, f"{place}: {len(detections):,} boxes in {videos} videos meet the truth of the test")


def _boxes(dataset: Dataset, keyframes: Keyframes, file: str, *, scored: bool) -> pd.DataFrame:
    """Each box of a list once. Raises BookError as the reader of lists does."""
    import numpy as np  # noqa: PLC0415

    from actionbook.datasets.ava_files import read_boxes  # noqa: PLC0415
    from actionbook.datasets.index import BOX  # noqa: PLC0415

    manifest = dataset.manifest
    path = dataset.root / manifest.layout.annotations / file
    rows = read_boxes(path, keyframes, len(manifest.classes), scored=scored)
    rows = rows.drop_duplicates(["video", "second", *BOX])
    # How sure a detector is ranks nothing here, so scores that are all the same are no fault: they are told apart.
    return rows.assign(label=PERSON, score=rows["last"] + np.linspace(0, 1e-9, len(rows)))


def shown_keyframes(dataset: Dataset, index: Index, paths: dict[str, str], name: str) -> Iterator[Finding]:
    """Whether some videos, given by name with their paths, or frames that others made of them, go on to the end.

    Nothing of items that are no keyframes.
    """
    cut = dataset.cut
    items = index.items[index.items.video.isin(paths) & (index.items.frame >= 0)]
    if cut is None or items.empty:
        return
    items = items.assign(second=cut.moments(items.frame.to_numpy()))
    if dataset.frames_folder:
        rows = list(_frames(dataset.frames_folder, items, paths, cut, name))
    else:
        rows = list(_ends(dataset.root, items, paths, name))
    yield from rows or [ok(name, f"all keyframes of {len(paths)} videos tried are shown")]


def _frames(folder: Path, items: pd.DataFrame, paths: dict[str, str], cut: Cut, name: str) -> Iterator[Finding]:
    """Frames of others: too few, or of another rate. Those that cannot be read are looked at by stage 01."""
    from actionbook.evaluation.ava_check_keyframes import frames  # noqa: PLC0415
    from actionbook.evaluation.ava_findings import sides  # noqa: PLC0415
    from actionbook.video.frame_folder import open_frames  # noqa: PLC0415

    counts: dict[str, int] = {}
    for video, path in paths.items():
        with suppress(BookError), open_frames(folder / path) as opened:
            counts[video] = len(opened)
    table = items[items.video.isin(counts)].assign(label=PERSON, score=1.0, x1=0.0, y1=0.0, x2=1.0, y2=1.0)
    every = sides(table, table.iloc[:0], [PERSON], ())
    yield from (_row(name, shown(folder), one) for one in frames(every, counts, cut.rate, cut.start))


def _ends(root: Path, items: pd.DataFrame, paths: dict[str, str], name: str) -> Iterator[Finding]:
    """Videos that end before their last keyframe: cut ones, for example, as the book cuts them itself."""
    from actionbook.video.decode import header  # noqa: PLC0415

    last, wrong = items.groupby("video").second.max(), []
    for video, path in paths.items():
        with suppress(BookError):  # videos that cannot be opened have a row of their own
            seconds = header(root / path).file_seconds
            if 0 < seconds < last[video]:
                end = f"{shown(root / path)} ends after {seconds:.1f} s"
                wrong.append(f"{end}, and its last keyframe is at second {last[video]:g}")
    if wrong:
        remedy = (
            "put whole videos there, which the book cuts itself; or let the manifest say how yours are cut "
            "(keyframes.cut, first, last), and count the seconds of the lists likewise"
        )
        yield problem(name, f"{len(wrong)} of {len(paths)} videos tried are too short: {wrong[0]}", remedy)


def _row(name: str, place: str, found: Diagnosed) -> Finding:
    make = problem if found.severity == "problem" else warning
    return make(name, f"{place}: {found.what} ({found.found})", found.remedy)
