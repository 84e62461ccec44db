"""The record of a recipe: what each stage measured, as strict schemas, one file a stage.

The files are ``<workspace>/record/<stage>.json``, so that two stages that finish at once never lose an entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, SerializeAsAny

from actionbook.core.errors import BookError
from actionbook.core.files import TEMPORARY, sweep_temporary, write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.recipe import JOINT
from actionbook.core.schema import Name, Strict, validate
from actionbook.core.sources import Count, Sha256
from actionbook.core.stage_results import (
    AccuracyResults,
    ArchitectureResults,
    ConversionResults,
    DataResults,
    StageResults,
    TrainingResults,
)

FOLDER = "record"
"""Of a workspace: where the files of its record lie."""
SCHEMAS: dict[str, type[StageResults]] = {
    kind.stage: kind for kind in (DataResults, ArchitectureResults, TrainingResults, ConversionResults, AccuracyResults)
}
"""What each stage writes, by the stage's name, in the order in which they run."""
STAGES = tuple(SCHEMAS)

Results = TypeVar("Results", bound=StageResults)


class Head(Strict):
    """Whose record it is."""

    chapter: Name
    recipe: Name
    title: str
    recipe_sha256: Sha256
    streams: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the recipe's streams."""

    def label(self, stream: str) -> str:
        """The recipe and a stream, for people: the recipe alone for its only stream, and for all together."""
        return f"{self.recipe}, {stream}" if len(self.streams) > 1 and stream in self.streams else self.recipe


class StageRun(Strict):
    """When, where and on what a stage ran."""

    name: Name
    finished: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    """ISO 8601, UTC."""
    seconds: float
    timings: dict[str, float]
    """Seconds of parts of the stage, by name."""
    device: str
    devices: Count
    environment: dict[str, str | int | None]
    """As `actionbook.core.runtime.environment` gives it."""
    recipe_sections: dict[str, Sha256]
    """Digest of every section of the recipe."""
    rests_on: dict[str, str]
    """Digests of the content that the results were made from, by what it is."""

    @property
    def date(self) -> str:
        """Day on which the stage finished."""
        return self.finished[:10]


class StageEntry(StageRun):
    """What one stage leaves in a record. Of streams that ran one after another: the last run, and all their results."""

    results: SerializeAsAny[StageResults]

    def with_streams(self, last: StageEntry, now: Mapping[str, str], streams: Sequence[str]) -> StageEntry:
        """This entry of a run of some of the `streams`, and in it what `last` holds of the others.

        Nothing of another machine, library, recipe or data set, and no stream that rests on other content than `now`
        names. What is of all streams together stays where these ones rest on what they did, too.
        """

        def of(key: str) -> str:  # keys of a stream begin with its name
            return key.partition(".")[0]

        both = (self, last)
        shared, before = ({key: sha for key, sha in one.rests_on.items() if of(key) not in streams} for one in both)
        same = ("device", "devices", "environment", "recipe_sections")
        if shared != before or any(getattr(self, name) != getattr(last, name) for name in same):
            return self
        mine, theirs = ({of(key) for key in one.rests_on} & set(streams) for one in both)
        kept = theirs - mine - {of(key) for key, sha in last.rests_on.items() if now.get(key, sha) != sha}
        rests_on = {key: sha for key, sha in last.rests_on.items() if of(key) in kept} | self.rests_on
        together = {JOINT} if rests_on == last.rests_on else set()
        results = self.results.with_streams(last.results, kept | together, (*streams, JOINT))
        return self.model_copy(update={"results": results, "rests_on": rests_on})


class _File(Strict):
    """One file of a record. Which schema the results have follows from the stage."""

    head: Head
    stage: StageRun
    results: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The record of one recipe; stages that have not run are absent."""

    folder: Path
    """The workspace."""
    heads: Mapping[str, Head]
    """By stage: a recipe's title and digest are those of when the stage ran."""
    stages: Mapping[str, StageEntry]

    @property
    def head(self) -> Head:
        """Of the stage that finished last. Raises ValueError where none has."""
        return self.heads[max(self.stages, key=lambda name: (self.stages[name].finished, name))]

    def results(self, kind: type[Results]) -> Results | None:
        """What the stage of this schema has measured, None if it has not run."""
        entry = self.stages.get(kind.stage)
        return entry.results if entry is not None and isinstance(entry.results, kind) else None

    @property
    def generated(self) -> bool | None:
        """Whether the recipe's own data set was made by a program; None if the data stage has not run."""
        data = self.results(DataResults)
        return data.dataset.generated if data else None


def read_record(workspace: Path | str) -> Record:
    """The record in a workspace, one without stages if nothing has run yet.

    Raises BookError naming the file, the key, what was expected and what to do, for a damaged file.
    """
    folder = Path(workspace)
    files = sorted(path for path in (folder / FOLDER).glob("*.json") if not path.name.startswith(TEMPORARY))
    found = {path.stem: _read(path) for path in files}
    owners = {name: f"{head.chapter}/{head.recipe}" for name, (head, _) in found.items()}
    if len(set(owners.values())) > 1:
        listed = ", ".join(f"{name} of {owner}" for name, owner in owners.items())
        raise BookError(
            f"{shown(folder / FOLDER)}: expected the stages of one recipe, found {listed}; remove the others"
        )
    heads = {name: head for name, (head, _) in found.items()}
    return Record(folder, heads, {name: entry for name, (_, entry) in found.items()})


def write_stage(workspace: Path | str, head: Head, entry: StageEntry) -> Path:
    """Put one stage's entry into the record of a workspace, in one step; returns its file. Other stages stay.

    What killed writers have left in the workspace's folder and in its record is removed. Raises BookError for an entry
    that could not be read again.
    """
    folder = Path(workspace)
    path = folder / FOLDER / f"{entry.name}.json"
    data = {
        "head": head.model_dump(mode="json"),
        "stage": entry.model_dump(mode="json", exclude={"results"}),
        "results": entry.results.model_dump(mode="json"),
    }
    _parse(data, path)
    sweep_temporary(folder)
    sweep_temporary(path.parent)
    write_json_atomic(path, data)
    return path


def _read(path: Path) -> tuple[Head, StageEntry]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BookError(f"{shown(path)}: cannot be read as a record ({error}); {_again(path)}") from error
    try:
        return _parse(data, path)
    except BookError as error:
        raise BookError(f"{error}\n{shown(path)}: {_again(path)}") from error


def _again(path: Path) -> str:
    return f"delete it and run notebook {path.stem} again: what is finished is kept"


def _parse(data: Any, path: Path) -> tuple[Head, StageEntry]:
    file = validate(_File, data, shown(path))
    schema = SCHEMAS.get(file.stage.name)
    if schema is None or file.stage.name != path.stem:
        expected = f"'{path.stem}'" if path.stem in SCHEMAS else f"one of {', '.join(STAGES)}"
        raise BookError(f"{shown(path)}: key 'stage.name': expected {expected}, found {file.stage.name!r}")
    results = validate(schema, file.results, f"{shown(path)}: results")
    return file.head, StageEntry(**dict(file.stage), results=results)
