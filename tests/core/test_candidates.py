"""Who is measured, and what becomes of those who can't be."""

from __future__ import annotations

from pathlib import Path

import pytest
from journeys.helpers import BACKENDS, copied, rewrite_manifest
from large_runtimes import LARGE

from core.helpers import announce
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError, MissingRuntimeError, PluginError, UnknownBackendError, UsageError
from digitbench.measure.candidates import candidates

NEEDY = "import no_such_runtime"
NO_BACKEND = "class Good: pass"


@pytest.mark.parametrize(
    ("code", "requires", "message", "mend"),
    [
        (NEEDY, ["no-such-runtime"], "no-such-runtime, not installed", "pip install my-candidate"),
        (NEEDY, [], "no_such_runtime, not installed", "pip install my-candidate"),
        (NO_BACKEND, [], "not a subclass", None),
    ],
    ids=["missing and declared", "missing and not declared", "no backend"],
)
def test_an_unnamed_plugin_that_cant_run_is_a_row_and_stops_nobody(
    untrained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    code: str, requires: list[str], message: str, mend: str | None,
) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    announce(tmp_path, "my_candidate", code, names={"mine": "Good"}, requires=requires)
    rows = {candidate.row.backend: candidate for candidate in candidates(untrained, [], [1, 8], [1])}
    assert rows["mine"].artifact is None
    assert message in str(rows["mine"].row.error)
    assert rows["mine"].row.mend == mend
    assert rows["numpy"].artifact is not None
    with pytest.raises((MissingRuntimeError, PluginError), match=message):
        candidates(untrained, ["mine"], [1], [1])


def test_each_batch_size_is_a_candidate(untrained: Bundle) -> None:
    chosen = candidates(untrained, ["numpy"], [1, 8], [2])
    assert [(candidate.row.backend, candidate.row.batch_size, candidate.row.threads) for candidate in chosen] == [
        ("numpy", 1, 2),
        ("numpy", 8, 2),
    ]


def test_each_thread_count_is_a_candidate_with_a_process_of_its_own(untrained: Bundle) -> None:
    chosen = candidates(untrained, ["numpy"], [1, 8], [1, 2])
    assert [(candidate.row.threads, candidate.row.batch_size) for candidate in chosen] == [
        (1, 1),
        (1, 8),
        (2, 1),
        (2, 8),
    ]
    assert [candidate.setup for candidate in chosen] == [("numpy", "fp32", 1)] * 2 + [("numpy", "fp32", 2)] * 2


def test_a_row_that_cant_run_is_one_whatever_the_grid(untrained: Bundle) -> None:
    chosen = candidates(untrained, [], [1, 8], [1, 2])
    assert [candidate.row.batch_size for candidate in chosen if candidate.row.backend == "onnx"] == [None]


def test_the_artifact_is_recorded_as_it_is(untrained: Bundle) -> None:
    (candidate,) = candidates(untrained, ["numpy"], [1], [1])
    assert candidate.artifact
    assert candidate.row.artifact
    assert candidate.artifact == untrained.path / candidate.row.artifact.path
    assert candidate.row.artifact.bytes == candidate.artifact.stat().st_size


def test_a_name_given_twice_is_measured_once(untrained: Bundle) -> None:
    assert len(candidates(untrained, ["numpy", "numpy"], [1], [1])) == 1


def test_a_format_that_the_bundle_lacks_is_a_row_with_the_command_that_makes_it(untrained: Bundle) -> None:
    rows = {candidate.row.backend: candidate.row for candidate in candidates(untrained, [], [1], [1])}
    assert rows["onnx"].mend == f"digitbench export {untrained.path} --format onnx --precision fp32"
    with pytest.raises(ArtifactError, match="no fp32 artifact of format 'onnx'"):
        candidates(untrained, ["onnx"], [1], [1])


def test_an_unknown_name_is_refused_before_anything_is_measured(untrained: Bundle) -> None:
    with pytest.raises(UnknownBackendError, match="did you mean 'numpy'"):
        candidates(untrained, ["numpi"], [1], [1])


def test_a_precision_that_the_bundle_lacks_costs_the_others_nothing(trained: Bundle, tmp_path: Path) -> None:
    bundle = copied(trained, tmp_path)
    bundle.stored["artifacts"] = [entry for entry in bundle.stored["artifacts"] if entry["precision"] != "int8"]
    rewrite_manifest(bundle, bundle.stored)
    chosen = candidates(bundle, [], [1], [1], ["fp32", "int8"])
    able = {(candidate.row.backend, candidate.row.precision) for candidate in chosen if candidate.artifact}
    assert able == {(name, "fp32") for name in BACKENDS}
    absent = {
        (candidate.row.backend, candidate.row.precision): candidate.row
        for candidate in chosen
        if not candidate.artifact and candidate.row.backend not in LARGE
    }
    assert set(absent) == {(name, "int8") for name in ("onnx", "openvino", "tflite", "tract")}
    assert absent["onnx", "int8"].mend == f"digitbench export {bundle.path} --format onnx --precision int8"
    # By name as well, as long as there is something to measure.
    assert len(candidates(bundle, ["onnx,tflite"], [1], [1], ["fp32", "int8"])) == 4
    with pytest.raises(ArtifactError, match="no int8 artifact of format 'onnx'"):
        candidates(bundle, ["onnx"], [1], [1], ["int8"])


def test_a_precision_that_a_named_backend_never_runs_is_refused(untrained: Bundle) -> None:
    with pytest.raises(UsageError, match=r"--precision int8: backend 'numpy' doesn't run it \(it runs: fp32\)"):
        candidates(untrained, ["numpy"], [1], [1], ["int8"])
    assert [candidate.row.precision for candidate in candidates(untrained, ["numpy"], [1], [1], ["int8", "fp32"])] == [
        "fp32"
    ]
