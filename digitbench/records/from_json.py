"""Parsed JSON into frozen dataclasses, by their annotations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

_PLAIN: dict[Any, Any] = {float: (float, int)}


def build(kind: Any, value: Any) -> Any:
    """Make a value of an annotated type from parsed JSON: records, tuples of them, and optional ones.

    Raises
    ------
    TypeError
        The value isn't of that type.
    """
    if isinstance(kind, UnionType):
        return None if value is None else build(get_args(kind)[0], value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        unknown = value.keys() - hints.keys() if isinstance(value, dict) else {"not an object"}
        if unknown:
            raise TypeError(f"{kind.__name__}: {', '.join(sorted(unknown))}")
        return kind(**{key: build(hints[key], item) for key, item in value.items()})
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is not a list")
        inner = get_args(kind)
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(build(one, item) for one, item in zip(kinds, value, strict=True))
    if get_origin(kind) is Mapping:
        if not isinstance(value, dict):
            raise TypeError(f"{value!r} is not an object")
        return {key: build(get_args(kind)[1], item) for key, item in value.items()}
    fits = kind is Any or (isinstance(value, _PLAIN.get(kind, kind)) and (kind is bool or not isinstance(value, bool)))
    if not fits:
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value
