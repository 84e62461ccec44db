"""An estimate of a preparation, against the preparation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actionbook.core.errors import BookError
from actionbook.core.keyframes import Cut
from actionbook.core.sections import Frames
from actionbook.video.estimate import Estimate, estimate
from actionbook.video.prepare import Job, prepare_video

NATIVE = Frames(height=None)
CUT = Cut(start=1, seconds=4, rate=30)


def test_it_comes_near_the_truth(encode: Callable[..., Path], tmp_path: Path) -> None:
    source = encode("yuv420p", frames=130)
    jobs = [Job(f"v{number}", source, tmp_path / f"v{number}.zip", CUT) for number in range(9)]
    found = estimate(jobs, NATIVE)
    stored = 9 * prepare_video(jobs[0], NATIVE).bytes
    assert (found.videos, found.frames, found.sampled) == (9, 9 * 120, 4)
    assert 0.9 * stored < found.bytes < 1.1 * stored
    assert found.cpu_seconds > 0
    assert estimate([], NATIVE) == Estimate(0, 0, 0, 0.0, 0)


def test_a_video_that_cannot_be_decoded_gives_way(encode: Callable[..., Path], tmp_path: Path) -> None:
    good, bad = encode("yuv420p", frames=130), tmp_path / "bad.mp4"
    bad.write_text("no video")
    jobs = [Job(path.stem, path, tmp_path / "v.zip", CUT) for path in (bad, good)]
    assert estimate(jobs, NATIVE).sampled == 1
    with pytest.raises(BookError, match=r"none of 1 videos could be looked at; the last one: .*bad\.mp4: cannot"):
        estimate(jobs[:1], NATIVE)
    with pytest.raises(BookError, match="1 of 1 videos have no cut"):
        estimate([Job("v", good, tmp_path / "v.zip")], NATIVE)


def test_its_words() -> None:
    words = Estimate(299, 8_081_970, 404 * 10**9, 7200.0, 4).words(2)
    assert words == "299 videos, 8,081,970 frames: about 404.0 GB and 1.0 hours with 2 workers (told from 4 of them)"
    small = Estimate(36, 9720, 12_300_000, 90.0, 4).words(2)
    assert small == "36 videos, 9,720 frames: about 12 MB and 0.8 minutes with 2 workers (told from 4 of them)"
