"""The lists of the miniature AVA: boxes drawn and boxes found, in files named as AVA's users have them.

The detector is made up: it misses some people, draws the others' boxes a little off, and takes pieces of the background
for people, sometimes with a high score.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd

from actionbook.core.boxes import overlap
from actionbook.datasets.ava_boxes import with_labels
from actionbook.datasets.ava_writing import COLUMNS, CORNERS, boxes_text, class_list_text, excluded_text
from actionbook.datasets.figures import write_by_suffix
from actionbook.datasets.miniature.ava import (
    CLASSES,
    KEYFRAMES,
    UNSCORED,
    ava_clips,
    ava_film,
    ava_path,
    ava_scene,
    ava_video,
    is_validation,
)  # fmt: skip
from actionbook.datasets.miniature.spec import Clip, Miniature, MiniSpec

DETECTED = "person_box_67091280_iou90"
"""Folder of the boxes found, below the annotations, as PySlowFast names it."""
MISSED = 0.05
JITTER = 0.025
"""Share of people not found, and standard deviation of a box's sides from where they belong, in widths or heights."""
FALSE = 0.5
"""Boxes found on the background, for each keyframe."""


def ava_truth(clip: Clip, spec: MiniSpec) -> pd.DataFrame:
    """Every box of a video with every class of it: columns `COLUMNS`, `last` the number of the person from 0."""
    film = ava_film(clip, spec)
    video = ava_video(clip, spec)[0]
    rows = [
        (video, second, *np.round(film.box(person, second), 3).tolist(), label, person)
        for second in KEYFRAMES
        for person in range(len(film.parts))
        for label in film.labels(person, second)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ava_detections(clip: Clip, spec: MiniSpec) -> pd.DataFrame:
    """What the detector finds in a video: columns `COLUMNS`, no labels, `last` the score, 0 to 1.

    Nobody at all in one keyframe of every sixth video.
    """
    rng = np.random.default_rng([spec.seed, 5, clip.group, clip.clip])
    truth = ava_truth(clip, spec).drop_duplicates(["second", "last"])
    blind = int(rng.choice(KEYFRAMES)) if clip.group % 6 == 2 else None
    rows: list[tuple[object, ...]] = []
    for second in KEYFRAMES:
        people = truth.loc[truth["second"] == second, list(CORNERS)].to_numpy()
        found = [_jittered(box, rng) for box in people if rng.uniform() >= MISSED]
        boxes = [(box, 1 - 0.15 * rng.beta(1.0, 3.0)) for box in found]
        boxes += [(box, rng.uniform(0.1, 0.9)) for box in _elsewhere(people, int(rng.poisson(FALSE)), rng)]
        if second != blind:
            rows += [(ava_video(clip, spec)[0], second, *box.tolist(), pd.NA, score) for box, score in boxes]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _jittered(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    off = rng.normal(0, JITTER, 4) * np.tile(box[2:] - box[:2], 2)
    return np.round(np.clip(box + off, 0, 1), 3)


def _elsewhere(people: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Boxes of a person's size that show little of any of the people."""
    found: list[np.ndarray] = []
    while len(found) < count:
        size = rng.uniform((0.1, 0.25), (0.25, 0.6))
        corner = rng.uniform((0, 0), 1 - size)
        box = np.round(np.concatenate([corner, corner + size]), 3)
        if overlap(box[:, None], people.T).max() < 0.2:
            found.append(box)
    return found


def _subsets(spec: MiniSpec) -> dict[str, list[Clip]]:
    """The videos of "train" and "val", by their ids, as AVA's lists are sorted."""
    clips = sorted(ava_clips(spec), key=lambda clip: ava_video(clip, spec))
    return {
        "train": [clip for clip in clips if not is_validation(clip, spec)],
        "val": [clip for clip in clips if is_validation(clip, spec)],
    }


def ava_lists(spec: MiniSpec) -> dict[str, str]:
    """The text files beside the videos."""
    subsets = _subsets(spec)
    texts = {}
    for subset, clips in subsets.items():
        truth = pd.concat([ava_truth(clip, spec) for clip in clips], ignore_index=True)
        boxes = pd.concat([ava_detections(clip, spec) for clip in clips], ignore_index=True)
        texts[f"ava_{subset}_v2.2.csv"] = boxes_text(truth)
        # The first keyframe of some videos: people and boxes are there, and nothing is scored.
        left_out = [(ava_video(clip, spec)[0], KEYFRAMES[0]) for clip in clips[::10]]
        texts[f"ava_{subset}_excluded_timestamps_v2.2.csv"] = excluded_text(left_out)
        name = "val_boxes_and_labels"
        if subset == "train":
            name = "train_boxes_and_labels_include_negative_v2.2"
            boxes = with_labels(boxes, truth)
        texts[f"{DETECTED}/ava_detection_{name}.csv"] = boxes_text(boxes)
    scored = {number: (name, "") for number, name in CLASSES.items() if name not in UNSCORED}
    texts["ava_action_list_v2.2.pbtxt"] = class_list_text(scored)
    videos = [ava_path(clip, spec) for clip in chain(*subsets.values())]
    texts["ava_file_names_trainval_v2.1.txt"] = "".join(f"{path.rpartition('/')[2]}\n" for path in videos)
    return {f"annotations/{name}": text for name, text in texts.items()}


AVA = Miniature("ava", 1, tuple(CLASSES.values()), ava_path, ava_scene, ava_lists, write_by_suffix, ava_clips)
