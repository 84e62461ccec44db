"""Names of videos and their folders as people really have them: other spellings, suffixes, and what is no data."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v")
"""Of the containers that downloaders and scripts leave, in small letters."""
_SYSTEM = {"thumbs.db", "desktop.ini", "__macosx"}
_TIMES = re.compile(r"(?P<id>.{11})_(?P<start>\d{1,6})_(?P<end>\d{1,6})", re.DOTALL)


def hidden(name: str) -> bool:
    """Whether a file or folder is none of the data: ``._*``, ``.DS_Store``, ``Thumbs.db``, ``__MACOSX`` and others."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def loose(name: str) -> str:
    """What spellings of one name have in common: without regard to capitals, spaces, underscores and composed accents.

    Two names may be one and the same by that; who has a choice takes the exact one.
    """
    return unicodedata.normalize("NFC", name).casefold().replace(" ", "").replace("_", "")


def without_suffix(name: str, suffixes: tuple[str, ...] = VIDEO_SUFFIXES) -> str | None:
    """The name of a video file without its suffix, or all of them (``.mp4.mkv``); None where it ends in none.

    Capitals of the suffix do not matter; `suffixes` are in small letters.
    """
    stem = name
    while lower := next((suffix for suffix in suffixes if stem.lower().endswith(suffix)), ""):
        stem = stem[: -len(lower)]
    return stem if stem and stem != name else None


def video_key(stem: str) -> str:
    """What all spellings of a video's name, without suffix, have in common: `loose`, and times of Kinetics padded.

    Of ``<11 characters>_<start>_<end>`` (ActivityNet's crawler) both times get six digits; some copies have fewer.
    """
    if match := _TIMES.fullmatch(stem):
        stem = f"{match['id']}_{int(match['start']):06d}_{int(match['end']):06d}"
    return loose(stem)


def youtube_id(stem: str) -> str:
    """The first 11 characters of ``<youtube_id>_<start>_<end>``; empty for any other name."""
    match = _TIMES.fullmatch(stem)
    return match["id"] if match else ""


def nearest(name: str, there: Collection[str], most: int = 1000) -> str:
    """That of the names `there` that is most like `name`, empty if none is; only the first `most` are looked at.

    For error messages: it takes up to a tenth of a second.
    """
    close = difflib.get_close_matches(name, list(there)[:most], n=1, cutoff=0.6)
    return close[0] if close else ""
