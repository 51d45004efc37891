"""Parsed JSON into frozen dataclasses, by their annotations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

_ACCEPTED_TYPES: dict[Any, Any] = {float: (float, int)}


def build(expected: Any, value: Any) -> Any:
    """Make a value of an annotated type from parsed JSON: records, tuples of them, and optional ones.

    Raises
    ------
    TypeError
        The value isn't of that type.
    """
    if isinstance(expected, UnionType):
        return None if value is None else build(get_args(expected)[0], value)
    if isinstance(expected, type) and is_dataclass(expected):
        hints = get_type_hints(expected)
        unknown = value.keys() - hints.keys() if isinstance(value, dict) else {"not an object"}
        if unknown:
            raise TypeError(f"{expected.__name__}: {', '.join(sorted(unknown))}")
        return expected(**{key: build(hints[key], item) for key, item in value.items()})
    if get_origin(expected) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is not a list")
        inner = get_args(expected)
        item_types = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(build(item_type, item) for item_type, item in zip(item_types, value, strict=True))
    if get_origin(expected) is Mapping:
        if not isinstance(value, dict):
            raise TypeError(f"{value!r} is not an object")
        return {key: build(get_args(expected)[1], item) for key, item in value.items()}
    fits = expected is Any or (
        isinstance(value, _ACCEPTED_TYPES.get(expected, expected)) and (expected is bool or not isinstance(value, bool))
    )
    if not fits:
        raise TypeError(f"{value!r} is not {expected.__name__}")
    return value
