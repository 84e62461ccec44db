"""The text of a load report."""

from __future__ import annotations

import pytest

from actionbook.weights import LoadReport, WrongShape

HEAD = (
    WrongShape("classifier.1.weight", (101, 1280), (600, 1280)),
    WrongShape("classifier.1.bias", (101,), (600,)),
)


def test_ok_needs_all_three_lists_empty() -> None:
    assert LoadReport("okankop", loaded=("a",), kept=("b",), ignored=("c",)).ok
    assert not LoadReport("okankop", missing=("a",)).ok
    assert not LoadReport("okankop", unexpected=("a",)).ok
    assert not LoadReport("okankop", wrong_shape=HEAD).ok


def test_text_names_everything_and_cuts_long_lists() -> None:
    report = LoadReport("okankop", missing=tuple(f"layer.{i}" for i in range(25)), wrong_shape=HEAD)
    text = str(report)
    assert "missing from the file: 25" in text
    assert "layer.19" in text
    assert "layer.20" not in text
    assert "and 5 more" in text
    assert "classifier.1.bias: the network expects (101,), the file has (600,)" in text


@pytest.mark.parametrize(
    ("found", "expected", "kind"),
    [
        ((8, 8, 3, 1), (8, 1, 3, 1), "dense"),
        ((8, 1, 3), (8, 8, 3), "grouped"),
        ((8, 4, 3), (8, 1, 3), ""),  # no square
        ((8, 8, 3), (8, 1, 5), ""),
        ((8, 8, 3), (4, 1, 3), ""),
        ((8, 8), (8, 1), ""),  # no kernel
        ((8, 8, 3), (8, 1), ""),
        ((), (8,), ""),
        ((8,), (), ""),
    ],
)
def test_dense_and_grouped_kernels(found: tuple[int, ...], expected: tuple[int, ...], kind: str) -> None:
    wrong = (*HEAD, WrongShape("a.weight", expected, found))
    assert wrong[-1].grouping == kind
    told = f"make the network with form={kind!r}; in a recipe, model.options: {{form: {kind}}}."
    assert (told in LoadReport("a", wrong_shape=wrong, groups_option="form").remedy) == bool(kind)
    assert "in a recipe" not in LoadReport("a", wrong_shape=wrong).remedy


@pytest.mark.parametrize(
    ("wrong", "head"),
    [
        (HEAD, (("classifier.1",), 600, 101)),
        ((*HEAD, WrongShape("features.0.0.weight", (32, 3), (16, 3))), None),
        ((WrongShape("fc.weight", (101, 512), (101, 2048)),), None),
        ((WrongShape("fc.weight", (101, 512), (600, 2048)),), None),
        ((WrongShape("fc.weight", (101, 512), ()),), None),
        ((), None),
    ],
)
def test_resized_head(wrong: tuple[WrongShape, ...], head: tuple[tuple[str, ...], int, int] | None) -> None:
    assert LoadReport("okankop", wrong_shape=wrong).resized_head == head
