"""Strict YAML: every mistake is named with file, key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, model_validator

from actionbook.core.errors import BookError
from actionbook.core.paths import ROOT, shown
from actionbook.core.schema import Strict, load, merge, parse_yaml, read_yaml, validate


class Inner(Strict):
    rate: float = 0.5
    size: int = 1


class Outer(Strict):
    name: str
    inner: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    flag: bool = False


def error_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BookError) as caught:
        load(Outer, path)
    for line in str(caught.value).splitlines()[:1]:
        assert line.startswith(f"{path}: ")
    return str(caught.value)


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("name: x\ninner: {rate: 1, size: 3}\nmany: [{size: 2}]\n")
    assert load(Outer, path) == Outer(name="x", inner=Inner(rate=1.0, size=3), many=(Inner(size=2),))


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("-2E+1", -20.0), ("1.5e-3", 0.0015), (".5", 0.5), ("1e", "1e"), ("e3", "e3")]
)
def test_numbers_are_written_as_in_python(text: str, value: float | str) -> None:
    assert parse_yaml(f"a: {text}\n", "x.yaml") == {"a": value}


def test_unknown_key_is_named_with_a_suggestion_and_the_allowed_ones(tmp_path: Path) -> None:
    message = error_of(tmp_path, "name: x\ninner: {raet: 1.0}\n")
    assert "unknown key 'inner.raet'; did you mean 'rate'? allowed here: rate, size" in message


@pytest.mark.parametrize("place", ["many: [{size: 1}, {zize: 2}]", "maybe: {zize: 2}"])
def test_unknown_key_inside_lists_and_optionals(tmp_path: Path, place: str) -> None:
    message = error_of(tmp_path, f"name: x\n{place}\n")
    assert "zize'; did you mean 'size'? allowed here: rate, size" in message


def test_unknown_key_at_the_top_without_a_near_one(tmp_path: Path) -> None:
    message = error_of(tmp_path, "name: x\nqqq: 1\n")
    assert "unknown key 'qqq'; allowed here: flag, inner, many, maybe, name" in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('name: x\ninner: {rate: "1e-3"}', ["'inner.rate'", "found '1e-3'", "no quotes around numbers"]),
        ("name: 1e3", ["'name'", "expected text", "found 1000.0"]),
        ("name: x\ninner: {size: 1e3}", ["'inner.size'", "a whole number", "found 1000.0"]),
        ('name: x\ninner: {size: "8"}', ["'inner.size'", "found '8'", "no quotes around numbers"]),
        ("name: 5", ["'name'", "expected text", "found 5"]),
        ("name: x\ninner: {size: 1.5}", ["'inner.size'", "found 1.5"]),
        ("name: x\nflag: 1", ["'flag'", "expected true or false", "found 1"]),
        ("name: x\ninner: {size: true}", ["'inner.size'", "found True"]),
        ("name: x\ninner: 3", ["'inner'", "found 3"]),
        ("inner: {size: 1}", ["key 'name' is missing; expected text"]),
        ("name: 2020-01-01", ["not plain data", "quote dates"]),
    ],
)
def test_wrong_values(tmp_path: Path, text: str, parts: list[str]) -> None:
    message = error_of(tmp_path, text)
    for part in parts:
        assert part in message


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    lines = error_of(tmp_path, "inner: {size: x, rate: y}\nother: 1\n").splitlines()
    assert len(lines) == 4
    assert all(line.startswith(str(tmp_path)) for line in lines)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: a\nname: b\n", "key 'name' stands twice"),
        ("name: a\ninner: {size: 1, size: 2}\n", "key 'size' stands twice"),
        ("1: a\n", "key 1 is not text"),
        ("inner: {null: a}\n", "key null is not text"),
        ("? {a: 1}\n: a\n", "key mapping is not text"),
        ("inner: {<<: {size: 1}}\n", "key << is not text"),
        ("name: [a\n", "is not valid YAML"),
        ("- a\n- b\n", "expected a mapping of keys to values, found list"),
        ("", "expected a mapping of keys to values, found NoneType"),
        ("name: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    ],
)
def test_files_that_are_no_mapping(tmp_path: Path, text: str, part: str) -> None:
    assert part in error_of(tmp_path, text)


def test_a_key_given_twice_is_named_with_its_line(tmp_path: Path) -> None:
    assert "line 3" in error_of(tmp_path, "name: a\nflag: true\nname: b\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"gone\.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "gone.yaml")
    with pytest.raises(BookError, match=r"cannot be read \(Is a directory\); check the name"):
        load(Outer, tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe4\n")
    with pytest.raises(BookError, match=r"latin\.yaml: is not valid YAML"):
        read_yaml(tmp_path / "latin.yaml")


def test_source_leads_the_message() -> None:
    with pytest.raises(BookError, match=r"^here: key 'name' is missing; expected text$"):
        validate(Outer, {}, "here")


def test_merge_goes_into_mappings_and_alters_nothing() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    changes = {"a": {"c": [3]}, "d": {"e": 2}}
    assert merge(base, changes) == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}
    assert (base, changes) == ({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}, "d": {"e": 2}})


def test_a_mapping_with_another_name_is_replaced_whole() -> None:
    base = {"name": "recipe", "model": {"name": "wide", "options": {"width": 2, "dropout": 0.1}}}
    assert merge(base, {"model": {"name": "deep", "options": {"depth": 3}}})["model"] == {
        "name": "deep",
        "options": {"depth": 3},
    }
    assert merge(base, {"model": {"name": "wide", "options": {"width": 1}}})["model"]["options"] == {
        "width": 1,
        "dropout": 0.1,
    }
    assert merge(base, {"model": {"options": {"width": 1}}})["model"]["name"] == "wide"
    assert merge(base, {"name": "other"})["model"] == base["model"]


def test_paths_are_shown_relative_to_the_checkout(tmp_path: Path) -> None:
    assert shown(ROOT / "book" / "x.md") == "book/x.md"
    assert shown(tmp_path) == str(tmp_path)


def test_aliases_are_read_unless_they_stand_for_too_much() -> None:
    assert parse_yaml("a: &one {x: [1, 2]}\nb: *one\n", "x.yaml") == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}}
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BookError, match=r"(?s)^x\.yaml: is not valid YAML: more than 100000 values .*line \d"):
        parse_yaml("\n".join(lines), "x.yaml")


class Square(Strict):
    name: Literal["square"] = "square"
    side: int = 1

    @model_validator(mode="after")
    def _even(self) -> Square:
        if self.side % 2 == 0:
            raise ValueError(f"Sides are odd, found {self.side}")
        return self


class Box(Strict):
    name: Literal["box", "oblong"]
    sides: int | tuple[int, int] = (1, 2)
    square: int = 0
    """Called as the other shape is."""


Shape = Annotated[Square | Box, Field(discriminator="name")]


class Drawing(Strict):
    shape: Shape
    frame: Shape | None = None
    more: tuple[Shape, ...] = ()
    layers: dict[str, Shape] | None = None


NAMES = "one of square, box, oblong"
SHAPES: dict[str, tuple[Any, list[str]]] = {
    "an unknown name": ({"name": "boxx"}, ["key '{}.name': expected " + NAMES + ", found 'boxx'"]),
    "a name that is no text": ({"name": 3}, ["key '{}.name': expected " + NAMES + ", found 3"]),
    "no name": ({"side": 1}, ["key '{}.name' is missing; expected " + NAMES]),
    "no mapping": (3, ["key '{}': expected a mapping whose name is " + NAMES, "found 3"]),
    "a key of neither": (
        {"name": "square", "sidde": 1},
        ["unknown key '{}.sidde'; did you mean 'side'? allowed here: name, side"],
    ),
    "a key of the other": ({"name": "square", "sides": 3}, ["unknown key '{}.sides'", "allowed here: name, side"]),
    "a key called as a shape": ({"name": "box", "box": 3}, ["unknown key '{}.box'", "here: name, sides, square"]),
    "a wrong type": ({"name": "square", "side": "3"}, ["key '{}.side': expected a whole number, found '3'"]),
    "a wrong type under the name of another": (
        {"name": "oblong", "square": "3"},
        ["key '{}.square': expected a whole number, found '3'"],
    ),
    "a wrong type inside": ({"name": "box", "sides": [1, "a"]}, ["key '{}.sides.1': expected a whole number"]),
    "values that do not go together": ({"name": "square", "side": 2}, ["key '{}': sides are odd, found 2"]),
}
PLACES: dict[str, Any] = {
    "shape": lambda shape: {"shape": shape},
    "frame": lambda shape: {"shape": {"name": "square"}, "frame": shape},
    "more.1": lambda shape: {"shape": {"name": "square"}, "more": [{"name": "box"}, shape]},
    "layers.top": lambda shape: {"shape": {"name": "square"}, "layers": {"top": shape}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mistake", SHAPES)
def test_mistakes_in_one_of_several_schemas_are_those_of_the_one_that_is_named(mistake: str, place: str) -> None:
    shape, parts = SHAPES[mistake]
    with pytest.raises(BookError) as caught:
        validate(Drawing, PLACES[place](shape), "here")
    for part in parts:
        assert part.format(place) in str(caught.value)
    assert "null" not in str(caught.value) or place == "frame"


def test_one_of_several_schemas_that_is_missing_or_may_be() -> None:
    with pytest.raises(BookError, match=f"key 'shape' is missing; expected a mapping whose name is {NAMES}$"):
        validate(Drawing, {}, "here")
    with pytest.raises(BookError, match=f"whose name is {NAMES} or null"):
        validate(Drawing, {"shape": {"name": "box"}, "frame": "box"}, "here")
    drawn = validate(Drawing, {"shape": {"name": "oblong", "sides": 2}, "frame": None, "more": [{"name": "box"}]}, "")
    assert (drawn.shape, drawn.more) == (Box(name="oblong", sides=2), (Box(name="box"),))
