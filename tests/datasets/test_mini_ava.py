"""The miniature AVA: boxes on the figures, classes that hold around their keyframes, and a detector's faults."""

from __future__ import annotations

import dataclasses
import io
import pickle
import re
from itertools import pairwise, product
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from actionbook.core.boxes import overlap
from actionbook.core.manifest import load_dataset
from actionbook.datasets.ava_boxes import ON_TRUTH
from actionbook.datasets.ava_writing import COLUMNS, CORNERS
from actionbook.datasets.figures import ACTIONS, Scene, render_frame
from actionbook.datasets.figures.actor import Actor
from actionbook.datasets.figures.canvas import VIEW_HEIGHT
from actionbook.datasets.miniature import AVA, Clip, MiniatureError, MiniSpec, write_miniature
from actionbook.datasets.miniature.ava import (
    ACTIVITIES,
    CLASSES,
    CUT,
    DECK,
    HOLD,
    KEYFRAMES,
    LUNGE_FIRST,
    SQUAT_FIRST,
    UNSCORED,
    Film,
    ava_film,
    ava_video,
    is_validation,
)
from actionbook.datasets.miniature.ava_lists import MISSED, ava_detections, ava_truth
from actionbook.datasets.obtain import MINIATURES

MANIFEST = load_dataset("mini_ava")
assert MANIFEST.generator is not None
assert MANIFEST.keyframes is not None
SPEC = MiniSpec(**MANIFEST.generator.model_dump(), classes=MANIFEST.classes)
CLIPS = AVA.clips(SPEC)
LISTS = AVA.lists(SPEC)
TRAIN = [clip for clip in CLIPS if not is_validation(clip, SPEC)]
TEST = [clip for clip in CLIPS if is_validation(clip, SPEC)]
NUMBERS = {name: number for number, name in CLASSES.items()}


def listed(name: str | None) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(LISTS[f"annotations/{name}"]), names=list(COLUMNS), dtype={"second": str})


def together(function: object, clips: list[Clip]) -> pd.DataFrame:
    return pd.concat([function(clip, SPEC) for clip in clips], ignore_index=True)  # type: ignore[operator]


def test_the_manifest_says_what_is_drawn() -> None:
    keyframes = MANIFEST.keyframes
    assert keyframes is not None
    assert MINIATURES["ava"] is AVA
    assert MANIFEST.classes == tuple(CLASSES.values())
    assert (keyframes.cut, keyframes.first, keyframes.last) == (CUT, KEYFRAMES[0], KEYFRAMES[-1])
    assert MANIFEST.splits["1"].model_dump(include={"train", "test"}) == {"train": len(TRAIN), "test": len(TEST)}
    assert MANIFEST.groups("reversed_pairs") == ((5, 6),)
    lists = [keyframes.truth, keyframes.detected, keyframes.excluded]
    named = {f"annotations/{one.of(subset)}" for one, subset in product(lists, ("train", "test"))}
    named |= {f"annotations/{keyframes.class_list}", "annotations/ava_file_names_trainval_v2.1.txt"}
    assert named == set(LISTS)


def test_other_classes_than_those_of_the_miniature_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MiniatureError, match="expected all of"):
        write_miniature(AVA, tmp_path / "mini", dataclasses.replace(SPEC, classes=("stand",)))
    with pytest.raises(MiniatureError, match="at least 10 s"):
        ava_film(CLIPS[0], dataclasses.replace(SPEC, min_frames=200, max_frames=249))


@pytest.mark.parametrize("clip", [CLIPS[0], CLIPS[4], CLIPS[8], CLIPS[30]], ids=lambda clip: f"film {clip.group}")
def test_boxes_are_those_of_the_figures_to_a_pixel(clip: Clip) -> None:
    """Against what changes in the frame, above the shadow, where one person after the other is left out."""
    film = ava_film(clip, SPEC)
    scene = dataclasses.replace(film.scene, width=640, height=480)
    for second, person in product(KEYFRAMES[::3], range(len(film.parts))):
        actor = dataclasses.replace(film.scene.actors[person], tool=None)
        alone, nobody = (dataclasses.replace(scene, actors=actors) for actors in ((actor,), ()))
        t = second * film.rate
        changed = (render_frame(alone, t) != render_frame(nobody, t)).any(-1)
        x1, y1, x2, y2 = np.array(film.box(person, second)) * (640, 480, 640, 480)
        shadow = int(actor.y / VIEW_HEIGHT * 480) - 22
        rows, columns = np.nonzero(changed[:shadow])
        slack = 4 * 1.01  # a pixel of the frame as stored
        assert y1 - slack < rows.min() < y1 + slack
        assert x1 - slack < columns.min()
        assert columns.max() < x2 + slack
        assert y2 == pytest.approx(actor.y / VIEW_HEIGHT * 480, abs=2 * slack)


def test_people_are_large_enough_and_hardly_hide_each_other() -> None:
    for clip in CLIPS:
        film = ava_film(clip, SPEC)
        assert len(film.parts) in {2, 3}
        for second in KEYFRAMES:
            boxes = np.array([film.box(person, second) for person in range(len(film.parts))])
            sides = (boxes[:, 2:] - boxes[:, :2]) * (SPEC.width, SPEC.height)
            assert sides[:, 0].min() >= 15
            assert sides[:, 1].min() >= 45
            assert max(np.sort(overlap(box[:, None], boxes.T))[-2] for box in boxes) < 0.15


def shown_around(film: Film, person: int, second: float) -> set[str]:
    """What somebody does within 0.3 s of a keyframe, as far as it is more than the way to it."""
    actor, rate = film.scene.actors[person], film.rate
    frames = np.arange(round((second - 0.3) * rate), (second + 0.3) * rate)
    return {doing(actor, t) for t in frames} - {""}


def doing(actor: Actor, t: float) -> str:
    acts = [act.action for act in actor.acts if act.share(t) > 0.9]
    return acts[-1] if acts else actor.action if not any(act.share(t) > 0.1 for act in actor.acts) else ""


def test_classes_hold_at_their_keyframe_and_around_it() -> None:
    for clip in CLIPS:
        film = ava_film(clip, SPEC)
        for person, second in product(range(len(film.parts)), KEYFRAMES):
            names = {CLASSES[number] for number in film.labels(person, second)}
            assert (HOLD in names) == (film.scene.actors[person].tool is not None)
            (activity,) = (one for one in ACTIVITIES.values() if set(one.labels) == names - {HOLD})
            resting = {"Standing"} if len(activity.actions) > 1 else set()
            assert shown_around(film, person, second) <= {*activity.actions} | resting


def test_every_activity_is_done_by_several_people_of_either_subset() -> None:
    for clips, least in ((TRAIN, 8), (TEST, 3)):
        people = [film_parts for clip in clips for film_parts in ava_film(clip, SPEC).parts]
        counts = {name: sum(any(part.activity == name for part in parts) for parts in people) for name in ACTIVITIES}
        assert min(counts.values()) >= least, counts
    assert {one for pair in DECK for one in pair} == set(ACTIVITIES)


def test_both_directions_of_circling_arms_have_the_same_poses() -> None:
    one, other = (ACTIONS[ACTIVITIES[name].actions[0]] for name in ("inward", "outward"))
    assert one.curve is other.curve
    assert one.backwards != other.backwards
    turns = []
    for clip in CLIPS:
        film = ava_film(clip, SPEC)
        circling = [a for a in film.scene.actors if ACTIONS[a.action].frontal]
        turns += [actor.period / one.tempo / film.rate for actor in circling]
    assert 0.5 < min(turns) < max(turns) < 0.65


def test_of_an_exercise_two_seconds_always_show_the_order() -> None:
    """Lunge, squat and pause are a ring; two seconds hold a step along it, and none the other way."""
    orders = {LUNGE_FIRST: ["Lunging", "Squatting", "Standing"], SQUAT_FIRST: ["Squatting", "Lunging", "Standing"]}
    seen = 0
    for clip in CLIPS:
        film = ava_film(clip, SPEC)
        exercises = [
            (part, actor)
            for parts, actor in zip(film.parts, film.scene.actors, strict=True)
            for part in parts
            if ACTIVITIES[part.activity].labels[0] in orders
        ]
        for part, actor in exercises:
            ring = orders[ACTIVITIES[part.activity].labels[0]]
            for start in np.arange(part.start, part.stop - 2.4, 0.3):
                shown = [doing(actor, t) for t in np.arange(round(start * film.rate), (start + 2) * film.rate)]
                order = [ring.index(one) for one in shown if one]
                steps = {(b - a) % 3 for a, b in pairwise(order)}
                assert steps == {0, 1}
                seen += 1
    assert seen > 300


def test_lists_are_those_of_the_drawing() -> None:
    for subset, clips in (("train", TRAIN), ("val", TEST)):
        rows = listed(f"ava_{subset}_v2.2.csv")
        assert set(rows["video"]) == {ava_video(clip, SPEC)[0] for clip in clips}
        assert set(rows["second"]) == {f"{second:04d}" for second in KEYFRAMES}
        assert set(rows["label"]) == set(CLASSES)
        assert rows[list(CORNERS)].to_numpy() == pytest.approx(together(ava_truth, clips_sorted(clips))[list(CORNERS)])
    named = dict(re.findall(r'name: "(.*)"\n  id: ([0-9]+)', LISTS["annotations/ava_action_list_v2.2.pbtxt"]))
    assert named == {name: str(number) for number, name in CLASSES.items() if name not in UNSCORED}
    names = LISTS["annotations/ava_file_names_trainval_v2.1.txt"].split()
    assert {f"trainval/{name}" for name in names} == {AVA.path(clip, SPEC) for clip in CLIPS}
    for clips in (TRAIN, TEST):
        assert {ava_video(clip, SPEC)[1] for clip in clips} == {".mp4", ".mkv", ".webm"}


def clips_sorted(clips: list[Clip]) -> list[Clip]:
    return sorted(clips, key=lambda clip: ava_video(clip, SPEC))


def test_excluded_keyframes_are_of_the_subset_and_have_boxes() -> None:
    for subset in ("train", "val"):
        excluded = LISTS[f"annotations/ava_{subset}_excluded_timestamps_v2.2.csv"].splitlines()
        rows = listed(f"ava_{subset}_v2.2.csv")
        assert 2 <= len(excluded) <= 3
        assert set(excluded) <= set(rows["video"] + "," + rows["second"])


def test_the_detector_has_a_detectors_faults() -> None:
    truth = together(ava_truth, CLIPS).drop_duplicates([*COLUMNS[:6]])
    found = together(ava_detections, CLIPS)
    best = np.zeros(len(found))
    for place, row in enumerate(found.itertuples(index=False)):
        here = truth[(truth["video"] == row.video) & (truth["second"] == row.second)]
        best[place] = overlap(np.array(row[2:6], float)[:, None], here[list(CORNERS)].to_numpy().T).max()
    right, scores = best > 0.5, found["last"].to_numpy(float)
    assert (best[right] > 0.8).mean() > 0.95
    assert 1 - right.sum() / len(truth) == pytest.approx(MISSED, abs=0.03)
    assert scores[right].min() > 0.8
    assert 0 < (scores[~right] > 0.8).mean() < 0.3
    assert best[~right].max() < 0.2
    keyframes = found.groupby(["video", "second"]).ngroups
    assert len(CLIPS) * len(KEYFRAMES) - 10 < keyframes < len(CLIPS) * len(KEYFRAMES)  # some show nobody to it


def test_boxes_for_training_have_the_classes_of_the_truth_below_them_or_none() -> None:
    assert MANIFEST.keyframes is not None
    rows, truth = listed(MANIFEST.keyframes.detected.train), listed("ava_train_v2.2.csv")
    negative = rows["label"] == -1
    assert 0.1 < negative.mean() < 0.5
    assert set(rows["label"]) == {-1, *CLASSES}
    by_keyframe = dict(iter(truth.groupby(["video", "second"])))
    for (video, second, *corners), group in rows.groupby(list(COLUMNS[:6])):
        here = by_keyframe[video, second]
        on = here[overlap(np.array(corners)[:, None], here[list(CORNERS)].to_numpy().T) >= ON_TRUTH]
        assert sorted(group["label"]) == (sorted(on["label"]) or [-1])
    assert listed(MANIFEST.keyframes.detected.test)["label"].isna().all()


def test_videos_are_of_three_kinds_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    short = dataclasses.replace(AVA, scene=six_frames, clips=one_of_each)
    assert pickle.loads(pickle.dumps(AVA)) == AVA  # as it goes to workers
    for name in ("one", "two"):
        write_miniature(short, tmp_path / name, SPEC)
    for clip, rate in zip(one_of_each(SPEC), (25, 24, 30), strict=True):
        path = tmp_path / "one" / AVA.path(clip, SPEC)
        assert path.read_bytes() == (tmp_path / "two" / AVA.path(clip, SPEC)).read_bytes()
        with av.open(str(path)) as video:
            assert float(video.streams.video[0].average_rate or 0) == pytest.approx(rate, rel=1e-3)
            frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        scene = six_frames(clip, SPEC)
        assert len(frames) == scene.length
        for t, frame in enumerate(frames):
            assert cv2.absdiff(frame, render_frame(scene, t)).mean() < 6
        assert ava_film(clip, SPEC).scene.length / rate == pytest.approx(10.6, abs=0.6)
    for name, text in LISTS.items():
        assert (tmp_path / "one" / name).read_text(encoding="utf-8") == text


def one_of_each(spec: MiniSpec) -> list[Clip]:
    return [clip for clip in AVA.clips(spec) if clip.group in {1, 5, 9}]


def six_frames(clip: Clip, spec: MiniSpec) -> Scene:
    return dataclasses.replace(AVA.scene(clip, spec), length=6)
