"""Checkpoints: everything comes back, and a file that does not fit changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from actionbook.core.errors import BookError
from actionbook.training.checkpoint import load_checkpoint, save_checkpoint

Make = Callable[..., Any]


def values(network: nn.Cell) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


def refused(network: nn.Cell, path: Path, message: str) -> None:
    before = values(network)
    with pytest.raises(BookError, match=message):
        load_checkpoint(network, path)
    for name, value in values(network).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.fixture
def path(tiny_network: Make, tmp_path: Path) -> Path:
    save_checkpoint(tiny_network(seed=3), tmp_path / "network.ckpt")
    return tmp_path / "network.ckpt"


def test_round_trip_with_extra_scalars(tiny_network: Make, tmp_path: Path) -> None:
    saved, fresh = tiny_network(seed=3), tiny_network(seed=4)
    save_checkpoint(saved, tmp_path / "state.ckpt", epoch=7, rate=0.5)
    assert load_checkpoint(fresh, tmp_path / "state.ckpt") == {"epoch": 7, "rate": 0.5}
    assert values(saved).keys() == values(fresh).keys()
    for name, value in values(saved).items():
        np.testing.assert_array_equal(values(fresh)[name], value)
    assert [p.name for p in tmp_path.iterdir()] == ["state.ckpt"]


def test_no_extras(tiny_network: Make, path: Path) -> None:
    assert load_checkpoint(tiny_network(), path) == {}


def test_another_width(tiny_network: Make, path: Path) -> None:
    refused(
        tiny_network(channels=8), path, r"network\.ckpt: does not fit the network .*\(4, 3, 3, 3, 3\) instead of \(8,"
    )


def test_another_number_of_classes(tiny_network: Make, path: Path) -> None:
    refused(tiny_network(classes=5), path, r"classifier\.1\.weight \(2, 4\) instead of \(5, 4\)")


def test_a_parameter_is_missing(tiny_network: Make, tmp_path: Path) -> None:
    parameters = [{"name": p.name, "data": p} for p in tiny_network().get_parameters() if p.name != "classifier.1.bias"]
    ms.save_checkpoint(parameters, str(tmp_path / "less.ckpt"))
    refused(
        tiny_network(seed=1), tmp_path / "less.ckpt", r"less\.ckpt: does not fit .*missing: \['classifier\.1\.bias'\]"
    )


def test_a_parameter_is_left_over(tiny_network: Make, tmp_path: Path) -> None:
    network = tiny_network()
    more = [*network.get_parameters(), Parameter(Tensor(np.ones((2, 2), np.float32)), name="extra.weight")]
    ms.save_checkpoint([{"name": p.name, "data": p} for p in more], str(tmp_path / "more.ckpt"))
    refused(tiny_network(seed=1), tmp_path / "more.ckpt", r"left over: \['extra\.weight'\]")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"no checkpoint" * 40])
def test_a_damaged_file(tiny_network: Make, path: Path, damage: Callable[[bytes], bytes]) -> None:
    path.write_bytes(damage(path.read_bytes()))
    refused(tiny_network(), path, r"network\.ckpt: (is not a readable checkpoint|does not fit the network)")


def test_a_missing_file(tiny_network: Make, tmp_path: Path) -> None:
    refused(tiny_network(), tmp_path / "gone.ckpt", r"gone\.ckpt: is not a readable checkpoint")
