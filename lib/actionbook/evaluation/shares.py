"""How early a network knows: its answers after a share of each video, from what has been seen until then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from actionbook.clips.samples import Samples
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.datasets.index import Index
from actionbook.evaluation.predict import predictions, run_samples, tested_samples
from actionbook.inference import Engine
from actionbook.inference.online import running_mean, working_sets
from actionbook.tasks import Predictions
from actionbook.tasks.pooling import softmax

SHARES = (0.25, 0.5, 0.75, 1.0)
Policy = Literal["sampler", "working set"]


def after_shares(
    engine: Engine,
    stage: Stage,
    index: Index,
    policy: Policy = "sampler",
    *,
    shares: Sequence[float] = SHARES,
    slot: int | None = None,
) -> dict[float, Predictions]:
    """The predictions for the test videos of `index` after each of `shares` of their frames, rounded up.

    "sampler": what the recipe's sampling makes of a video that ends there; with segments, one frame of each equal part
    of what was seen. "working set": the running prediction of `inference.Online` at the end of such a stream, with
    slots of `slot` frames (None: as many as a clip has); its outputs are logarithms of probabilities. Both give one
    answer at any time, the first at the price of all frames kept. A video that is too short for a clip then is a miss.
    For classification. Raises BookError for a share outside 0..1, and where no video is long enough.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise BookError(f"shares {list(shares)}: expected numbers above 0, of at most 1")
    samples = tested_samples(stage, index)
    clips = {"sampler": _sampled, "working set": _online}[policy]
    return {share: predictions(stage, index, *clips(engine, stage, _until(samples, share), slot)) for share in shares}


def share_table(found: Mapping[str, Mapping[float, Predictions]]) -> pd.DataFrame:
    """The main score by policy and share: one row a share, a column for each policy (or network) of `found`."""
    table = pd.DataFrame({name: {share: one.score.value for share, one in of.items()} for name, of in found.items()})
    return table.rename_axis("share seen").reset_index()


def _until(samples: Samples, share: float) -> Samples:
    """The same videos, as if each ended after this share."""
    items = samples.index.items
    # 0.07 of 100 frames are 7, whatever the seventeenth digit says.
    seen = [math.ceil(round(frames * share, 6)) for frames in items.frames]
    return replace(samples, index=samples.index.with_items(items.assign(frames=seen)))


def _sampled(engine: Engine, stage: Stage, samples: Samples, _: int | None) -> tuple[list[str], np.ndarray]:
    return _run(engine, stage, samples, samples.tests)


def _online(engine: Engine, stage: Stage, samples: Samples, slot: int | None) -> tuple[list[str], np.ndarray]:
    frames = stage.recipe.sampling.tested
    rows = [
        (item, number, np.array(numbers))
        for number, (item, seen) in enumerate(zip(samples.index.items.item, samples.index.items.frames, strict=True))
        for numbers in working_sets(seen, frames, slot)
    ]
    items, outputs = _run(engine, stage, samples, pd.DataFrame(rows, columns=["item", "number", "frames"]))
    running: dict[str, np.ndarray] = {}
    for item, probabilities in zip(items, softmax(outputs), strict=True):
        running[item] = running_mean(probabilities, running.get(item))
    least = np.finfo(np.float64).tiny  # a class may be as good as impossible, but has to be a finite number
    return list(running), np.log(np.maximum(np.stack(list(running.values())), least))


def _run(engine: Engine, stage: Stage, samples: Samples, table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    if table.empty:
        raise BookError(f"of {len(samples)} videos none is long enough for a clip: ask for a larger share")
    return run_samples(engine, samples, table, stage.recipe.export.inference_batch, stage.workers)
