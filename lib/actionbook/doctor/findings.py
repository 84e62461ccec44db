"""What a check finds, and a way to run checks so that none can stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from actionbook.core.errors import BookError

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One row of the doctor's table."""

    check: str
    """What was looked at, in a word or two."""
    status: Status
    """ok; warning: works, but read this; problem: something of the book will not run."""
    message: str
    """What was found, in one sentence."""
    remedy: str = ""
    """What to do about it; empty where all is well."""
    section: str = ""
    """environment, Ascend, recipe, data or workspace."""


def ok(check: str, message: str) -> Finding:
    """A row of a thing that is as it should be."""
    return Finding(check, "ok", message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """A row of a thing that works, but not as well or not for everything."""
    return Finding(check, "warning", message, remedy)


def problem(check: str, message: str, remedy: str) -> Finding:
    """A row of a thing that will stop a notebook."""
    return Finding(check, "problem", message, remedy)


Check = Callable[[], Iterable[Finding]]


def run_checks(section: str, checks: Callable[[], dict[str, Check]]) -> list[Finding]:
    """The rows of all checks, which `checks` gives by name. One that fails itself becomes a problem row."""
    found: list[Finding] = []
    try:
        named = checks()
    except (Exception, SystemExit) as error:
        return [replace(_failed(section, error), section=section)]
    for name, check in named.items():
        try:
            for row in check():  # one by one: what came before a failure is kept
                found.append(replace(row, section=section))
        except (Exception, SystemExit) as error:
            found.append(replace(_failed(name, error), section=section))
    return found


def _failed(name: str, error: BaseException) -> Finding:
    """A row for a check that raised: an error of the book has its remedy in it, another is shown with its type."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, BookError):
        return problem(name, text, "mend what the message names, then ask the doctor again")
    if isinstance(error, ImportError):
        return problem(name, f"{text}, so this could not be checked", "run `make install`")
    return problem(
        name, f"this check itself failed: {type(error).__name__}: {text}", "report it with the versions shown above"
    )
