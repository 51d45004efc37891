"""Results files that somebody broke: one line says what is wrong, and where in the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.helpers import one_printable_line
from core.rows import results_of
from core.test_results import FULL, good
from digitbench.errors import ResultsError
from digitbench.records.results import Results

ROW = good()["rows"][0]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def refusal(path: Path) -> str:
    with pytest.raises(ResultsError) as caught:
        Results.read(path)
    assert one_printable_line(str(caught.value))
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe{}", b'{"schema": "\xff"}', b'{"schema": NaN}', b'{"schema": 1e400}', b"[" * 100_000,
        b'{"a":' * 100_000, b'{"schema": "digitbench.results/5"} {}', b"\0",
    ],
    ids=lambda content: repr(content[:20]),
)  # fmt: skip
def test_what_is_no_json_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(content)
    assert "can't be read as results: " in refusal(path)


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("threads", "2", "$.rows[0].threads"),
        ("threads", 1.5, "$.rows[0].threads"),
        ("threads", True, "$.rows[0].threads"),
        ("load_seconds", "long", "$.rows[0].load_seconds"),
        ("load_seconds", 10**400, "$.rows[0].load_seconds"),
        ("latency_us", {**ROW["latency_us"], "n": None}, "$.rows[0].latency_us.n"),
        ("latency_us", {**ROW["latency_us"], "intervals": {"p50": [1.0]}}, "$.rows[0].latency_us.intervals"),
        ("accuracy", {**ROW["accuracy"], "interval": [0, 1, 2]}, "$.rows[0].accuracy.interval"),
        ("agreement", {"reference": "keras", "flips": 1, "max_abs_diff": 0, "flipped": [{"index": 1}]},
         "$.rows[0].agreement.flipped[0]"),
        ("generations", [7], "$.rows[0].generations[0]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_path(tmp_path: Path, key: str, value: Any, path: str) -> None:
    broken = good()
    broken["rows"][0][key] = value
    file = tmp_path / "found.json"
    file.write_text(json.dumps(broken), encoding="utf-8")
    message = refusal(file)
    assert "not digitbench results: " in message
    assert f"`{path}" in message


def test_a_whole_number_will_do_for_any_other_and_the_last_of_two_keys_counts(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    text = results_of(replace(FULL, load_seconds=3.0)).dumps()
    text = text.replace('"load_seconds": 3.0', '"load_seconds": 7, "load_seconds": 4')
    path.write_text(text, encoding="utf-8")
    (row,) = Results.read(path).rows
    assert row.load_seconds == 4
    assert isinstance(row.load_seconds, float)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused_in_a_line(data: st.DataObject) -> None:
    value = good()
    part: Any = value
    while True:
        key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        if not (isinstance(part[key], dict | list) and part[key]) or data.draw(st.booleans()):
            break
        part = part[key]
    part[key] = data.draw(anything)
    message = "x"
    try:
        Results.from_json(value, "x.json")
    except ResultsError as exc:
        message = str(exc)
    assert one_printable_line(message)
