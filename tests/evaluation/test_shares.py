"""After a share of a video a network has seen that share and nothing else, by either way of choosing frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actionbook.clips.samples import Samples
from actionbook.clips.sampling import centre_clip
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import store_path
from actionbook.evaluation.predict import run_samples, tested_samples
from actionbook.evaluation.shares import after_shares, share_table
from actionbook.inference import Online
from actionbook.tasks.pooling import softmax
from actionbook.video.frame_folder import open_frames

CENTRE = {"name": "centre", "frames": 4, "stride": 2}


class Engine:
    """Logits that are means of red and green, so that every frame counts; keeps how many clips it got at once."""

    name, sha256, batch_size, spec = "means", "", None, None

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, batch: Any) -> np.ndarray:
        clips = batch if isinstance(batch, np.ndarray) else batch["image"]
        self.sizes.append(len(clips))
        return clips.mean((2, 3, 4))[:, :2] / 10


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The frame numbers of every tested clip, as they are read."""
    numbers: list[np.ndarray] = []
    test = Samples.test

    def noted(self: Samples, number: int, indices: np.ndarray) -> Any:
        numbers.append(indices)
        return test(self, number, indices)

    monkeypatch.setattr(Samples, "test", noted)
    return numbers


def test_the_sampler_sees_what_was_seen(prepared: Any, tiny_stage: Callable[..., Stage], read: Any) -> None:
    stage = tiny_stage(sampling=CENTRE)
    found = after_shares(Engine(), stage, prepared.index, shares=(0.3, 1.0))
    frames = prepared.index.subset("test").items.frames.tolist()
    seen = [math.ceil(n * 3 / 10) for n in frames] + frames
    wanted = sorted(centre_clip(n, 4, 2).tolist() for n in seen)
    assert sorted(numbers.tolist() for numbers in read) == wanted
    assert {share: (one.score.evaluated, one.score.expected) for share, one in found.items()} == {
        0.3: (14, 14),
        1.0: (14, 14),
    }
    samples = tested_samples(stage, prepared.index)
    _, outputs = run_samples(Engine().run, samples, samples.tests, 5, workers=1)
    np.testing.assert_array_equal(found[1.0].outputs, outputs)


@pytest.mark.parametrize("slot", [None, 5])
def test_the_working_set_says_what_it_says_online(
    prepared: Any, tiny_stage: Callable[..., Stage], slot: int | None
) -> None:
    stage, engine = tiny_stage(sampling=CENTRE), Engine()
    found = after_shares(engine, stage, prepared.index, "working set", slot=slot)
    assert max(engine.sizes) == stage.recipe.export.inference_batch  # several clips at once
    online = Online(Engine().run, stage.recipe.transforms, 4, slot=slot)
    for share, one in found.items():
        assert list(one.items) == prepared.index.subset("test").items.item.tolist()
        for row, outputs in zip(prepared.index.subset("test").items.itertuples(), one.outputs, strict=True):
            frames = open_frames(store_path(prepared.store, row.store)).read(range(math.ceil(share * row.frames)))
            *_, last = online.follow(frames)
            np.testing.assert_allclose(softmax(outputs), last.probabilities, atol=1e-6)


def test_videos_that_are_too_short_by_then_are_misses(prepared: Any, tiny_stage: Callable[..., Stage]) -> None:
    stage = tiny_stage()
    frames = prepared.index.subset("test").items.frames
    share = 1.01 / frames.max()  # two frames of the longest ones, one of the others, which is none of a window
    found = after_shares(Engine(), stage, prepared.index, shares=(share, 1.0))
    assert found[share].score.evaluated == (np.ceil(frames * share) > 1).sum()
    assert found[share].score.expected == 14
    with pytest.raises(BookError, match="of 14 videos none is long enough for a clip: ask for a larger share"):
        after_shares(Engine(), stage, prepared.index, shares=(0.01,))


def test_impossible_classes_are_finite(prepared: Any, tiny_stage: Callable[..., Stage]) -> None:
    engine = Engine()
    engine.run = lambda batch: np.repeat([[0.0, 1e4]], len(batch["image"]), 0).astype(np.float32)  # type: ignore[method-assign]
    found = after_shares(engine, tiny_stage(sampling=CENTRE), prepared.index, "working set", shares=(1.0,))
    assert found[1.0].score.value == 0.5


def test_the_table(prepared: Any, tiny_stage: Callable[..., Stage]) -> None:
    stage = tiny_stage(sampling=CENTRE)
    found = {policy: after_shares(Engine(), stage, prepared.index, policy) for policy in ("sampler", "working set")}
    table = share_table(found)
    assert table.columns.tolist() == ["share seen", "sampler", "working set"]
    assert table["share seen"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert table.sampler.tolist() == [one.score.value for one in found["sampler"].values()]


@pytest.mark.parametrize("shares", [(), (0.0, 1.0), (0.5, 1.5), (math.nan,)])
def test_shares_are_shares(shares: tuple[float, ...], prepared: Any, tiny_stage: Callable[..., Stage]) -> None:
    with pytest.raises(BookError, match=r"shares \[.*\]: expected numbers above 0, of at most 1"):
        after_shares(Engine(), tiny_stage(), prepared.index, shares=shares)
