"""Which dictionary of a checkpoint is its state dict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actionbook.core.placeholders import Placeholder
from actionbook.weights import WeightsError
from actionbook.weights.state_dict import MAX_DEPTH, locate
from actionbook.weights.torch_tensors import KNOWN_GLOBALS, TensorRef, storage_from_id

FLOAT = KNOWN_GLOBALS["torch", "FloatStorage"]


def tensor(*size: int) -> TensorRef:
    count = int(np.prod(size))
    storage = storage_from_id(("storage", FLOAT, "0", "cpu", count))
    return TensorRef(storage, FLOAT.element, 0, size, tuple(int(np.prod(size[i + 1 :])) for i in range(len(size))))


T, SCALAR = tensor(2), tensor()
NET, SMALL = {"w": T, "b": T}, {"w": T}
MOMENTS = {"step": T, "exp_avg": T, "exp_avg_sq": T}


@pytest.mark.parametrize(
    ("root", "under"),
    [
        (NET, ""),
        ({"anything": NET, "epoch": 3}, "'anything'"),
        ({"a": {"b": {"c": NET}}}, "'a'['b']['c']"),
        ((NET, 3), "0"),
        ({"nets": [SMALL, NET]}, "'nets'[1]"),
        ({"loss": SCALAR, "acc": SCALAR, "best": SCALAR, "model": SMALL}, "'model'"),
        ({"loss": SCALAR, "own": {"scale": SCALAR}}, "'own'"),
        ({"state_dict": NET, "optimizer": {"state": {0: MOMENTS, 1: MOMENTS}}}, "'state_dict'"),
        ({"optimizer": {"state": {0: MOMENTS}}, "weights": SMALL}, "'weights'"),
        ({"ema": NET, "model_state_dict": dict(NET)}, "'model_state_dict'"),
        ({"ema_state_dict": NET, "state_dict": dict(NET)}, "'state_dict'"),
        ({"state_dict_ema": {**NET, "n_averaged": SCALAR}, "own": dict(NET)}, "'own'"),
        ({"generator": SMALL, "discriminator": NET}, "'discriminator'"),
        ({"model": {}, "net": NET}, "'net'"),
        ({b"state_dict": NET}, "'state_dict'"),
        ({Placeholder("key of type tuple"): NET}, "'key of type tuple'"),
        ({"wrapped": Placeholder("easydict.EasyDict", NET)}, "'wrapped'"),
    ],
)
def test_the_dictionary_of_most_named_tensors(root: Any, under: str) -> None:
    assert locate(root, "x").under == under


def test_names_as_bytes_are_text() -> None:
    assert list(locate({b"conv.w": T}, "x").tensors) == ["conv.w"]


def test_another_dictionary_of_as_many_tensors_is_told() -> None:
    found = locate({"model": NET, "ema": dict(NET), "one": {"mean": SCALAR}}, "x")
    assert (found.under, found.others) == ("'model'", ("'ema' (2 tensors)",))


def test_depth_is_bounded_and_shared_dictionaries_are_seen_once() -> None:
    root: Any = NET
    for _ in range(MAX_DEPTH - 1):
        root = {"inner": root}
    assert locate(root, "x").under.count("inner") == MAX_DEPTH - 1
    with pytest.raises(WeightsError, match="no tensors by name"):
        locate({"inner": root}, "x")
    loop: dict[str, Any] = {"state": NET, "again": NET}
    loop["self"] = loop
    assert (locate(loop, "x").under, locate(loop, "x").others) == ("'state'", ())


def test_what_is_no_tensor_by_nature_is_skipped_by_name() -> None:
    found = locate({"w": T, "_extra_state": None, "version": 3, 7: T, "opt": Placeholder("argparse.Namespace")}, "x")
    assert list(found.tensors) == ["w"]
    skipped = ("_extra_state (None)", "version (int)", "7 (tensor)", "opt (argparse.Namespace)")
    assert (found.skipped, found.beside) == (skipped, ())


@pytest.mark.parametrize(
    "name",
    ["torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_tensor_v2", "torch.distributed.tensor.DTensor"],
)
def test_a_tensor_that_cannot_be_read_is_an_error_where_it_counts(name: str) -> None:
    with pytest.raises(WeightsError, match=rf"^x: tensor 'q' is of a kind that cannot be read \({name}\)"):
        locate({"w": T, "q": Placeholder(name)}, "x")
    assert locate({"net": NET, "q": Placeholder(name)}, "x").beside == (f"'q' ({name})",)


def test_many_things_are_cut() -> None:
    found = locate({"net": NET, **{f"k{i}": Placeholder("a.B") for i in range(30)}}, "x")
    assert (len(found.beside), found.beside[0], found.beside[-1]) == (21, "'k0' (a.B)", "and more")


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Placeholder("torch.nn.Linear"), "objects of 'torch.nn.Linear'.*only `model.state_dict"),
        ({"model": Placeholder("nets.Net"), "epoch": 3}, "objects of 'nets.Net'"),
        ({3: T}, "its tensors have no names"),
        ([T], "its tensors have no names"),
        (T, "holds a tensor, not a dictionary"),
        (None, "holds a None"),
        ({"epoch": 3, Placeholder("key of type tuple"): 1}, "it holds 'epoch', 'key of type tuple'"),
    ],
)
def test_objects_without_a_state_dict(root: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=f"^x: .*{message}"):
        locate(root, "x")
