"""What could not be prepared: as a table, as a file, and as an error if it is too much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import write_bytes_atomic

_LISTED = 20


def write_failures(path: Path | str, table: pd.DataFrame, files: Mapping[str, Path]) -> None:
    """Write the failed videos of `table` as CSV (video, file, reason, note) to `path`, in one step.

    `table` has the columns video, error and note; `files` says which file each video is. Without failures there is
    only the line with the names of the columns.
    """
    failed = table[table.error != ""]
    rows = pd.DataFrame(
        {
            "video": failed.video,
            "file": [str(files[video]) for video in failed.video],
            "reason": failed.error,
            "note": failed.note,
        }
    )
    # Names of files need not be UTF-8.
    write_bytes_atomic(path, rows.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace"))


def check_failures(
    table: pd.DataFrame, files: Mapping[str, Path], *, what: str, max_failed: float, setting: str, report: Path | None
) -> None:
    """Write the failures to `report`, if one is wanted, and raise BookError if their share is above `max_failed`.

    `what` is what failed ("could not be prepared"), `setting` names what allows the share.
    """
    if report is not None:
        write_failures(report, table, files)
    failed = table[table.error != ""]
    if len(failed) <= max_failed * len(table):
        return
    more = [f"and {len(failed) - _LISTED} more"] if len(failed) > _LISTED else []
    listed = "\n".join([*failed.error.head(_LISTED), *more])
    where = f"; all of them are listed in {report}" if report is not None else ""
    raise BookError(
        f"{len(failed)} of {len(table)} videos {what}, {setting} allows a share of {max_failed:g}{where}:\n{listed}"
    )
