"""Two-stream chapters: a recipe and a workspace for each modality, and one for both together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage

MODALITIES = ("rgb", "flow")


@dataclass(frozen=True)
class Streams:
    """The stages of one notebook of a two-stream chapter.

    Of recipe ``<name>`` the streams are the recipes ``<name>_rgb`` and ``<name>_flow``: each with its own workspace,
    prepared, trained, converted and evaluated like any other recipe. ``<name>`` itself holds what concerns both.
    """

    stages: dict[str, Stage]
    """By modality, RGB first; only the one that was asked for, or both."""
    joint: Stage | None
    """The recipe of both together; None where only one was asked for."""

    @classmethod
    def open(cls, chapter: str, name: str, namespace: dict[str, Any], extra: tuple[str, ...] = ()) -> Streams:
        """Begin the stage `name` with the parameters in a notebook's `namespace`, one of which is `modality`.

        `extra` names parameters that only this notebook has.

        ``modality`` is "rgb", "flow" or "joint" (both). A recipe that is called ``<name>_rgb`` or ``<name>_flow`` names
        its stream itself. Raises BookError as `Stage.open`, and for another modality.
        """
        modality, recipe = namespace.get("modality"), namespace.get("recipe")
        if modality not in (*MODALITIES, "joint"):
            raise BookError(f"modality {modality!r}: expected rgb, flow or joint (both)")
        if not isinstance(recipe, str):
            raise BookError(f"recipe: expected a name or the path of a YAML file, found {recipe!r}")
        file = Path(recipe)
        suffix = file.suffix if file.suffix in (".yaml", ".yml") else ""
        stem = recipe.removesuffix(suffix)
        for own in MODALITIES:
            if stem.endswith(f"_{own}"):
                stem, modality = stem.removesuffix(f"_{own}"), own
                break

        def begin(which: str) -> Stage:
            return Stage.open(chapter, name, {**namespace, "recipe": f"{which}{suffix}"}, extra=("modality", *extra))

        chosen = MODALITIES if modality == "joint" else (modality,)
        stages = {own: begin(f"{stem}_{own}") for own in chosen}
        for own, stage in stages.items():
            if stage.recipe.clips.modality != own:
                raise BookError(
                    f"recipe {stage.recipe.name!r}: clips.modality is {stage.recipe.clips.modality!r}, expected {own!r}"
                )
        return cls(stages, begin(stem) if modality == "joint" else None)

    def __iter__(self) -> Iterator[tuple[str, Stage]]:
        """(modality, stage) of every stream."""
        return iter(self.stages.items())

    @property
    def first(self) -> Stage:
        """The first stream's stage, for what all have in common."""
        return next(iter(self.stages.values()))

    @property
    def all(self) -> list[Stage]:
        """The stages of the streams, and the joint one if there is one."""
        return [*self.stages.values(), *([self.joint] if self.joint else [])]
