"""How early a network knows: its answers after a share of each video, from what has been seen until then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from actionbook.clips.sampling import Sampler
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
Clip = tuple[int, tuple[int, ...]]
"""A video's place in the list of test videos, and the numbers of the clip's frames."""


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
    samples, sampling = tested_samples(stage, index), stage.recipe.sampling
    videos: list[Any] = list(samples.index.items.itertuples(index=False))
    rows: dict[float, list[tuple[str, Clip]]] = {}
    for share in shares:
        rows[share] = []
        for number, video in enumerate(videos):
            # 0.07 of 100 frames are 7, whatever the seventeenth digit says.
            seen = math.ceil(round(video.frames * share, 6))
            if policy == "sampler":
                clips = Sampler(sampling).test(video._replace(frames=seen))
            else:
                clips = [np.array(numbers) for numbers in working_sets(seen, sampling.tested, slot)]
            rows[share] += [(video.item, (number, tuple(frames.tolist()))) for frames in clips]
        if not rows[share]:
            raise BookError(f"of {len(samples)} videos none is long enough for a clip: ask for a larger share")
    # A working set belongs to every share that is not over before it: each clip is computed once.
    places = {clip: place for place, clip in enumerate(dict.fromkeys(clip for of in rows.values() for _, clip in of))}
    asked = [(videos[number].item, number, np.array(frames)) for number, frames in places]
    table = pd.DataFrame(asked, columns=["item", "number", "frames"])
    _, every = run_samples(engine.run, samples, table, stage.recipe.export.inference_batch, stage.workers)
    found: dict[float, Predictions] = {}
    for share, of in rows.items():
        items, outputs = [item for item, _ in of], every[[places[clip] for _, clip in of]]
        if policy == "working set":
            items, outputs = _running(items, outputs)
        found[share] = predictions(stage, index, items, outputs)
    return found


def _running(items: Sequence[str], outputs: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The running prediction of every item after its last set, as logarithms of probabilities."""
    running: dict[str, np.ndarray] = {}
    for item, probabilities in zip(items, softmax(outputs), strict=True):
        running[item] = running_mean(probabilities, running.get(item))
    least = np.finfo(np.float64).tiny  # a class may be as good as impossible, but has to be a finite number
    return list(running), np.log(np.maximum(np.stack(list(running.values())), least))


def share_table(found: Mapping[str, Mapping[float, Predictions]]) -> pd.DataFrame:
    """The main score by policy and share: one row a share, a column for each policy (or network) of `found`."""
    table = pd.DataFrame({name: {share: one.score.value for share, one in of.items()} for name, of in found.items()})
    return table.rename_axis("share seen").reset_index()
