"""The rule of the golden weights, and the table of the networks that were run with them."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from actionbook.models import create_model
from actionbook.weights import export_state
from actionbook.weights.golden import EFFICIENT3D, rule_made

# One tensor of every kind, and how it is drawn from the generator that its name seeds.
DRAWN = {
    "features.0.0.weight": lambda rng: rng.standard_normal((4, 3, 3, 3, 3)) * np.sqrt(2 / 81),
    "features.0.1.weight": lambda rng: rng.uniform(0.5, 1.5, (4,)),
    "features.0.1.bias": lambda rng: 0.1 * rng.standard_normal((4,)),
    "features.0.1.running_mean": lambda rng: 0.1 * rng.standard_normal((4,)),
    "features.0.1.running_var": lambda rng: rng.uniform(0.5, 1.5, (4,)),
    "classifier.1.weight": lambda rng: rng.standard_normal((5, 4)) * np.sqrt(2 / 4),
}


def test_every_tensor_is_drawn_from_its_own_name() -> None:
    expected = {name: draw(np.random.RandomState(crc32(name.encode()))) for name, draw in DRAWN.items()}
    found = rule_made((name, array.shape) for name, array in expected.items())
    assert list(found) == list(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name].astype(np.float32), strict=True)
    backwards = rule_made((name, array.shape) for name, array in reversed(expected.items()))
    np.testing.assert_array_equal(backwards["classifier.1.weight"], found["classifier.1.weight"])


def test_the_table_names_each_network_once_and_they_can_be_made() -> None:
    assert len({case.name for case in EFFICIENT3D}) == len(EFFICIENT3D) == 14
    assert len({(case.model, *case.options.items()) for case in EFFICIENT3D}) == 14
    small = next(case for case in EFFICIENT3D if case.name == "shufflenetv2_0.25x")
    state = export_state(create_model(small.model, num_classes=101, **small.options))
    assert len(state) == 282
    assert state["classifier.1.weight"].shape == (101, 1024)
