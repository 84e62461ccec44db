"""All checks in order: the machine first, since without it the others cannot be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from actionbook.core.errors import BookError
from actionbook.core.parameters import folder
from actionbook.core.paths import NOTEBOOKS, default_work_root, expanded, is_address
from actionbook.doctor.ascend import ascend_checks
from actionbook.doctor.data import data_checks
from actionbook.doctor.environment import environment_checks
from actionbook.doctor.findings import Finding, run_checks
from actionbook.doctor.machine import machine_checks
from actionbook.doctor.places import place_checks
from actionbook.doctor.recipes import recipe_checks, recipe_networks
from actionbook.doctor.workspaces import workspace_checks

if TYPE_CHECKING:
    from actionbook.core.workspace import Stage


def doctor(
    recipe: str | None = None,
    *,
    data_root: Path | str | None = None,
    work_root: Path | str | None = None,
    device: str = "auto",
) -> list[Finding]:
    """Look at everything that the book needs here, and change nothing: a row for each thing found, in order.

    `recipe` is ``<chapter>/<name>`` or the path of a recipe file; with None only machine and packages are looked at.
    `data_root` and `work_root` are as for the notebooks, `device` is ``auto``, ``CPU``, ``GPU`` or ``Ascend``. A check
    that fails itself is a row too. It takes some ten seconds, most of them for MindSpore; roots in object storage are
    fetched first. Raises BookError for a work root that is neither a path nor an address.
    """
    root = _work_root(work_root)
    opened: list[tuple[Stage, list[dict[str, object]]]] = []
    found: list[Finding] = []
    if recipe is not None:
        found = run_checks("recipe", lambda: {"recipe": lambda: _open(recipe, data_root, work_root, device, opened)})
    stage, networks = opened[0] if opened else (None, [])
    rows = run_checks(
        "environment", lambda: environment_checks(device, networks) | place_checks() | machine_checks(root, stage)
    )
    rows += run_checks("Ascend", lambda: ascend_checks(device, stage.recipe if stage else None)) + found
    if stage is not None:
        for section, checks in (("recipe", recipe_checks), ("data", data_checks), ("workspace", workspace_checks)):
            rows += run_checks(section, partial(checks, stage))
    return rows


def _work_root(value: Path | str | None) -> Path:
    if not is_address(value):
        return folder("work_root", value, default_work_root())
    from actionbook.core import remote  # noqa: PLC0415 (needs packages that may be missing)

    return remote.root("work_root", value, default_work_root())


def _open(
    recipe: str,
    data_root: Path | str | None,
    work_root: Path | str | None,
    device: str,
    opened: list[tuple[Stage, list[dict[str, object]]]],
) -> Iterator[Finding]:
    """Load the recipe, and put the stage that a notebook would have into `opened`; no row if all is well.

    Raises BookError for a recipe, device or manifest that cannot be used.
    """
    from actionbook.core.recipe import Recipe  # noqa: PLC0415 (needs packages that may be missing)
    from actionbook.core.workspace import Stage  # noqa: PLC0415

    if recipe.endswith((".yaml", ".yml")):
        chapter, name = Recipe.load(expanded(recipe)).chapter, recipe
    else:
        chapter, slash, name = recipe.partition("/")
        if not slash:
            known = ", ".join(f"{path.parts[-3]}/{path.stem}" for path in sorted(NOTEBOOKS.glob("*/recipes/*.yaml")))
            raise BookError(
                f"recipe {recipe!r}: expected <chapter>/<name>, one of {known}, or the path of a .yaml file"
            )
    stage = Stage.open(chapter, "doctor", recipe=name, data_root=data_root, work_root=work_root, device=device)
    opened.append((stage, recipe_networks(stage)))
    yield from ()
