"""The miniature of Kinetics-400: other people and places than the miniature HMDB51's, and related actions.

Ten of Kinetics' 400 classes. Some share their motion and their look with a class of the miniature HMDB51 (golf,
baseball, swords, throwing), some only their parts (a squat goes down and up again, nobody sits), some nothing. What a
network learns here is therefore of use there, as with the real data sets.

Every video comes from a film of its own: a group is one person, and each class has one video of it.
"""

from __future__ import annotations

import base64
import hashlib

from actionbook.datasets.figures import Scene, write_mp4
from actionbook.datasets.miniature.looks import ANYWHERE, BALL, BAT, CLUB, FIELD, SWORD, Look, look_scene
from actionbook.datasets.miniature.spec import Clip, Miniature, MiniSpec, all_clips
from actionbook.datasets.miniature.timescales import TIMESCALES, timescales_scene

LOOKS: dict[str, Look] = {
    "clapping": Look("Clapping", ANYWHERE),
    "doing aerobics": Look("JumpingJack", ("gym", "beach", "park")),
    "golf driving": Look("Swinging", ("park",), CLUB),
    "hitting baseball": Look("Swinging", ("beach", "street"), BAT),
    "marching": Look("Walking", ("street", "park", "snow")),
    "punching person (boxing)": Look("Boxing", ("gym",)),
    "side kick": Look("Kicking", ("gym", "park", "beach", "room")),
    "squat": Look("Squatting", ("gym", "room", "park")),
    "sword fighting": Look("Lunging", ("snow", "street", "park"), SWORD),
    "throwing ball": Look("Throwing", FIELD, BALL),
}
"""The classes, by their names in Kinetics, and their cues."""


def kinetics400_scene(clip: Clip, spec: MiniSpec) -> Scene:
    """The scene of one video; see `look_scene` and `timescales_scene`."""
    if clip.class_name in TIMESCALES:
        return timescales_scene(clip, spec)
    return look_scene(LOOKS[clip.class_name], clip, spec, camera_moves=clip.group % 2 == 0)


def kinetics400_video(clip: Clip, spec: MiniSpec) -> tuple[str, int, int]:
    """(YouTube id, start, end in seconds) of a video: made up, in the alphabet of real ids, ten seconds apart.

    As with real ids, some begin with a minus sign. The clip itself is about a second long.
    """
    digest = hashlib.sha256(f"{spec.seed}/{clip.class_name}/{clip.group}/{clip.clip}".encode()).digest()
    start = int.from_bytes(digest[-2:], "big") % 300
    return base64.urlsafe_b64encode(digest)[:11].decode(), start, start + 10


def is_validation(clip: Clip, spec: MiniSpec) -> bool:
    """Whether a video stands in ``val.csv``: the last sixth of the groups, the last third of `TIMESCALES`'."""
    return clip.group > spec.groups - max(1, spec.groups // (3 if clip.class_name in TIMESCALES else 6))


def _path(clip: Clip, spec: MiniSpec) -> str:
    name, start, end = kinetics400_video(clip, spec)
    folder = "val" if is_validation(clip, spec) else "train"
    return f"videos/{folder}/{clip.class_name}/{name}_{start:06d}_{end:06d}.mp4"


def _lists(spec: MiniSpec) -> dict[str, str]:
    """``train.csv`` and ``val.csv`` with the columns of ActivityNet's copy, a ``test.csv`` without rows."""
    lines: dict[str, list[str]] = {
        name: ["label,youtube_id,time_start,time_end,split,is_cc"] for name in ("train", "val")
    }
    for clip in all_clips(spec):
        name, start, end = kinetics400_video(clip, spec)
        split = "val" if is_validation(clip, spec) else "train"
        label = f'"{clip.class_name}"' if " " in clip.class_name else clip.class_name
        lines[split].append(f"{label},{name},{start},{end},{split},0")
    lines["test"] = ["youtube_id,time_start,time_end,split"]
    return {f"annotations/{name}.csv": "".join(f"{line}\n" for line in rows) for name, rows in lines.items()}


KINETICS400 = Miniature("kinetics400", 1, (*LOOKS, *TIMESCALES), _path, kinetics400_scene, _lists, write_mp4)
