"""The miniature of HMDB51: what a frame shows tells some of its classes apart, what moves tells the others.

The eight classes are four pairs. `sit` and `stand`, `throw` and `catch` are the same videos played forwards and
backwards: same people, places and poses, so motion alone decides. `golf` and `swing_baseball`, `fencing` and `sword`
are the same motions in another look: place, clothes and the colour of the stick decide, and nothing that moves.
A stream that sees one kind of cue can be right about three quarters of the videos, both together about all. Biases of
this kind are HMDB51's own: its golf is played on grass, its fencers wear white.

A group is one film: one person, and one place in each pair of classes.
"""

from __future__ import annotations

from actionbook.datasets.figures import ACTIONS, Scene, write_avi
from actionbook.datasets.miniature.looks import BALL, BAT, CLUB, FIELD, FOIL, HOME, SWORD, Look, look_scene
from actionbook.datasets.miniature.spec import Clip, Miniature, MiniSpec, all_clips

FILMS = (
    "#12_Cleaning_Up_The_Harbour", "(HD)_The_Longest_Afternoon_-_Part_2", "Tea_&_Rain", "goaaal!!", "Sword+Stone",
    "Wait;_second_take_(of_3)", "[NEW]_Backyard_Games_2009", "prelinger_GoodPosture1952", "Grandpa's_Garden",
    "21_summers@the_lake", "Lehrgang_Stockfechten_Oberstufe",
)  # fmt: skip
"""Titles of films that do not exist, with the characters of HMDB51's file names (and an apostrophe)."""


LOOKS: dict[str, Look] = {
    "catch": Look("Catching", FIELD, BALL),
    "fencing": Look("Lunging", ("gym", "room"), FOIL, ((250, 250, 248), (244, 244, 242))),
    "golf": Look("Swinging", ("park",), CLUB),
    "sit": Look("SittingDown", HOME),
    "stand": Look("StandingUp", HOME),
    "swing_baseball": Look("Swinging", ("beach", "street"), BAT),
    "sword": Look("Lunging", ("snow", "street"), SWORD, ((60, 58, 70), (46, 44, 54))),
    "throw": Look("Throwing", FIELD, BALL),
}
"""The classes and their cues. Of two classes with one action, nothing but the look differs."""


def hmdb51_scene(clip: Clip, spec: MiniSpec) -> Scene:
    """The scene of one video; see `look_scene`."""
    return look_scene(LOOKS[clip.class_name], clip, spec, camera_moves=_camera_moves(clip))


def _camera_moves(clip: Clip) -> bool:
    return (clip.group + clip.clip) % 3 == 0


def hmdb51_name(clip: Clip, spec: MiniSpec) -> str:
    """File name of a video: film, class, visible body (full), camera motion, people, view, quality and number.

    The view is ``fr`` (front) for frontal actions and ``ri`` (right) for the others, the camera ``cm`` or ``nm``
    (motion or none), as in HMDB51.
    """
    film = FILMS[(clip.group - 1 + spec.seed) % len(FILMS)]
    if spec.groups > len(FILMS):
        film = f"{film}_{(clip.group - 1) // len(FILMS) + 1}"
    camera = "cm" if _camera_moves(clip) else "nm"
    view = "fr" if ACTIONS[LOOKS[clip.class_name].action].frontal else "ri"
    return f"{film}_{clip.class_name}_f_{camera}_np1_{view}_med_{clip.clip - 1}.avi"


def hmdb51_flag(clip: Clip, split: int, spec: MiniSpec) -> int:
    """1: train, 2: test, 0: unused in `split`. Three groups test, another three in every split; one is not used."""
    if 3 * split - 2 <= clip.group <= 3 * split:
        return 2
    return 0 if clip.group == spec.groups - (split + 1) % 2 else 1


def _path(clip: Clip, spec: MiniSpec) -> str:
    return f"hmdb51_org/{clip.class_name}/{hmdb51_name(clip, spec)}"


def _lists(spec: MiniSpec) -> dict[str, str]:
    """A list for each class and split; lines end in a space and LF, sorted by name, as in the official ones."""
    lists: dict[str, str] = {}
    for name in spec.classes:
        clips = sorted((c for c in all_clips(spec) if c.class_name == name), key=lambda c: hmdb51_name(c, spec))
        for split in (1, 2, 3):
            lines = [f"{hmdb51_name(clip, spec)} {hmdb51_flag(clip, split, spec)} \n" for clip in clips]
            lists[f"testTrainMulti_7030_splits/{name}_test_split{split}.txt"] = "".join(lines)
    return lists


HMDB51 = Miniature("hmdb51", 1, tuple(LOOKS), _path, hmdb51_scene, _lists, write_avi)
