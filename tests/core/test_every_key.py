"""Every key of every file that a reader may write: each mistake in it is named with file, key, finding and remedy.

The keys are walked from the schemas themselves, so that a new key is tested the day it is added.
"""

from __future__ import annotations

import copy
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from actionbook.conversion.ascend_operators import DATA as OPERATORS
from actionbook.conversion.ascend_operators import AscendOperators
from actionbook.conversion.atc_codes import CODES, Codes
from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, WeightsManifest
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.core.record import SCHEMAS
from actionbook.core.schema import Strict, parse_yaml, read_yaml, validate
from actionbook.results.published_schema import Published

QUICK = settings(max_examples=300, database=None, derandomize=True)

_RECIPE = Recipe.load(
    NOTEBOOKS / "i3d" / "recipes" / "hmdb51.yaml",
    {
        "training": {
            "lr_restarts": [[30, 0.001]],
            "groups": [{"kind": "named", "prefixes": ["logits"]}],
            "plateau": {"patience": 5},
        },
        "evaluation": {"compare_frames": [100]},
        "transforms": {"short_side": 256},
    },
).as_dict()
_SMALL = read_yaml(Path(__file__).parent / "data" / "documents.yaml")
_WRITTEN: dict[str, tuple[type[Strict], dict[str, Any]]] = {
    "recipe": (Recipe, _RECIPE),
    "detection": (
        Recipe,
        {**_RECIPE, "task": {"name": "detection", "boxes": 4}, "sampling": {"name": "windows", "test_frames": 32}},
    ),
    "segments": (
        Recipe,
        {
            **_RECIPE,
            "sampling": {"name": "segments", "frames": 4, "test_frames": 8},
            "transforms": {
                "size": 224,
                "short_side": 256,
                "keep_aspect": False,
                "channel_order": "bgr",
                "crop": "tsn",
                "scales": [1.0, 0.875],
            },
        },
    ),
    "superframes": (
        Recipe,
        {
            **_RECIPE,
            "sampling": {"name": "superframes", "test_frames": 125},
            "evaluation": {"compare_frames": [35]},
            "transforms": {"size": 224, "box": [341, 256]},
        },
    ),
    "keyframe": (
        Recipe,
        {
            **_RECIPE,
            "task": {"name": "detection", "boxes": 4},
            "sampling": {"name": "keyframe", "test_frames": 32, "pathways": {"slow": 4, "fast": 1}},
            "transforms": {"size": 224, "short_side": 256, "jitter": [256, 320], "test_size": [256, 448]},
        },
    ),
    "data set": (DatasetManifest, _SMALL["data set"]),
    "weights": (WeightsManifest, _SMALL["weights"]),
    "published": (Published, _SMALL["published"]),
    "ATC's codes": (Codes, read_yaml(CODES)),
    "operators of Ascend": (AscendOperators, read_yaml(OPERATORS)),
    **{name: (schema, _SMALL[f"results of {name}"]) for name, schema in SCHEMAS.items()},
}
DOCUMENTS = {
    name: (schema, validate(schema, data, name).model_dump(mode="json")) for name, (schema, data) in _WRITTEN.items()
}
"""With every key, the defaults filled in."""
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Key:
    """One place in a document."""

    document: str
    path: Path_
    arms: tuple[Any, ...]
    """The types that may stand there, without unions and annotations around them."""
    limits: tuple[tuple[str, Any], ...]
    required: bool
    field: bool
    """Whether it is a key of a schema, not an item of a list or an entry of a free mapping."""
    chooses: bool = False
    """Whether it is the name that chooses one of several schemas."""

    @property
    def text(self) -> str:
        return ".".join(map(str, self.path))


def plain(annotation: Any) -> tuple[list[Any], dict[str, Any]]:
    """Types and limits of an annotation, written down here a second time."""
    if isinstance(annotation, FieldInfo):
        arms, limits = plain(annotation.annotation)
        return arms, limits | limits_of(annotation.metadata)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        arms, limits = plain(arguments[0])
        return arms, limits | limits_of(m for a in arguments[1:] for m in getattr(a, "metadata", [a]))
    if origin in (typing.Union, types.UnionType):
        found = [plain(arm) for arm in arguments]
        return [one for arms, _ in found for one in arms], {k: v for _, limits in found for k, v in limits.items()}
    return [annotation], {}


def limits_of(metadata: Any) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "multiple_of", "pattern", "min_length")
    return {n: getattr(one, n) for one in metadata for n in names if getattr(one, n, None) is not None}


def is_schema(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Strict)


def named(arms: Iterable[Any]) -> dict[str, Any]:
    """Several schemas by the names that choose them; nothing where there is one at most."""
    schemas = [arm for arm in arms if is_schema(arm)]
    if len(schemas) < 2:
        return {}
    return {name: one for one in schemas for name in typing.get_args(one.model_fields["name"].annotation)}


def walk(
    document: str, annotation: Any, value: Any, path: Path_, *, required: bool = False, field: bool = False
) -> Iterator[Key]:
    """The key at `path` and all below it; of several schemas, below the one that is named."""
    arms, limits = plain(annotation)
    if path:
        yield Key(document, path, tuple(arms), tuple(limits.items()), required, field)
    if chosen := named(arms):
        yield Key(document, (*path, "name"), (typing.Literal[tuple(chosen)],), (), True, True, chooses=True)
        for name, one in chosen[value["name"]].model_fields.items():
            if name != "name":
                yield from walk(document, one, value[name], (*path, name), required=one.is_required(), field=True)
        return
    for arm in arms:
        origin, arguments = typing.get_origin(arm), typing.get_args(arm)
        if is_schema(arm) and isinstance(value, dict):
            for name, one in arm.model_fields.items():
                yield from walk(document, one, value.get(name), (*path, name), required=one.is_required(), field=True)
        elif origin is dict and value:
            name = next(iter(value))
            yield from walk(document, arguments[1], value[name], (*path, name))
        elif origin is tuple and isinstance(value, list) and value:
            fixed = arguments[-1] is not ...
            for i, one in enumerate(arguments if fixed else arguments[:1]):
                yield from walk(document, one, value[i], (*path, i), required=fixed)


KEYS = [key for name, (schema, full) in DOCUMENTS.items() for key in walk(name, schema, full, ())]


def at(data: Any, path: Path_) -> Any:
    for part in path:
        data = data[part]
    return data


def changed(key: Key, value: Any) -> dict[str, Any]:
    """The document with another value at a key."""
    data = copy.deepcopy(DOCUMENTS[key.document][1])
    at(data, key.path[:-1])[key.path[-1]] = value
    return data


def message_of(document: str, data: dict[str, Any]) -> str:
    with pytest.raises(BookError) as caught:
        validate(DOCUMENTS[document][0], data, "some/file.yaml")
    assert all(line.startswith("some/file.yaml: ") for line in str(caught.value).splitlines())
    return str(caught.value)


WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def words(arm: Any) -> list[str]:
    """What a message must say of a type that is allowed."""
    origin = typing.get_origin(arm)
    if origin is typing.Literal:
        return [str(choice) for choice in typing.get_args(arm)]
    if is_schema(arm):
        return ["mapping", *arm.model_fields]
    return [{tuple: "list", dict: "mapping"}[origin] if origin else WORDS.get(arm, "null")]


def assert_named(key: Key, value: Any) -> None:
    """The message for a wrong value names the key, what was found and all that is allowed."""
    lines = [line for line in message_of(key.document, changed(key, value)).splitlines() if f"'{key.text}" in line]
    assert lines, key
    text = repr(value)
    assert f"found {text if len(text) <= 80 else text[:77] + '...'}" in lines[0]
    assert "expected" in lines[0]
    several = ["mapping", "name", *named(key.arms)] if named(key.arms) else []
    for word in (several or [w for arm in key.arms for w in words(arm)]) + [str(limit) for _, limit in key.limits]:
        assert word in lines[0], (word, lines[0])


def test_the_documents_are_right_and_reach_every_schema() -> None:
    def schemas(annotation: Any) -> set[type]:
        arms, _ = plain(annotation)
        inner = {x for arm in arms if not is_schema(arm) for a in typing.get_args(arm) for x in schemas(a)}
        own = {arm for arm in arms if is_schema(arm)}
        return inner | own | {x for schema in own for f in schema.model_fields.values() for x in schemas(f)}

    for name, (schema, full) in DOCUMENTS.items():
        assert validate(schema, full, name).model_dump(mode="json") == full
        reached = {arm for key in KEYS if key.document == name for arm in key.arms if is_schema(arm)} | {schema}
        below = {x for key in KEYS if key.document == name for arm in key.arms for x in schemas(arm)}
        assert reached == below | {schema}
        # A list or mapping that is empty in the document would hide what its items may be.
        for key in KEYS:
            if key.document == name and any(typing.get_origin(arm) is tuple for arm in key.arms):
                items = plain(next(a for a in key.arms if typing.get_origin(a) is tuple).__args__[0])
                assert at(full, key.path) or not (items[1] or is_schema(items[0][0])), key.text
    assert len(KEYS) > 150


SAMPLES: dict[Any, list[Any]] = {
    type(None): [None],
    bool: [True, False],
    int: [7, -3],
    float: [2.5],
    str: ["text", "", "7", "1e-3"],
    list: [[], [1]],
    dict: [{}, {"a": 1}],
}


def kinds(arm: Any) -> set[type]:
    """Python's types of the YAML values that may stand where this type is declared."""
    origin = typing.get_origin(arm)
    if arm is Any:
        return set(SAMPLES)
    if is_schema(arm) or origin is dict:
        return {dict}
    if origin is tuple:
        return {list}
    if origin is typing.Literal:
        return {type(choice) for choice in typing.get_args(arm)}
    return {float: {int, float}}.get(arm, {arm})


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_value_of_another_type(document: str) -> None:
    for key in KEYS:
        allowed = {kind for arm in key.arms for kind in kinds(arm)}
        for kind, values in SAMPLES.items():
            if key.document == document and kind not in allowed:
                for value in values:
                    assert_named(key, value)


def outside(key: Key) -> list[Any]:
    """Values of the right type that are out of range: next to each limit, and far beyond it."""
    limits, number = dict(key.limits), int in key.arms or float in key.arms
    made: list[Any] = []
    if "ge" in limits and number:
        made += [limits["ge"] - 1, -(2**70)]
    if "gt" in limits:
        made += [limits["gt"], -0.5, -(2**70)]
    if "le" in limits:
        made += [limits["le"] + 1, 2**70]
    if "lt" in limits:
        made += [limits["lt"], 2**70]
    if "multiple_of" in limits:
        made += [20 * limits["multiple_of"] + 1]
    if "min_length" in limits:
        made += [{tuple: [], dict: {}}.get(typing.get_origin(arm), "") for arm in key.arms if arm is not type(None)]
    if "pattern" in limits:
        texts = ["", "/", "../up", "/root", ".", " a", "a//b", "a/../b", "0" * 63, "G" * 64]
        made += [text for text in texts if not re.search(limits["pattern"], text)]
    if float in key.arms:
        made += [float("inf"), float("-inf"), float("nan")]
    if any(typing.get_origin(arm) is typing.Literal for arm in key.arms):
        made += ["xyz", ""]
    return made


def test_a_value_out_of_range() -> None:
    limited = [(key, value) for key in KEYS for value in outside(key)]
    for key, value in limited:
        assert_named(key, value)
    assert len({key for key, _ in limited}) > 70


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_key_that_is_unknown_or_missing(document: str) -> None:
    full = DOCUMENTS[document][1]
    for key in KEYS:
        if key.document != document or not key.field:
            continue
        *above, name = key.path
        data = copy.deepcopy(full)
        mapping = at(data, tuple(above))
        mapping[f"{name}q"] = mapping.pop(name, None)
        message = message_of(document, data)
        if key.chooses:
            assert f"key '{key.text}' is missing; expected one of {', '.join(words(key.arms[0]))}" in message
            continue
        assert f"unknown key '{key.text}q'; did you mean '{name}'?" in message
        line = next(line for line in message.splitlines() if "unknown key" in line)
        for sibling in (k.path[-1] for k in KEYS if k.document == document and k.path[:-1] == tuple(above)):
            assert str(sibling) in line.split("allowed here: ")[1].split(", ")
        if key.required:
            assert f"key '{key.text}' is missing; expected " in message


def test_a_name_in_a_free_mapping() -> None:
    """Entries of a mapping have names of the reader's own, some of them within limits."""
    tried = 0
    for key in KEYS:
        for arm in key.arms:
            arguments = typing.get_args(arm)
            if typing.get_origin(arm) is dict and (pattern := plain(arguments[0])[1].get("pattern")):
                data = copy.deepcopy(DOCUMENTS[key.document][1])
                mapping = at(data, key.path)
                mapping["../x"] = mapping.pop(next(iter(mapping)))
                expected = f"key '{key.text}.../x': expected text (of the form {pattern}), found '../x'"
                assert expected in message_of(key.document, data)
                tried += 1
    assert tried >= 4


def written(value: Any, path: Path_, twice: Path_, here: Path_ = ()) -> str:
    """JSON, which is YAML, with one key of it given twice."""
    if isinstance(value, dict):
        items = [
            f"{json.dumps(name)}: {written(one, path, twice, (*here, name))}"
            for name, one in value.items()
            for _ in range(1 + ((*here, name) == twice))
        ]
        return "{" + ",\n".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(one, path, twice, (*here, i)) for i, one in enumerate(value)) + "]"
    return json.dumps(value)


@QUICK
@given(key=st.sampled_from([key for key in KEYS if isinstance(key.path[-1], str)]))
def test_a_key_that_stands_twice(key: Key) -> None:
    full = DOCUMENTS[key.document][1]
    try:
        at(full, key.path)
    except KeyError:
        return
    with pytest.raises(BookError, match=rf"^file\.yaml: .*key '{key.path[-1]}' stands twice; keep one") as caught:
        parse_yaml(written(full, (), key.path), "file.yaml")
    assert ", line " in str(caught.value)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_key_at_the_wrong_level(document: str) -> None:
    """``lr`` beside ``training`` instead of inside it, and ``training`` inside itself."""
    known = {key.path for key in KEYS if key.document == document}
    moved = 0
    for key in KEYS:
        *above, name = key.path
        if key.document != document or not key.field or not above or not isinstance(above[-1], str):
            continue
        data = copy.deepcopy(DOCUMENTS[document][1])
        outer = (*above[:-1], name)
        if outer not in known and all(isinstance(part, str) for part in above):
            target = at(data, tuple(above[:-1]))
            free = any(k.path == (*above,) and not k.field for k in KEYS if k.document == document)
            if free:
                continue
            target[name] = at(data, tuple(above)).pop(name, None)
            assert f"unknown key '{'.'.join(map(str, outer))}'" in message_of(document, data)
            moved += 1
    for name, value in DOCUMENTS[document][1].items():
        if isinstance(value, dict) and all(k.field for k in KEYS if k.path[:1] == (name,) and len(k.path) == 2):
            data = copy.deepcopy(DOCUMENTS[document][1])
            data[name] = {name: value}
            chosen = any(k.chooses for k in KEYS if k.path == (name, "name"))
            expected = f"key '{name}.name' is missing" if chosen else f"unknown key '{name}.{name}'"
            assert expected in message_of(document, data)
            moved += 1
    assert moved >= {"recipe": 30, "data set": 5}.get(document, 0)


@QUICK
@given(text=st.text(st.sampled_from("ab1:-[]{}#&*!|>?%@,'\"\n \t.~=<2_eé\x00\ud800"), max_size=40))
def test_any_text_is_a_mapping_or_an_error_that_names_the_file(text: str) -> None:
    try:
        data: Any = parse_yaml(text, "file.yaml")
    except BookError as error:
        data = str(error)
    if isinstance(data, str):
        assert data.startswith("file.yaml: ")
        return
    assert isinstance(data, dict)
    with pytest.raises(BookError, match=r"^file\.yaml: "):
        validate(WeightsManifest, data, "file.yaml")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("day: 2020-13-45\n", "not valid YAML"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested deeper than 50 levels"),
        ("{a: " * 51 + "1" + "}" * 51, "nested deeper than 50 levels"),
        ("a: &x [*x]\n", "aliases"),
        ("a: &x {b: *x}\n", "aliases"),
        ("a: !!binary aGk=\n", "not plain data"),
        ("a: !!set {b, c}\n", "not plain data"),
    ],
)
def test_yaml_that_is_valid_and_useless(text: str, part: str) -> None:
    with pytest.raises(BookError, match=rf"^file\.yaml: .*{part}"):
        validate(WeightsManifest, parse_yaml(text, "file.yaml"), "file.yaml")
