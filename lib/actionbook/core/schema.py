"""Strict YAML files: every unknown key, wrong type or value out of range is an error that names file and key."""

from __future__ import annotations

import difflib
import inspect
import json
import re
import types
import typing
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from actionbook.core.errors import BookError
from actionbook.core.paths import shown


class Strict(BaseModel):
    """Base of all schemas: immutable, no unknown keys, no silent conversion (the text "8" is not the number 8)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME)]
"""Names that files and folders are made from."""

Schema = TypeVar("Schema", bound=Strict)


DEEPEST = 50
"""Levels of a YAML file; recipes have six. A limit of our own, before Python's is reached somewhere."""
MOST = 100_000
"""Values in a YAML file; the manifest of Kinetics-400 has some five hundred."""


_TEXT = "tag:yaml.org,2002:str"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, without what is dangerous or surely a mistake; and 1e-3 is a number, as in YAML 1.2."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _size(node, {})
        return node


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def _size(node: yaml.Node, sizes: dict[yaml.Node, int], level: int = 1) -> int:
    """Number of values with every alias (*) written out: a few lines of them, nested, would fill any memory.

    Raises YAMLError where these are too many or too deep, and for a key that is no text or stands twice (YAML says so;
    PyYAML keeps the last one silently).
    """
    if level > DEEPEST:
        raise _refused(node, f"nested deeper than {DEEPEST} levels")
    if node not in sizes:
        sizes[node] = MOST  # should it come again inside itself
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                if key.tag != _TEXT:
                    raise _refused(key, f"key {key.value if key.id == 'scalar' else key.id} is not text; quote it")
                if key.value in seen:
                    raise _refused(key, f"key {key.value!r} stands twice; keep one")
                seen.add(key.value)
            parts = [value for _, value in node.value]
        sizes[node] = 1 + sum(_size(part, sizes, level + 1) for part in parts)
    if sizes[node] > MOST:
        raise _refused(node, f"more than {MOST} values once its aliases (*) are written out")
    return sizes[node]


def _refused(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML file that holds one mapping. Raises BookError naming the file, and the line where it can."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BookError(f"{shown(path)}: cannot be read ({error.strerror}); check the name") from error
    except UnicodeDecodeError as error:
        raise BookError(f"{shown(path)}: is not valid YAML: {error}") from error
    return parse_yaml(text, shown(path))


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """One mapping from YAML text. Raises BookError that begins with `source`, and names the line where it can."""
    try:
        data = _Loader(text).get_single_data()
    except RecursionError as error:
        raise BookError(f"{source}: is not valid YAML here: nested deeper than {DEEPEST} levels") from error
    except (yaml.YAMLError, ValueError) as error:  # PyYAML lets the errors of dates and numbers pass through
        raise BookError(f"{source}: is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise BookError(
            f"{source}: expected a mapping of keys to values, found {type(data).__name__}: {str(data)[:80]}"
        )
    return data


def as_yaml(data: dict[str, Any]) -> str:
    """Plain data as the text of a YAML file that `read_yaml` reads as the same data."""
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120))


def validate(schema: type[Schema], data: dict[str, Any], source: str) -> Schema:
    """Check `data` against `schema`; `source` (a file's name) leads every message of the BookError raised."""
    try:
        # JSON mode is strict about scalars and still takes a list where a tuple is declared.
        return schema.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        lines = dict.fromkeys(f"{source}: {_explain(schema, data, item)}" for item in error.errors())
        raise BookError("\n".join(lines)) from error
    except (TypeError, RecursionError, ValueError) as error:
        raise BookError(f"{source}: holds a value that is not plain data ({error}); quote dates as text") from error


def load(schema: type[Schema], path: Path | str) -> Schema:
    """Read and check one YAML file."""
    return validate(schema, read_yaml(path), shown(path))


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping; neither is altered.

    A mapping that gets another ``name`` is replaced whole: the options of one network mean nothing to the next.
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("name", old.get("name")) == old.get("name"):
            result[key] = merge(old, value)
        else:
            result[key] = value
    return result


def twice(names: Iterable[str]) -> str:
    """Those of `names` that stand there more than once, for a message; no text where all differ."""
    return ", ".join(name for name, count in sorted(Counter(names).items()) if count > 1)


def _explain(schema: type[Strict], data: Any, item: Any) -> str:
    """One sentence for one pydantic error: the key, what is wrong, what is allowed."""
    kind, found = item["type"], item.get("input")
    place, expected = _place(schema, data, item["loc"])
    if kind.startswith("union_tag"):
        place, expected, found = [*place, "name"], typing.Literal[tuple(_named(expected))], found.get("name")
        kind = "missing" if kind == "union_tag_not_found" else kind
    key = ".".join(map(str, place)) or "(top level)"
    if kind == "extra_forbidden":
        allowed = sorted(expected.model_fields) if _is_schema(expected) else []
        near = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown key {key!r}; {hint}allowed here: {', '.join(allowed)}"
    if kind == "missing":
        return f"key {key!r} is missing; expected {describe(expected)}"
    if kind in {"value_error", "json_invalid"}:
        message = item["msg"].removeprefix("Value error, ")
        return f"key {key!r}: {message[0].lower()}{message[1:]}"
    quoted = isinstance(found, str) and kind in {"float_type", "int_type"}
    hint = " (no quotes around numbers)" if quoted else ""
    return f"key {key!r}: expected {describe(expected)}, found {_shown(found)}{hint}"


def describe(annotation: Any) -> str:
    """What a key of this type may hold, in words: "a whole number (at least 1)", "one of rgb, flow"."""
    annotation, limits = _unwrapped(annotation)
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if (named := _named(annotation)) and types.NoneType not in arguments:
        return f"a mapping whose name is {describe(typing.Literal[tuple(named)])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if arm is types.NoneType else describe(arm) for arm in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}" if len(arguments) > 1 else f"{arguments[0]}"
    text = _NAMES.get(annotation, "a value")
    if origin is tuple and arguments[-1] is ...:
        text = f"a list, each item {describe(arguments[0])}"
    elif origin is tuple:
        text = f"a list of {len(arguments)}: {', then '.join(map(describe, arguments))}"
    elif origin is dict:
        text = f"a mapping, each value {describe(arguments[1])}"
    elif _is_schema(annotation):
        text = f"a mapping with the keys {', '.join(annotation.model_fields)}"
    bounds = [_LIMITS[name].format(value) for name, value in limits.items() if value is not None]
    return f"{text} ({', '.join(bounds)})" if bounds else text


_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Any: "any value",
}
_LIMITS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "multiple_of": "a multiple of {}",
    "min_length": "length at least {}",
    "max_length": "length at most {}",
    "pattern": "of the form {}",
}


def _unwrapped(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """A type without `Annotated` or pydantic's field around it, and the limits that these set."""
    limits: dict[str, Any] = {}
    while True:
        if isinstance(annotation, FieldInfo):
            metadata, annotation = annotation.metadata, annotation.annotation
        elif typing.get_origin(annotation) is typing.Annotated:
            annotation, *metadata = typing.get_args(annotation)
        else:
            return annotation, limits
        for one in [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]:
            limits |= {name: getattr(one, name) for name in _LIMITS if getattr(one, name, None) is not None}


def _place(schema: type[Strict], data: Any, location: tuple[Any, ...]) -> tuple[list[Any], Any]:
    """The keys that lead to an error, without pydantic's own names for the arms of a union, and the type there.

    For an unknown key it is the type of the mapping around it.
    """
    keys: list[Any] = []
    expected: Any = schema
    around: Any = schema
    for part in location:
        if part == "[key]":  # the name of an entry is wrong, not what it holds
            return keys, next((typing.get_args(arm)[0] for arm in _arms(around) if typing.get_args(arm)), str)
        if part in (named := _named(expected)):  # which schema was chosen
            expected = named[str(part)]
            continue
        inside = isinstance(data, dict) and isinstance(part, str)
        inside |= isinstance(data, list) and isinstance(part, int)
        if not inside:  # "int" or "str": which type was tried
            continue
        keys.append(part)
        found = _inner(expected, part)
        if found is None:
            return keys, next((arm for arm in _arms(expected) if _is_schema(arm)), expected)
        around, expected = expected, found
        present = part in data if isinstance(data, dict) else part < len(data)
        data = data[part] if present else None
    return keys, expected


def _arms(annotation: Any) -> list[Any]:
    """The types that a union allows; of another type, itself."""
    plain = _unwrapped(annotation)[0]
    union = typing.get_origin(plain) in (typing.Union, types.UnionType)
    return [arm for part in typing.get_args(plain) for arm in _arms(part)] if union else [plain]


def _named(annotation: Any) -> dict[str, type[Strict]]:
    """The schemas among which the key `name` of a mapping chooses, by that name; none for any other type."""
    schemas = [arm for arm in _arms(annotation) if _is_schema(arm) and "name" in arm.model_fields]
    if len(schemas) < 2:
        return {}
    return {name: arm for arm in schemas for name in typing.get_args(arm.model_fields["name"].annotation)}


def _inner(annotation: Any, part: str | int) -> Any:
    """The type of what `part` leads to in a value of the type `annotation`; None where it leads nowhere."""
    for arm in _arms(annotation):
        arguments, origin = typing.get_args(arm), typing.get_origin(arm)
        if _is_schema(arm) and part in arm.model_fields:
            return arm.model_fields[part]
        if origin is dict:
            return arguments[1]
        if origin is tuple and isinstance(part, int):
            return arguments[0] if arguments[-1] is ... else arguments[min(part, len(arguments) - 1)]
    return None


def _is_schema(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, Strict)


def _shown(value: Any) -> str:
    """A value as it may stand in a message: one line, not too long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
