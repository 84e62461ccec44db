"""Strict YAML files: every unknown key, wrong type or value out of range is an error that names file and key."""

from __future__ import annotations

import difflib
import inspect
import json
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from actionbook.core.errors import BookError
from actionbook.core.paths import shown


class Strict(BaseModel):
    """Base of all schemas: immutable, no unknown keys, no silent conversion (the text "8" is not the number 8)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Schema = TypeVar("Schema", bound=Strict)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but a key given twice is an error (YAML says so; PyYAML keeps the last one silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


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
    except yaml.YAMLError as error:
        raise BookError(f"{source}: is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise BookError(
            f"{source}: expected a mapping of keys to values, found {type(data).__name__}: {str(data)[:80]}"
        )
    return data


def validate(schema: type[Schema], data: dict[str, Any], source: str) -> Schema:
    """Check `data` against `schema`; `source` (a file's name) leads every message of the BookError raised."""
    try:
        # JSON mode is strict about scalars and still takes a list where a tuple is declared.
        return schema.model_validate_json(json.dumps(data), strict=True)
    except TypeError as error:
        raise BookError(f"{source}: holds a value that is not plain data ({error}); quote dates as text") from error
    except ValidationError as error:
        lines = [f"{source}: {_explain(schema, item)}" for item in error.errors()]
        raise BookError("\n".join(lines)) from error


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


def _explain(schema: type[Strict], item: Any) -> str:
    """One sentence for one pydantic error: the key, what is wrong, what is allowed."""
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
    kind, found = item["type"], item.get("input")
    if kind == "extra_forbidden":
        allowed = _fields_at(schema, item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown key {key!r}; {hint}allowed here: {', '.join(allowed)}"
    if kind == "missing":
        return f"key {key!r} is missing"
    message = item["msg"].removeprefix("Value error, ")
    hint = ""
    if isinstance(found, str) and kind in {"float_type", "int_type"}:
        hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if "e" in found.lower() else " (no quotes around numbers)"
    shown_value = f", found {found!r}" if isinstance(found, str | int | float | bool | None) else ""
    return f"key {key!r}: {message[0].lower()}{message[1:]}{shown_value}{hint}"


def _fields_at(schema: type[Strict], location: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model that `location` leads to, walking through lists, mappings and optionals."""
    models: list[type[Strict]] = [schema]
    for part in location:
        annotations = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [found for a in annotations for found in _models_in(a)] or models
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[Strict]]:
    if inspect.isclass(annotation):
        return [annotation] if issubclass(annotation, Strict) else []
    return [found for inner in typing.get_args(annotation) for found in _models_in(inner)]
