"""What could not be prepared: as a table, as a file, and as an error if it is too much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import write_bytes_atomic

_LISTED = 20


def check_failures(
    table: pd.DataFrame, files: Mapping[str, Path], *, what: str, max_failed: float, setting: str, report: Path | None
) -> pd.DataFrame:
    """`table` (columns video, error, note, ...), if the share of failures is not above `max_failed`; else BookError.

    The failures are written to `report`, if one is wanted, as CSV (video, file, reason, note); `files` says which file
    each video is. `what` is what failed ("could not be prepared"), `setting` names what allows the share.
    """
    failed = table[table.error != ""]
    if report is not None:
        paths = [str(files[video]) for video in failed.video]
        rows = pd.DataFrame({"video": failed.video, "file": paths, "reason": failed.error, "note": failed.note})
        # Names of files need not be UTF-8.
        write_bytes_atomic(report, rows.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace"))
    if len(failed) <= max_failed * len(table):
        return table
    more = [f"and {len(failed) - _LISTED} more"] if len(failed) > _LISTED else []
    listed = "\n".join([*failed.error.head(_LISTED), *more])
    where = f"; all of them are listed in {report}" if report is not None else ""
    raise BookError(
        f"{len(failed)} of {len(table)} videos {what}, {setting} allows a share of {max_failed:g}{where}:\n{listed}"
    )
