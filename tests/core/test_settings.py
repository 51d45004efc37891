"""How a run was measured is read in every form that was ever written."""

from __future__ import annotations

from typing import Any

import pytest

from core.test_results import good
from digitbench.errors import ResultsError
from digitbench.records.results import Results


@pytest.mark.parametrize(
    ("recorded", "pair", "name"),
    [
        (["onnx", "int8"], ("onnx", "int8"), "onnx:int8"),
        ({"backend": "onnx", "precision": "int8"}, ("onnx", "int8"), "onnx:int8"),
        ("onnx", None, "onnx"),
        ("onnx:int8", None, "onnx:int8"),
        (None, None, None),
    ],
    ids=repr,
)
def test_a_baseline_is_read_in_every_form(recorded: Any, pair: tuple[str, str] | None, name: str | None) -> None:
    settings = Results.from_json({**good(), "settings": {"seconds": 3, "baseline": recorded}}, "x.json").settings
    assert (settings.baseline_pair, settings.baseline_name, settings.seconds, settings.seed) == (pair, name, 3.0, None)
    assert settings.options == {"seconds": 3.0} | ({"baseline": name} if name else {})


def test_whether_a_run_was_strict_is_an_option_of_it() -> None:
    settings = Results.from_json({**good(), "settings": {"seconds": 3, "strict": True}}, "x.json").settings
    assert settings.options == {"seconds": 3.0, "strict": True}


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"seconds": "3"}, r"\$\.settings\.seconds"),
        ({"baseline": ["onnx"]}, r"\$\.settings\.baseline"),
        ([], "settings"),
    ],
)
def test_settings_that_are_malformed_are_refused_with_their_path(settings: Any, path: str) -> None:
    with pytest.raises(ResultsError, match=path):
        Results.from_json({**good(), "settings": settings}, "x.json")
