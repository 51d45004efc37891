"""Parsed JSON becomes records, or a TypeError that says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitbench.records.from_json import build


@dataclass(frozen=True)
class Inner:
    share: float
    name: str = ""


@dataclass(frozen=True)
class Outer:
    count: int
    pair: tuple[float, int]
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    whatever: Any = None


numbers = st.floats(allow_nan=False)
inners = st.builds(Inner, numbers, st.text())
outers = st.builds(
    Outer,
    count=st.integers(),
    pair=st.tuples(numbers, st.integers()),
    inner=st.none() | inners,
    many=st.lists(inners, max_size=3).map(tuple),
    named=st.dictionaries(st.text(), st.tuples(numbers, numbers), max_size=3),
    whatever=st.none() | st.text() | st.lists(st.integers()),
)


def jsonlike(value: Any) -> Any:
    """Lists for tuples, as JSON gives them."""
    if isinstance(value, dict):
        return {key: jsonlike(item) for key, item in value.items()}
    return [jsonlike(item) for item in value] if isinstance(value, list | tuple) else value


@given(outers)
def test_what_was_a_record_becomes_it_again(record: Outer) -> None:
    assert build(Outer, jsonlike(asdict(record))) == record


def test_what_is_left_out_takes_its_default() -> None:
    assert build(Outer, {"count": 1, "pair": [1, 2]}) == Outer(1, (1, 2))
    assert build(Outer, {"count": 1, "pair": [1, 2], "inner": None}).inner is None


def test_a_whole_number_will_do_for_any_other() -> None:
    assert build(float, 3) == 3
    assert build(Mapping[str, float], {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": "1"}, "'1' is not int"),
        ({"count": 1.5}, "1.5 is not int"),
        ({"count": None}, "None is not int"),
        ({"pair": 3}, "3 is not a list"),
        ({"pair": "ab"}, "'ab' is not a list"),
        ({"pair": ["a", 2]}, "'a' is not float"),
        ({"inner": []}, "Inner: not an object"),
        ({"inner": {"share": 1, "size": 2}}, "Inner: size"),
        ({"inner": {}}, "share"),
        ({"many": [{"share": 1}, {"share": "1"}]}, "'1' is not float"),
        ({"many": [None]}, "Inner: not an object"),
        ({"named": {"p50": [1.0, "2"]}}, "'2' is not float"),
        ({"named": []}, r"\[\] is not an object"),
        ({"named": None}, "None is not an object"),
        ({"many": [{"share": True}]}, "True is not float"),
        ({"colour": 1}, "Outer: colour"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        build(Outer, {"count": 1, "pair": [1, 2], **changes})


@pytest.mark.parametrize("pair", [[1], [1, 2, 3]])
def test_a_tuple_has_its_length(pair: list[int]) -> None:
    with pytest.raises((TypeError, ValueError)):
        build(Outer, {"count": 1, "pair": pair})


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_record_is_made_of_an_object(value: Any) -> None:
    with pytest.raises(TypeError, match="Outer: not an object"):
        build(Outer, value)
