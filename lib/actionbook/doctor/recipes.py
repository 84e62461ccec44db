"""Checks of a recipe against what it names: splits, weights, figures; and advice on values that rarely are meant so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actionbook.doctor.findings import Check, Finding, ok, problem, warning

if TYPE_CHECKING:
    from actionbook.core.recipe import Recipe
    from actionbook.core.workspace import Stage


def recipe_checks(stage: Stage) -> dict[str, Check]:
    """The checks by name."""
    return {
        "recipe": lambda: names(stage),
        "weights": lambda: weights(stage),
        "figures": lambda: figures(stage.recipe),
        "advice": lambda: advice(stage),
    }


def recipe_networks(stage: Stage) -> list[dict[str, object]]:
    """The different networks of a recipe's runs, as `doctor.trial` takes them."""
    found: dict[str, dict[str, object]] = {}
    for name, own in runs_of(stage).items():
        one: dict[str, object] = {
            "name": own.recipe.model.name,
            "classes": len(own.manifest.classes),
            "options": own.recipe.model_options,
            "trainable": list(own.recipe.training.trainable),
            "weights": _weights_of(own),
        }
        found.setdefault(str(one), {**one, "run": name})
    return list(found.values())


def _weights_of(stage: Stage) -> list[dict[str, object]]:
    """Path, layout and `skip` of each file that a run starts from, as far as it is found."""
    from actionbook.core.errors import BookError  # noqa: PLC0415
    from actionbook.core.manifest import load_weights  # noqa: PLC0415

    start, found = stage.recipe.weights, list[dict[str, object]]()
    if start is None or start.run is not None:
        return []
    for name in start.files:
        try:
            source = load_weights(str(start.manifest)).file(name)
        except BookError:
            continue
        path = stage.data_root / "weights" / source.name
        if path.is_file():
            found.append({"path": str(path), "layout": source.layout, "skip": list(start.skipped(name))})
    return found


def runs_of(stage: Stage) -> dict[str, Stage]:
    """The stages of all runs of all streams, by name: ``<run>``, or ``<stream>/<run>`` where there are streams."""
    return {
        f"{name}/{run.name}" if stage.recipe.streams else run.name: stream.for_run(run)
        for name, stream in stage.streams.items()
        for run in stream.recipe.training.runs
    }


def names(stage: Stage) -> Iterator[Finding]:
    """Each run's split exists in its manifest."""
    runs, wrong = runs_of(stage), []
    for manifest, split in {own.manifest.name: (own.manifest, own.recipe.data.split) for own in runs.values()}.values():
        if str(split) not in manifest.splits:
            wrong.append(f"data.split is {split}, but {manifest.name} has the splits {', '.join(manifest.splits)}")
    for message in wrong:
        yield problem("recipe", message, "set data.split to one of them")
    if not wrong:
        yield ok("recipe", f"{stage.recipe.chapter}/{stage.recipe.name} is valid; its runs: {', '.join(runs)}")


def weights(stage: Stage) -> Iterator[Finding]:
    """Each weight file that some run starts from: its entry, its layout, its size, and its table of contents."""
    seen: set[tuple[str | None, str]] = set()
    for own in runs_of(stage).values():
        start = own.recipe.weights
        if start is None:
            continue
        for name in start.files:
            if (start.manifest, name) not in seen:
                seen.add((start.manifest, name))
                yield _weight_file(own, str(start.manifest), name)
    if not seen:
        yield ok("weights", "no run starts from a published file")


def _weight_file(stage: Stage, book: str, name: str) -> Finding:
    from actionbook.core.manifest import load_weights  # noqa: PLC0415
    from actionbook.core.paths import shown  # noqa: PLC0415
    from actionbook.weights.errors import WeightsError  # noqa: PLC0415
    from actionbook.weights.layouts import get_layout  # noqa: PLC0415
    from actionbook.weights.reader import opened  # noqa: PLC0415

    manifest = load_weights(book)
    source = manifest.file(name)
    get_layout(source.layout)
    path = stage.data_root / "weights" / source.name
    if not path.is_file():
        remedy = f"get it from {source.url or manifest.homepage} and put it there"
        return problem("weights", f"{shown(path)} is missing", remedy)
    size = path.stat().st_size
    if source.bytes is not None and size != source.bytes:
        message = f"{shown(path)} has {size} bytes, the manifest says {source.bytes}"
        return problem("weights", message, "fetch the file again")
    try:
        with opened(path) as file:
            held = f"{file.origin.place}, {len(file.arrays)} tensors"
    except WeightsError as error:
        return problem("weights", str(error), "mend what the message names, then ask the doctor again")
    return ok("weights", f"{shown(path)}: {held}, {size} bytes (its digest is verified before it is used)")


def figures(recipe: Recipe) -> Iterator[Finding]:
    """The published figures that the recipe aims at exist."""
    from actionbook.results.published import aims_of  # noqa: PLC0415

    yield ok("figures", f"{len(aims_of(recipe))} published figures are aimed at, all of them known")


def advice(stage: Stage) -> Iterator[Finding]:
    """Values that work and are rarely meant; not the habits of the originals, such as lr_steps beyond the end."""
    odd = [row for own in runs_of(stage).values() for row in _odd(own.recipe)]
    yield from dict.fromkeys(odd)
    if not odd:
        yield ok("advice", "no value that is rarely meant so")


def _odd(recipe: Recipe) -> Iterator[Finding]:
    sampling, training, high = recipe.sampling, recipe.training, recipe.transforms.height
    stored = recipe.data.frames.height
    if 0 < training.epochs <= training.warmup_epochs:
        message = f"the rate rises for {training.warmup_epochs} epochs, the training has {training.epochs}"
        yield warning("warm-up", message, "lower training.warmup_epochs, unless this is a trial")
    if recipe.untrained:
        yield warning("random layers", recipe.untrained, "train them, or start from weights that have them")
    if sampling.name == "windows" and sampling.window < (span := sampling.tested * sampling.stride):
        message = f"a window has {sampling.window} frames, a clip spans {span}: each is repeated to fill it"
        yield warning("windows", message, f"set sampling.window to {span}")
    if stored is not None and high > stored:
        message = f"clips are {high} pixels high, frames are stored with {stored}: they are enlarged"
        yield warning("size", message, "raise data.frames.height, or lower transforms.size")
    box, frames = recipe.transforms.box, recipe.data.frames
    if box and not recipe.data.frames_folder and (frames.side, frames.height) == ("short", box[1]):
        message = f"frames are stored with a shorter side of {stored}, which the box {list(box)} leaves as they are"
        yield warning("box", message, "store them with another, or leave transforms.box out and keep their aspect")
    if training.loss_scale != 1 and training.amp_level == "O0":
        message = f"loss_scale is {training.loss_scale:g}, but amp_level O0 computes in 32 bits"
        yield warning("loss scale", message, "set training.loss_scale to 1, or training.amp_level to O2")
    if training.loss_scale == 1 and training.amp_level in ("O2", "O3") and training.epochs:
        message = f"amp_level {training.amp_level} computes in 16 bits, where small gradients become 0"
        yield warning("loss scale", message, "set training.loss_scale, to 1024 for example")
