"""Error messages of runtimes: the sentence that gives the reason is kept, and what stands around it isn't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.helpers import one_printable_line
from digitbench.errors import MOST, ArtifactError, reason

# The runtimes of constraints.txt gave these messages; only paths and layers within a configuration were changed.
MESSAGES = json.loads((Path(__file__).parent / "runtime_messages.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("example", MESSAGES, ids=lambda example: example["what"])
def test_a_runtimes_message_becomes_the_reason(example: dict[str, str]) -> None:
    line = reason(RuntimeError(example["message"]))
    assert line == example["line"]
    assert one_printable_line(line)
    assert len(line) <= MOST
    assert reason(example["message"]) == line


@pytest.mark.parametrize("example", MESSAGES, ids=lambda example: example["what"])
def test_no_place_in_sources_is_left(example: dict[str, str]) -> None:
    line = reason(example["message"])
    assert not [
        word for word in (".cpp:", ".cc:", ".h:", ".hpp:", "std::", "Check '", "{{node", "config=") if word in line
    ]


def test_a_file_that_is_named_already_is_named_in_short(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    message = f"File not found: filepath={path}. Please ensure the file is an accessible `.keras` zip file."
    assert reason(message, path) == (
        "File not found: filepath=net.keras. Please ensure the file is an accessible `.keras` zip file."
    )


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("/tmp/digitbench-x1_y2z3w/model.onnx: can't be read", "model.onnx: can't be read"),
        ("/data/runs/.net-1.ab12_cd3/net-1/artifacts/model-fp32.onnx: gone", "model-fp32.onnx: gone"),
        ("Cannot parse '/tmp/digitbench-x1_y2z3w/a/saved_model.pb'", "Cannot parse 'saved_model.pb'"),
        ("/home/digitbench-projects/a.onnx: gone", "/home/digitbench-projects/a.onnx: gone"),
        ("/home/.cache.abcd1234x/a.onnx: gone", "/home/.cache.abcd1234x/a.onnx: gone"),
        ("/data/runs/net-1/artifacts/model-fp32.onnx: gone", "/data/runs/net-1/artifacts/model-fp32.onnx: gone"),
    ],
)
def test_a_temporary_folder_of_ours_is_never_named(message: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert reason(message) == reason(ArtifactError(message)) == line
    monkeypatch.setattr("tempfile.tempdir", "/tmp/digitbench-x1_y2z3w")  # as in a worker
    assert reason(message) == reason(ArtifactError(message)) == line


def test_an_error_of_ours_is_whole_already(tmp_path: Path) -> None:
    message = f"/home/ada/{'deep/' * 30}net.onnx: OpenVINO can't open it: " + "it is. " * 20 + "So."
    assert len(message) > MOST
    assert reason(ArtifactError(message)) == message
    endless = ArtifactError("It failed. " * 500 + "No conversion rule found for operations: FancyGemm")
    assert reason(endless).endswith("No conversion rule found for operations: FancyGemm")
    assert len(reason(endless)) <= MOST


def test_sentences_nearest_to_the_end_are_kept_and_advice_goes_first() -> None:
    first, middle, last = f"First {'a' * 80}.", f"Middle {'b' * 90}.", f"Last {'c' * 80}."
    assert reason(f"{first} {middle} {last}") == f"{middle} {last}"
    assert reason(f"{first} Please {'b' * 90}. {last}") == f"{first} {last}"
    assert reason(f"{first} {'Middle'} {'b' * 150}. {last}") == f"{first} … {last}"
    assert reason(f"Begin {'x' * 500} end").startswith("Begin x")
    assert reason(f"Begin {'x' * 500} end").endswith("x end")


@pytest.mark.parametrize("message", ["", "\n \x00", "[ONNXRuntimeError] : 1 : FAIL : "])
def test_where_nothing_is_said_it_is_the_exceptions_name(message: str) -> None:
    assert reason(ValueError(message)) == "ValueError"


@given(st.text(max_size=2000))
def test_any_message_is_one_line_of_that_length(message: str) -> None:
    line = reason(RuntimeError(message))
    assert one_printable_line(line)
    assert len(line) <= MOST


def test_a_long_message_takes_no_time() -> None:
    junk = "/a/b.cc:1 x::y(" * 5000 + "(" * 5000 + "\ufffd" * 10**6
    assert len(reason(junk + ". The reason is 42.")) <= MOST
