"""bench.cases and the sizes of bench.session: what a network is measured on."""

from __future__ import annotations

from dataclasses import replace

from bench.cases import MOBILENET, Case, Workload
from bench.rows.i3d import FLOW, RGB, SHORT
from bench.rows.inference import FAMILY
from bench.rows.slowfast import MOMENT
from bench.session import QUICK, Scale


def test_at_full_scale_every_workload_is_what_its_targets_are_about() -> None:
    for workload in (MOBILENET, RGB, SHORT, FLOW, MOMENT, *(entry.workload for entry in FAMILY)):
        assert Scale().fitted(workload) == workload


def test_a_smaller_scale_shortens_what_is_longer_and_keeps_the_channels() -> None:
    scale = Scale(batch=2, frames=17, size=57, num_classes=5)
    assert scale.fitted(Workload("i3d", 4, (2, 64, 33, 224), 400)) == Workload("i3d", 2, (2, 17, 33, 57), 5)
    assert QUICK.fitted(SHORT).shape == (4, 3, 16, 64, 64)


def test_a_network_is_told_of_other_than_three_channels() -> None:
    case = Case(FLOW, 0.5, "w.npz", "c.npy", parameters=7)
    assert case.network == {"model": "i3d", "num_classes": 400, "options": {"width": 0.5, "in_channels": 2}}
    assert replace(case, workload=RGB).network["options"] == {"width": 0.5}
    assert case.options == {**case.network, "weights": "w.npz", "clips": "c.npy"}
    assert str(FLOW) == "1x2x64x224x224"


def test_a_network_for_boxes_gets_two_clips_of_one_moment_at_every_scale() -> None:
    assert MOMENT.inputs == {"slow": (1, 3, 8, 224, 224), "fast": (1, 3, 32, 224, 224), "boxes": (1, 8, 4)}
    small = Scale(frames=19, size=57).fitted(MOMENT)
    assert small.inputs == {"slow": (1, 3, 4, 57, 57), "fast": (1, 3, 16, 57, 57), "boxes": (1, 8, 4)}
    assert (str(small), str(FLOW)) == ("1x3x16x57x57 with 8 boxes", "1x2x64x224x224")
    assert RGB.inputs == {"image": RGB.shape}
