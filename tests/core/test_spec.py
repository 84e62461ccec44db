"""Specs: named inputs in the network's order, checked and filled up; a shape alone is one input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.core.errors import BookError
from actionbook.core.spec import IMAGE, Arrays, Spec, SpecError, samples

PAIR = Spec({"slow": (3, 2, 4, 4), "boxes": (5, 4)}, (5, 7))


def batch(spec: Spec, size: int) -> dict[str, np.ndarray]:
    return {name: np.full((size, *shape), size, np.float32) for name, shape in spec.inputs.items()}


def test_a_shape_alone_is_one_image() -> None:
    assert Spec.of((3, 4, 8, 8)) == Spec({IMAGE: (3, 4, 8, 8)})
    assert Spec.of([3, 4]).inputs == {IMAGE: (3, 4)}  # type: ignore[arg-type]
    assert Spec.of(PAIR) is PAIR
    assert Spec.of((3, 4)).with_output((7,)) == Spec({IMAGE: (3, 4)}, (7,))


@pytest.mark.parametrize(
    "inputs", [{}, {"": (1,)}, {"a b": (1,)}, {"a/b": (1,)}, {"a": ()}, {"a": (0,)}, {"a": (2, -1)}, {"a": (2.0,)}]
)
def test_inputs_that_cannot_be(inputs: Any) -> None:
    with pytest.raises(SpecError, match=r"at least one input|expected a plain name and sizes of 1 or more"):
        Spec(inputs)
    assert issubclass(SpecError, BookError)


def test_the_only_input() -> None:
    one, array = Spec.of((3, 4)), np.zeros((2, 3, 4), np.float32)
    assert one.single == IMAGE
    assert one.named(array)[IMAGE] is array
    assert one.named({"image": array})["image"] is array
    for use in (lambda: PAIR.single, lambda: PAIR.named(array), lambda: PAIR.check(array, "x")):
        with pytest.raises(SpecError, match="expected a network of one input, this one has slow, boxes"):
            use()


def test_a_checked_batch_is_in_the_networks_order() -> None:
    given_ = dict(reversed(batch(PAIR, 3).items()))
    checked = PAIR.check(given_, "x", most=3)
    assert list(checked) == ["slow", "boxes"]
    assert all(checked[name] is given_[name] for name in checked)
    assert samples(checked) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.pop("boxes"), "inputs slow; expected slow, boxes"),
        (lambda b: b.update(extra=b["slow"]), "inputs slow, boxes, extra; expected slow, boxes"),
        (lambda b: b.update(slow=b["slow"][:2]), r"batches of \[2, 3\] samples"),
        (lambda b: b.update({name: array[:0] for name, array in b.items()}), r"batches of \[0\] samples"),
        (lambda b: b.update(slow=np.float32(1)), "input 'slow' is float32 "),
        (lambda b: b.update(slow=b["slow"].astype(np.float64)), "'slow' is float64 .*expected float32"),
        (lambda b: b.update(boxes=b["boxes"][..., :3]), r"'boxes' is float32 \(3, 5, 3\), expected .*\(b, 5, 4\)"),
        (lambda b: b.update(boxes=b["boxes"][:, 0]), r"'boxes' is float32 \(3, 4\), expected"),
    ],
)
def test_batches_that_are_refused(change: Any, message: str) -> None:
    wrong = batch(PAIR, 3)
    change(wrong)
    with pytest.raises(SpecError, match=f"^engine: .*{message}"):
        PAIR.check(wrong, "engine")


def test_more_samples_than_are_taken() -> None:
    with pytest.raises(SpecError, match="batch of 3 clips, expected at most 2"):
        PAIR.check(batch(PAIR, 3), "x", most=2)


@settings(max_examples=30)
@given(size=st.integers(1, 5), room=st.integers(0, 3), seed=st.integers(0, 9), turned=st.booleans())
def test_filling_up_changes_no_sample_and_adds_zeros(size: int, room: int, seed: int, turned: bool) -> None:
    arrays: Arrays = PAIR.random(size, seed)
    if turned:  # a view that is not contiguous
        arrays = {name: np.ascontiguousarray(array.T).T for name, array in arrays.items()}
    full = PAIR.padded(arrays, "x", size + room)
    for name, array in full.items():
        assert array.shape == (size + room, *PAIR.inputs[name])
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array[:size], arrays[name])
        assert not array[size:].any()
    assert all(array.flags.c_contiguous and len(array) == size for array in PAIR.padded(arrays, "x", None).values())


def test_random_batches_hang_on_the_seed_alone() -> None:
    one, again, other = PAIR.random(2, 1), PAIR.random(2, 1), PAIR.random(2, 2)
    assert {name: (a.dtype, a.shape) for name, a in one.items()} == {
        "slow": (np.float32, (2, 3, 2, 4, 4)),
        "boxes": (np.float32, (2, 5, 4)),
    }
    for name, array in one.items():
        np.testing.assert_array_equal(array, again[name])
        assert not np.array_equal(array, other[name])
    PAIR.check(one, "x")


def test_sizes_and_plain_data() -> None:
    assert (PAIR.bytes("slow"), PAIR.bytes("boxes")) == (4 * 3 * 2 * 4 * 4, 4 * 5 * 4)
    assert PAIR.as_dict() == {"inputs": {"slow": [3, 2, 4, 4], "boxes": [5, 4]}, "output": [5, 7]}
    assert Spec.of((3,)).as_dict()["output"] is None
    assert str(PAIR) == "slow (3, 2, 4, 4), boxes (5, 4)"
