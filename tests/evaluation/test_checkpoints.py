"""Every kept checkpoint is evaluated once, with its own weights, and the choice among them is repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mindspore import Parameter, Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, write_json_atomic
from actionbook.core.sections import Evaluation
from actionbook.datasets.index import Index, make_index
from actionbook.evaluation.checkpoints import COLUMNS, evaluate_checkpoints
from actionbook.tasks import Classification, Predictions
from actionbook.training.checkpoint import save_checkpoint


def index_of(items: str) -> Index:
    """Videos of one class."""
    return make_index({"video": name, "label": "A", "target": 0, "subset": "test", "path": ""} for name in items)


INDEX = index_of("abcdef")


class Right(nn.Cell):
    """A network whose one weight says how many of the six videos it gets right."""

    def __init__(self, right: float = 0) -> None:
        super().__init__()
        self.right = Parameter(Tensor(np.float32(right)), name="right")


class Predicting:
    """What is handed to `evaluate_checkpoints`: notes its calls and fails at one of them if asked to."""

    def __init__(self, fail_at: int | None = None, index: Index = INDEX) -> None:
        self.seen: list[int] = []
        self.fail_at, self.index = fail_at, index

    def __call__(self, network: nn.Cell) -> Predictions:
        assert isinstance(network, Right)
        assert not network.training
        if len(self.seen) == self.fail_at:
            raise KeyboardInterrupt
        right = int(network.right.asnumpy())
        self.seen.append(right)
        logits = np.zeros((6, 2))
        logits[right:, 1] = 1
        return Predictions(list("abcdef"), logits, self.index, Evaluation(), Classification())


def keep(folder: Path, right: dict[int, int], last: int | None = None, epochs: int = 12) -> Path:
    """A training folder with checkpoints of these epochs, and with ``network.ckpt`` if there is a last one."""
    for epoch, count in right.items():
        save_checkpoint(Right(count), folder / f"epoch-{epoch:03d}.ckpt", epoch=epoch)
    if last is not None:
        save_checkpoint(Right(last), folder / "network.ckpt")
        write_json_atomic(folder / "done.json", {"epochs": epochs, "sha256": sha256_file(folder / "network.ckpt")})
    return folder


def test_the_table_of_all_checkpoints(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", {11: 5, 9: 2, 10: 3}, last=4)
    (folder / "epoch-x.ckpt").write_bytes(b"")
    save_checkpoint(Right(1), folder / "state.ckpt")
    predict, network = Predicting(), Right().set_train(True)
    table = evaluate_checkpoints(network, folder, predict, progress=False)
    assert tuple(table.columns) == COLUMNS
    assert table.to_dict("list") == {
        "checkpoint": ["epoch-009.ckpt", "epoch-010.ckpt", "epoch-011.ckpt", "network.ckpt"],
        "epoch": [9, 10, 11, 12],
        "value": [2 / 6, 3 / 6, 5 / 6, 4 / 6],
        "correct": [2, 3, 5, 4],
        "evaluated": [6] * 4,
        "expected": [6] * 4,
        "best": [False, False, True, False],
    }
    assert int(network.right.asnumpy()) == 4  # the last row's weights, not the best's and not its own


def test_the_last_epoch_stands_once(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", {11: 1, 12: 4}, last=4)
    table = evaluate_checkpoints(Right(), folder, Predicting(), progress=False)
    assert table["checkpoint"].tolist() == ["epoch-011.ckpt", "epoch-012.ckpt"]


def test_epochs_are_ordered_as_numbers(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", {999: 1, 1000: 2, 98: 3})
    table = evaluate_checkpoints(Right(), folder, Predicting(), progress=False)
    assert table["epoch"].tolist() == [98, 999, 1000]


def test_of_equals_the_earliest_epoch_is_the_best(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", {1: 2, 2: 5, 3: 5, 4: 5})
    table = evaluate_checkpoints(Right(), folder, Predicting(), progress=False)
    assert table.loc[table["best"], "epoch"].tolist() == [2]


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_an_interrupted_evaluation_is_run_again_to_the_same_end(tmp_path: Path, fail_at: int) -> None:
    """What `predict_test` has kept by then is not run again, see there."""
    folder = keep(tmp_path / "run", {1: 3, 2: 1, 3: 6})
    whole = evaluate_checkpoints(Right(), keep(tmp_path / "other", {1: 3, 2: 1, 3: 6}), Predicting(), progress=False)
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints(Right(), folder, Predicting(fail_at), progress=False)
    again, network = Predicting(), Right()
    pd.testing.assert_frame_equal(evaluate_checkpoints(network, folder, again, progress=False), whole)
    assert again.seen == [3, 1, 6]
    assert int(network.right.asnumpy()) == 6


def test_a_checkpoint_that_is_replaced_has_its_own_score(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", {1: 3, 2: 1})
    evaluate_checkpoints(Right(), folder, Predicting(), progress=False)
    (folder / "epoch-001.ckpt").rename(folder / "epoch-007.ckpt")  # other names, other dates: the weights count
    keep(folder, {2: 4})
    table = evaluate_checkpoints(Right(), folder, Predicting(), progress=False)
    assert table["epoch"].tolist() == [2, 7]
    assert table["correct"].tolist() == [4, 3]


def test_missing_videos_are_misses_here_too(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", {1: 6})
    index = index_of("abcdefgh")
    (row,) = evaluate_checkpoints(Right(), folder, Predicting(index=index), progress=False).to_dict("records")
    assert (row["correct"], row["evaluated"], row["expected"], row["value"]) == (6, 6, 8, 0.75)


def test_a_folder_without_checkpoints_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state.ckpt").write_bytes(b"")
    save_checkpoint(Right(), tmp_path / "network.ckpt")  # of a training that never finished: its epoch is not known
    with pytest.raises(BookError, match=r"holds no checkpoint.*keep_epochs"):
        evaluate_checkpoints(Right(), tmp_path, Predicting(), progress=False)


def test_a_damaged_mark_and_a_checkpoint_of_another_network_are_errors(tmp_path: Path) -> None:
    folder = keep(tmp_path / "run", {}, last=4)
    (folder / "done.json").write_text("{}")
    with pytest.raises(BookError, match=r"done\.json: cannot be read"):
        evaluate_checkpoints(Right(), folder, Predicting(), progress=False)
    save_checkpoint(nn.Dense(2, 2), folder / "epoch-001.ckpt")
    (folder / "done.json").unlink()
    with pytest.raises(BookError, match=r"epoch-001\.ckpt: does not fit the network"):
        evaluate_checkpoints(Right(), folder, Predicting(), progress=False)
