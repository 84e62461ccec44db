"""The figures: skeleton, actions, reversed pairs, boxes and rendering."""

from __future__ import annotations

import dataclasses
from math import hypot

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.datasets.figures import (
    ACTIONS,
    PLACES,
    REVERSED_PAIRS,
    Act,
    Actor,
    Camera,
    Place,
    Prop,
    Scene,
    Tool,
    actor_box,
    draw_person,
    render_frame,
)
from actionbook.datasets.figures.people import HEADWEAR
from actionbook.datasets.figures.props import KINDS_INDOORS, KINDS_OUTDOORS
from actionbook.datasets.figures.skeleton import HEEL_RADIUS, TOE_RADIUS, Arm, Leg, Pose, mixed


def an_actor(action: str, seed: int = 0, **changes: object) -> Actor:
    rng = np.random.default_rng(seed)
    actor = Actor(
        person=draw_person(rng), action=action, x=160.0, y=212.0, height=150.0, facing=1 if seed % 2 else -1,
        phase=float(rng.uniform()), period=float(rng.uniform(17, 25)), length=int(rng.integers(34, 51)),
    )  # fmt: skip
    return dataclasses.replace(actor, **changes)  # type: ignore[arg-type]


def a_scene(*actors: Actor, **changes: object) -> Scene:
    scene = Scene(Place("park", 3), actors, actors[0].length if actors else 40)
    return dataclasses.replace(scene, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(ACTIONS))
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
@settings(max_examples=15)
def test_limbs_keep_their_lengths_and_feet_the_ground(name: str, seed: int, share: float) -> None:
    actor = an_actor(name, seed)
    pose, body = actor.joints(share * (actor.length - 1)), actor.person.body
    for side in (0, 1):
        for a, b, length in (
            (pose.shoulders, pose.elbows, body.upper_arm),
            (pose.elbows, pose.hands, body.forearm),
            (pose.hips, pose.knees, body.thigh),
            (pose.knees, pose.ankles, body.shank),
        ):
            assert hypot(a[side][0] - b[side][0], a[side][1] - b[side][1]) == pytest.approx(length)
    lift = actor.pose(share * (actor.length - 1)).lift
    soles = [y + HEEL_RADIUS for _, y in pose.heels] + [y + TOE_RADIUS for _, y in pose.toes]
    assert max(soles) == pytest.approx(-lift)
    assert pose.head[1] < pose.chest[1] < pose.pelvis[1] < 0


@pytest.mark.parametrize(("forward", "backward"), REVERSED_PAIRS)
@pytest.mark.parametrize("seed", range(4))
def test_reversed_pairs_hold_the_same_poses_in_opposite_order(forward: str, backward: str, seed: int) -> None:
    one, other = an_actor(forward, seed), an_actor(backward, seed)
    last = one.length - 1
    for t in range(one.length):
        assert one.pose(t) == other.pose(last - t)
        assert one.placement(t) == other.placement(last - t)
    assert any(one.pose(t) != other.pose(t) for t in range(one.length))


def test_pairs_are_actions_with_one_direction_each() -> None:
    for forward, backward in REVERSED_PAIRS:
        one, other = ACTIONS[forward], ACTIONS[backward]
        assert (one.backwards, other.backwards) == (False, True)
        assert dataclasses.replace(other, backwards=False) == one
    assert sum(action.backwards for action in ACTIONS.values()) == len(REVERSED_PAIRS)


@pytest.mark.parametrize("facing", [1, -1])
def test_walkers_go_where_they_look_and_moonwalkers_do_not(facing: int) -> None:
    for name, sign in (("Walking", 1), ("MoonWalk", -1)):
        actor = an_actor(name, 5, facing=facing, length=41, period=20.0)
        x = [actor.placement(t).x for t in range(41)]
        steps = np.diff(x) * sign * facing
        assert (steps > 0).all()
        # Two cycles of two steps, each about three eighths of a body height; centred on the actor's place.
        assert 1.3 < (x[-1] - x[0]) * sign * facing / actor.height < 1.7
        assert x[20] == pytest.approx(actor.x)
        assert actor.placement(0).facing == facing


def test_arm_circles_turn_inwards_at_the_top() -> None:
    actor = an_actor("ArmCirclesInward", 1, phase=0.45, period=20.0)
    before, after = actor.joints(0), actor.joints(2)  # phases 0.45 and 0.55: just before and after the top
    assert before.hands[1][1] < before.head[1]
    assert after.hands[1][0] < before.hands[1][0]
    assert after.hands[0][0] > before.hands[0][0]


@pytest.mark.parametrize("name", ["ArmCirclesInward", "ArmCirclesOutward", "JumpingJack"])
def test_frontal_exercises_are_their_own_mirror_image(name: str) -> None:
    actor = an_actor(name, 2)
    for t in range(0, 30, 3):
        pose = actor.joints(t)
        for left, right in (pose.hands, pose.elbows, pose.ankles, pose.toes):
            assert left == pytest.approx((-right[0], right[1]))


def test_sitting_down_lowers_the_pelvis_all_the_time_with_the_feet_planted() -> None:
    actor = an_actor("SittingDown", 3, length=50)
    poses = [actor.joints(t) for t in range(50)]
    heights = np.array([-pose.pelvis[1] for pose in poses])
    assert (np.diff(heights) < 0).all()
    assert heights[0] > 1.5 * heights[-1]
    drop = heights[:-15] - heights[15:]
    moved = [np.abs(np.array(a.points()) - np.array(b.points())).max() for a, b in zip(poses, poses[15:], strict=False)]
    assert drop.min() > 0.02
    assert min(moved) > 0.11  # body heights, in any 16 frames
    assert [pose.ankles[1][0] for pose in poses] == pytest.approx([0.0] * 50)


@pytest.mark.parametrize("name", sorted(ACTIONS.keys() - {"Crouching", "Standing"}))
def test_any_sixteen_frames_move(name: str) -> None:
    for seed in range(6):
        actor = an_actor(name, seed)
        points = np.array([actor.joints(t).points() for t in range(actor.length)])
        for start in range(actor.length - 15):
            span = points[start : start + 16]
            assert (span.max(0) - span.min(0)).max() > 0.11


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_box_holds_every_pixel_of_the_figure(name: str) -> None:
    for seed, headwear in enumerate(HEADWEAR):
        actor = an_actor(name, seed)
        actor = dataclasses.replace(actor, person=dataclasses.replace(actor.person, headwear=headwear))
        scene = a_scene(actor, camera=Camera(x=9.0, sway=3.0))
        t = 3 + 4 * seed
        changed = (render_frame(scene, t) != render_frame(dataclasses.replace(scene, actors=()), t)).any(-1)
        box = actor_box(scene, 0, t)
        assert box is not None
        x1, y1, x2, y2 = box
        rows, columns = np.nonzero(changed[: int(actor.y) - 16])  # above the shadow on the ground
        if ACTIONS[name].seat:  # nor the stool
            rows, columns = np.nonzero(changed[: int(actor.y) - 56])
        assert rows.min() >= y1 - 1
        assert columns.min() >= x1 - 1
        assert columns.max() <= x2 + 1
        assert rows.min() < y1 + 0.12 * actor.height
        assert x2 - x1 < actor.height
        assert y2 <= 240


def test_an_act_is_done_for_its_time_and_nothing_else_changes() -> None:
    alone = an_actor("Standing", 3, length=60)
    actor = dataclasses.replace(alone, acts=(Act("Squatting", 10, 30), Act("Boxing", 40, 52)))
    squatting, boxing = (dataclasses.replace(alone, action=name) for name in ("Squatting", "Boxing"))
    for t in (*range(10), *range(30, 40), *range(52, 60)):
        assert actor.pose(t) == alone.pose(t)
    for begins, ends, other in ((10, 30, squatting), (40, 52, boxing)):
        for t in range(begins + 4, ends - 4):
            expected = np.array(other.joints(t - begins).points())
            assert np.array(actor.joints(t).points()) == pytest.approx(expected, abs=1e-12)
        assert actor.pose(begins) not in {alone.pose(begins), other.pose(0)}
    assert {actor.placement(t) for t in range(60)} == {alone.placement(0)}


def test_acts_begin_and_end_without_a_jump() -> None:
    def steps(seed: int, ease: int) -> np.ndarray:
        acts = (Act("Lunging", 8, 26, ease), Act("Squatting", 34, 52, ease))
        actor = an_actor("Standing", seed, length=60, acts=acts)
        return np.abs(np.diff([actor.joints(t).points() for t in range(60)], axis=0)).max((1, 2))

    for seed in range(6):
        assert steps(seed, 4).max() < 0.18  # body heights a frame
        assert steps(seed, 0).max() > 0.22


def test_of_acts_at_one_time_the_later_ones_go_over_the_others() -> None:
    actor = an_actor("Standing", 2, length=40, acts=(Act("Boxing", 0, 40), Act("Squatting", 12, 28)))
    squatting = dataclasses.replace(actor, action="Squatting", acts=())
    boxing = dataclasses.replace(actor, action="Boxing", acts=())
    for t, other, begins in ((8, boxing, 0), (20, squatting, 12), (32, boxing, 0)):
        expected = np.array(other.joints(t - begins).points())
        assert np.array(actor.joints(t).points()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["Waving", "Walking", "StandingUp", "Throwing"])
def test_acts_that_need_more_than_a_pose_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} during Standing: expected an act on the spot, from the same side"):
        an_actor("Standing", acts=(Act(name, 5, 20),))


def test_limbs_of_mixed_poses_turn_the_shorter_way() -> None:
    one = Pose((Arm(0.2), Arm(-3.0)), (Leg(), Leg()))
    other = Pose((Arm(6 * np.pi + 0.6), Arm(3.0)), (Leg(0.4, 0.2), Leg()), lift=0.5, planted=1.0)
    half = mixed(one, other, 0.5)
    assert (half.arms[0].shoulder, half.legs[0].knee) == pytest.approx((0.4, 0.1))
    assert half.arms[1].shoulder == pytest.approx(-np.pi)
    assert (half.lift, half.planted) == (0.25, 0.5)


def test_box_follows_what_an_actor_does() -> None:
    actor = an_actor("Standing", 3, facing=1, period=20.0, phase=0.0, length=50, acts=(Act("Lunging", 12, 40),))
    scene = a_scene(actor)
    standing, lunging = actor_box(scene, 0, 5), actor_box(scene, 0, 20)  # about half a cycle after its begin
    assert standing is not None
    assert lunging is not None
    assert lunging[2] - lunging[0] > standing[2] - standing[0] + 0.4 * actor.height
    assert lunging[1] > standing[1] + 4
    assert actor_box(scene, 0, 49) == pytest.approx(standing, abs=2)


def test_box_follows_the_frame_size_and_is_none_out_of_view() -> None:
    actor = an_actor("Waving", 4)
    small, large = a_scene(actor), a_scene(actor, width=640, height=480)
    box, twice = actor_box(small, 0, 7), actor_box(large, 0, 7)
    assert box is not None
    assert twice == pytest.approx([2 * value for value in box])
    assert actor_box(a_scene(dataclasses.replace(actor, x=-300.0)), 0, 7) is None


def test_several_actors_stand_in_front_of_each_other_by_depth() -> None:
    back = an_actor("Waving", 1, x=160.0, y=196.0)
    front = an_actor("Boxing", 2, x=166.0, y=218.0)
    one, other = a_scene(back, front, length=40), a_scene(front, back, length=40)
    assert (render_frame(one, 5) == render_frame(other, 5)).all()
    assert (render_frame(one, 5) != render_frame(a_scene(front, length=40), 5)).any()
    assert actor_box(one, 0, 5) == actor_box(other, 1, 5)


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_places_differ_by_seed_and_fill_the_whole_view(kind: str) -> None:
    corner = Camera(x=-120.0, y=8.0)
    for camera in (Camera(), corner, Camera(x=500.0, y=-500.0)):
        one = render_frame(a_scene(place=Place(kind, 1), camera=camera), 0)
        other = render_frame(a_scene(place=Place(kind, 2), camera=camera), 0)
        assert one.shape == (240, 320, 3)
        assert one.dtype == np.uint8
        assert (one != other).mean() > 0.05
        assert (one.max(-1) > 30).all()  # nothing left unpainted


@pytest.mark.parametrize("kind", sorted({*KINDS_OUTDOORS, *KINDS_INDOORS}))
def test_props_show_and_move(kind: str) -> None:
    prop = Prop(kind, 160.0, 50.0, 0.4, 30.0, 0.1, (200, 60, 60))
    bare = a_scene(camera=Camera())
    scene = dataclasses.replace(bare, props=(prop,))
    masks = [(render_frame(scene, t) != render_frame(bare, t)).any(-1) for t in (0, 6)]
    assert all(30 < mask.sum() < 4000 for mask in masks)
    assert (masks[0] != masks[1]).any()


def test_actor_stays_after_its_end() -> None:
    actor = an_actor("StandingUp", 1, length=20)
    assert actor.pose(19) == actor.pose(99)
    assert actor.joints(19).pelvis[1] < actor.joints(0).pelvis[1]


def test_equal_generators_draw_equal_people_and_others_differ() -> None:
    people = [draw_person(np.random.default_rng(seed)) for seed in (1, 1, *range(2, 40))]
    assert people[0] == people[1]
    assert len(set(people)) == 39
    assert {person.headwear for person in people} == set(HEADWEAR)


@pytest.mark.parametrize("action", ["Swinging", "Lunging"])
def test_sticks_are_drawn_from_the_hand_on_and_change_nothing_else(action: str) -> None:
    bare = an_actor(action, 2, facing=1)
    armed = dataclasses.replace(bare, tool=Tool((255, 0, 255)))
    for t in (0, 5, 9):
        changed = (render_frame(a_scene(armed), t) != render_frame(a_scene(bare), t)).any(-1)
        x, y = bare.placement(t).world(bare.joints(t).hands[1])
        rows, columns = np.nonzero(changed)
        assert 60 < changed.sum() < 2500
        assert np.hypot(columns - x, rows - y).min() < 8
        assert 0.9 * 0.46 < np.hypot(columns - x, rows - y).max() / bare.height < 1.1 * 0.46


def test_a_ball_is_thrown_forwards_and_comes_back_when_caught() -> None:
    throw, catch = (an_actor(name, 3, length=30, tool=Tool((250, 214, 84))) for name in ("Throwing", "Catching"))
    release = ACTIONS["Throwing"].release
    assert release is not None
    ball = np.array([throw.ball(t) for t in range(30)])
    assert ball[::-1] == pytest.approx(np.array([catch.ball(t) for t in range(30)]))
    held = [t for t in range(30) if throw.moment(t) <= release]
    assert ball[held] == pytest.approx(np.array([throw.joints(t).hands[1] for t in held]))
    assert (np.diff(ball[len(held) :, 0]) > 0.05).all()  # body heights a frame
    assert (ball[:, 1] < 0).all()  # above the ground
    reached = np.array([throw.joints(t).hands[1][0] for t in range(30)])
    assert (ball[len(held) + 3 :, 0] > reached[len(held) + 3 :] + 0.1).all()
