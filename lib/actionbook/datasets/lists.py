"""What the readers of all data sets share: text lists, the splits of a manifest, and videos that are missing."""

from __future__ import annotations

from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, Split
from actionbook.core.paths import shown
from actionbook.datasets.index import Index, make_index


class MissingVideos(BookError):
    """Videos of the lists do not exist; `index` holds all the same a row for each, with an empty path."""

    def __init__(self, message: str, index: Index) -> None:
        super().__init__(message)
        self.index = index


def split_of(manifest: DatasetManifest, split: int) -> Split:
    """The numbers of one split. Raises BookError listing the splits that exist, and as `check_class_folders`."""
    if str(split) not in manifest.splits:
        raise BookError(f"{manifest.name}: there is no split {split}, only {', '.join(manifest.splits)}")
    check_class_folders(manifest)
    return manifest.splits[str(split)]


def read_text(path: Path) -> str:
    """The text of a list file, UTF-8. Raises BookError with the remedy if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BookError(f"{shown(path)}: cannot be read ({why}); unpack the train/test lists there") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a list file without empty ones and spaces around them; line ends may be CR LF or LF."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def video_files(root: Path, folder: str, manifest: DatasetManifest) -> dict[tuple[str, str], str]:
    """Paths below `root` of the videos in ``<folder>/<class>/``, by (class, file name without suffix).

    One look into each class folder, not one for each video.
    """
    suffix = manifest.layout.suffix
    return {
        (label, path.name.removesuffix(suffix)): path.relative_to(root).as_posix()
        for label in manifest.classes
        for path in sorted((root / folder / label).glob("*"))
        if path.name.endswith(suffix)
    }


def check_class_folders(manifest: DatasetManifest) -> None:
    """Raise BookError where the classes of a layout that has a folder for each cannot be names of folders."""
    unfit = [name for name in manifest.classes if "/" in name or name in (".", "..")]
    if unfit:
        raise BookError(
            f"{manifest.name}: every class is a folder in the layout of {manifest.dataset}, which "
            f"{', '.join(unfit[:5])} cannot be; rename them"
        )


def finish_index(root: Path, manifest: DatasetManifest, rows: list[dict[str, object]], allow_missing: bool) -> Index:
    """The index of `rows`, whose ``path`` is empty where a video does not exist.

    Raises MissingVideos listing videos that are missing; with `allow_missing` only if all are.
    """
    index = make_index([{"store": f"{row['label']}/{row['video']}", **row} for row in rows])
    missing = index.items["item"][index.items.path == ""].tolist()
    if missing and (not allow_missing or len(missing) == len(index)):
        names = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        sources = "; ".join(f"{source.name} from {source.url}" for source in manifest.sources if source.url)
        raise MissingVideos(
            f"{shown(root / manifest.layout.videos)}: {len(missing)} of the {len(index)} videos of {manifest.name} are "
            f"missing: {names}. "
            + (f"The data set is published as {sources}. " if sources else "")
            + "To work with a partial copy, set data.allow_missing; every result then says how many videos it lacks.",
            index,
        )
    return index
