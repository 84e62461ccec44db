"""From a network and samples to predictions: the one way in which every format is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from mindspore import nn

from actionbook.clips.pipeline import tested
from actionbook.clips.samples import Samples, batched
from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json, write_json_atomic
from actionbook.core.recipe import Recipe
from actionbook.core.spec import Arrays, Shape, Spec
from actionbook.core.workspace import Stage
from actionbook.datasets.ava import at_every
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.index import Index
from actionbook.inference import NetworkEngine, read_results, run_batches
from actionbook.tasks import Predictions, task_of

FLOORS = ("video", "clips", "models", "inference")
"""Of the library: those whose code takes part in a prediction; scores are computed anew each time."""


@lru_cache(maxsize=2)
def _engine(network: nn.Cell, batch: int, inputs: tuple[tuple[str, Shape], ...], output: Shape | None) -> NetworkEngine:
    """One compilation for all validations and the test of a network; weights are read afresh at every call."""
    return NetworkEngine(network, batch, Spec(dict(inputs), output))


def engine_of(network: nn.Cell, spec: Spec, batch: int) -> NetworkEngine:
    """The engine of a network for batches of this size; that of one of the last two calls, where it is the same."""
    return _engine(network, batch, tuple(spec.inputs.items()), spec.output)


def samples_of(stage: Stage, index: Index) -> Samples:
    """The samples of some items by the stage's recipe."""
    store = dataset_of(stage).store(stage.recipe.transforms.modality)
    return Samples(index, store, stage.recipe, len(stage.manifest.classes))


def tested_samples(stage: Stage, index: Index) -> Samples:
    """The samples that are tested: of all prepared test items. Those too short for a clip have none and are misses.

    Raises BookError where no clip can be tested.
    """
    samples = samples_of(stage, index.subset("test"))
    if not len(samples):
        raise BookError("there are no test videos: look at the failures in notebook 01_data")
    if not len(samples.tests) and not samples.too_short:
        score = stage.recipe.data.boxes.min_score
        raise BookError(f"no test keyframe has a detected box of a score of at least {score:g} (data.boxes.min_score)")
    if not len(samples.tests):
        names = ", ".join(samples.too_short[:10])
        raise BookError(f"all {len(samples)} test videos are too short for a clip ({names}): look at notebook 01_data")
    return samples


def without_clip(stage: Stage, index: Index) -> dict[str, str]:
    """Test items that no clip can be tested of, in order, with the reason: each is a miss."""
    short = set(samples_of(stage, index.subset("test")).too_short)
    items = expected(index).items
    return {
        item: f"too short for a clip ({frames} frame{'s' if frames != 1 else ''})" if frames else "no frames"
        for item, frames in zip(items.item, items.frames, strict=True)
        if not frames or item in short
    }


def expected(index: Index) -> Index:
    """All test items that should be evaluated, missing ones included, in the list's order."""
    return index.of_subset("test")


def predictions(stage: Stage, index: Index, items: Sequence[str], outputs: np.ndarray) -> Predictions:
    """What outputs for the tested samples of `index` come down to, by the stage's task and protocol."""
    recipe = stage.recipe
    return Predictions(items, outputs, expected(index), recipe.evaluation, task_of(recipe.task))


def missing_rule(streams: Mapping[str, Stage], index: Index) -> Literal["error", "miss"]:
    """What `fuse` is to do with items that one stream alone has predicted: where some have no clip, they are misses."""
    return "miss" if any(without_clip(stream, index) for stream in streams.values()) else "error"


@dataclass(frozen=True)
class SampleBatches:
    """The tested samples as `inference.Batches` that are read, decoded and cut as they are needed."""

    samples: Samples
    batch_size: int
    sha256: str
    """Digest of all that decides the outputs."""
    workers: int

    def __str__(self) -> str:
        return f"{len(self.samples.tests)} tested samples"

    @cached_property
    def spec(self) -> Spec:
        """What the recipe says of tested samples."""
        return self.samples.recipe.spec(self.samples.classes)

    @cached_property
    def ids(self) -> tuple[tuple[str, ...], ...]:
        """The items of each batch."""
        items = self.samples.tests.item.tolist()
        return tuple(tuple(items[first : first + self.batch_size]) for first in range(0, len(items), self.batch_size))

    def ready(self, numbers: Sequence[int]) -> Iterator[Arrays]:
        """See `Batches.ready`. One stream for all, so that the next clips are being read while the network works."""
        rows = [number * self.batch_size + row for number in numbers for row in range(len(self.ids[number]))]
        for _, inputs in batched(tested(self.samples, self.samples.tests.iloc[rows], self.workers), self.batch_size):
            yield self.spec.padded(inputs, str(self), self.batch_size)


def predict_test(network: nn.Cell, stage: Stage, index: Index) -> Predictions:
    """All tested samples of `index`, by the protocol of the stage's recipe, through a network.

    Outputs are kept in the workspace, by all that decides them: an evaluation that was interrupted goes on, and one
    that is finished is read. Raises BookError if the number of samples is not the expected one.
    """
    return predictions(stage, index, *read_results(*predict_share(network, stage, index)))


def predict_share(
    network: nn.Cell, stage: Stage, index: Index, rank: int = 0, count: int = 1
) -> tuple[Path, SampleBatches]:
    """Run the tested samples that belong to process `rank` among `count` and have no output yet.

    Returns where the outputs of all of them lie, and what they are of; see `read_results`.
    """
    samples = tested_samples(stage, index)
    batch = stage.recipe.export.inference_batch
    engine = engine_of(network, stage.recipe.spec(samples.classes), batch)
    basis = _rests_on(engine.sha256, stage, samples, batch)
    batches = SampleBatches(samples, batch, sha256_json(basis), stage.workers)
    folder = stage.folder / "predictions" / batches.sha256[:16]
    if rank == 0 and not (folder / "rests_on.json").is_file():
        write_json_atomic(folder / "rests_on.json", basis)  # for people
    return run_batches(engine, batches, folder, rank=rank, count=count), batches


def _rests_on(network: str, stage: Stage, samples: Samples, batch: int) -> dict[str, Any]:
    """All that decides the outputs, by content."""
    recipe = stage.recipe
    return {
        "network": network,
        "recipe": recipe.sha256("task", "sampling", "transforms", "model"),
        "index": samples.index.sha256,
        "frames": dataset_of(stage).frames_sha256(samples.index, recipe.transforms.modality),
        "batch": batch,
        "device": stage.device,
        "code": runtime.code_sha256(*FLOORS),
    }


def run_samples(
    run: Callable[[Arrays], np.ndarray], samples: Samples, table: pd.DataFrame, batch: int, workers: int
) -> tuple[list[str], np.ndarray]:
    """Run the rows of a table of samples through `Engine.run` or the like: (item of each, outputs (samples, ...))."""
    items: list[str] = []
    outputs: list[np.ndarray] = []
    for names, inputs in batched(tested(samples, table, workers), batch):
        items += names
        outputs.append(run(inputs))
    return items, np.concatenate(outputs)


def centre_validation(stage: Stage, index: Index) -> Callable[[nn.Cell], dict[str, float]]:
    """What `training.runs.train_runs` calls after every epoch: the main score over the middle clip of every test item,
    or of the keyframes of every so many seconds (``evaluation.validate_every``).

    The same figure as the original's prec@1 while training. It is quick and, where a video has several windows, not
    the reported score, which pools all of them.
    """
    recipe: Recipe = stage.recipe
    if recipe.evaluation.validate_every > 1:
        index = at_every(index, stage.manifest, recipe.evaluation.validate_every)
    samples = tested_samples(stage, index)
    middles, batch, task = samples.middles(recipe.sampling.drawn), recipe.export.inference_batch, task_of(recipe.task)
    spec = recipe.with_test_frames(recipe.sampling.drawn).spec(samples.classes)
    evaluation = recipe.evaluation.model_copy(update={"skip_last_video": False})

    def validate(network: nn.Cell) -> dict[str, float]:
        items, outputs = run_samples(engine_of(network, spec, batch).run, samples, middles, batch, stage.workers)
        found = Predictions(items, outputs, samples.index, evaluation, task)
        return {f"centre_clip_{task.main}": round(found.score.value, 6)}

    return validate
