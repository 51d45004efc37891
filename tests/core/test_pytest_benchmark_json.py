"""Results as pytest-benchmark's JSON: the values that it computes itself, read by its own command."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.stats import Stats

from core.rows import MISSING, compared, generation, results_of, sampled, timed
from digitbench.errors import ResultsError
from digitbench.records.results import Finding, Ratio, Results, Row
from digitbench.records.settings import Settings
from digitbench.report.pytest_benchmark import statistics_of, to_pytest_benchmark


def sampled_row(name: str, batch: int, *nanoseconds: Sequence[int], **changes: object) -> Row:
    """A row whose generations hold these samples."""
    generations = tuple(sampled(generation(index), durations) for index, durations in enumerate(nanoseconds))
    return compared(name, batch, 10, 1, Ratio(1.5, (1.4, 1.6)), **{"generations": generations, **changes})


def a_run(slower: int = 0) -> Results:
    return results_of(
        sampled_row("onnx", 1, [10_000 + slower, 12_000, 11_000], [13_000, 14_000]),
        sampled_row("keras", 1, [300_000, 310_000, 290_000 + slower], [305_000]),
        sampled_row("onnx", 32, [100_000, 120_000 + slower, 110_000]),
        MISSING,
        timed("numpy", 1, 10),
        settings=Settings(generations=2, seconds=3.0),
    )


def compare(folder: Path, *arguments: object) -> str:
    """Run the real command."""
    completed = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, arguments)], cwd=folder, capture_output=True,
        text=True, timeout=60, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    assert "Failed to load" not in completed.stderr
    return completed.stdout


@pytest.mark.parametrize("n", [*range(1, 14), 100, 101, 102, 103])
def test_statistics_are_those_that_pytest_benchmark_computes(n: int) -> None:
    seconds = 100 + np.random.default_rng(n).standard_t(2, size=n)  # outliers on both sides
    stats = Stats()
    stats.data = seconds.tolist()
    computed, expected = statistics_of(seconds), stats.as_dict()
    assert list(computed) == list(expected)
    for name, value in expected.items():
        assert computed[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-12)), name


def test_equal_samples_have_no_spread() -> None:
    stats = Stats()
    stats.data = [2e-6] * 8
    assert statistics_of(np.full(8, 2e-6))["outliers"] == stats.outliers == "0;0"


def test_an_entry_has_its_rows_times_in_seconds_over_all_generations() -> None:
    first = to_pytest_benchmark(a_run())["benchmarks"][0]
    assert first["name"] == "predict[onnx-fp32-threads1-batch1]"
    assert first["group"] == "predict, batch size 1"
    assert first["params"] == {"backend": "onnx", "precision": "fp32", "threads": 1, "batch_size": 1}
    assert first["stats"]["rounds"] == 5
    assert first["stats"]["median"] == pytest.approx(12e-6)
    assert "data" not in first["stats"]
    with_data = to_pytest_benchmark(a_run(), data=True)["benchmarks"][0]
    assert with_data["stats"]["data"] == pytest.approx([10e-6, 12e-6, 11e-6, 13e-6, 14e-6])


def test_extra_info_is_named_as_in_the_suite() -> None:
    row = sampled_row("onnx", 32, [10, 11], validity=(Finding("busy", "wait"),))
    (entry,) = to_pytest_benchmark(results_of(row))["benchmarks"]
    extra = entry["extra_info"]
    suite = (Path(__file__).parents[2] / "benchmarks" / "conftest.py").read_text(encoding="utf-8")
    for name in ("backend", "runtime", "version", "threads", "top1", "flips", "artifact_bytes", "dataset", "batch_size",
                 "images_per_second"):  # fmt: skip
        assert f'"{name}"' in suite
        assert extra[name] is not None
    assert extra["valid"] is False
    assert extra["invalid_because"] == ["busy"]
    assert extra["ratio_interval"] == (1.4, 1.6)
    assert extra["median_interval"] == pytest.approx([9.7e-6, 10.2e-6])


def test_a_provisional_row_says_why_and_has_no_images_per_second() -> None:
    row = sampled_row("onnx", 32, [10, 11], validity=(), doubts=(Finding("busy", "wait"),))
    (entry,) = to_pytest_benchmark(results_of(row))["benchmarks"]
    assert (entry["extra_info"]["valid"], entry["extra_info"]["images_per_second"]) == (True, None)
    assert entry["extra_info"]["provisional_because"] == ["busy"]


def test_threads_other_than_one_are_another_group() -> None:
    (entry,) = to_pytest_benchmark(results_of(sampled_row("onnx", 1, [10, 11], threads=2)))["benchmarks"]
    assert entry["group"] == "predict, batch size 1, 2 threads"
    assert entry["name"] == "predict[onnx-fp32-threads2-batch1]"


def test_what_is_left_out_is_said() -> None:
    half = sampled_row("keras", 8, [10, 11], [12, 13])
    half = replace(half, generations=(half.generations[0], replace(half.generations[1], samples="")))
    report = to_pytest_benchmark(
        results_of(MISSING, timed("numpy", 1, 10), Row("tflite", "fp32", 1, 1), half, sampled_row("onnx", 1, [10]))
    )
    reason = "its raw samples are not in these results, and pytest-benchmark's figures need them"
    left_out = {entry["name"]: entry["reason"] for entry in report["digitbench"]["left_out"]}
    assert left_out == {
        "predict[openvino-fp32-threads1-batch1]": "not installed: openvino",
        "predict[numpy-fp32-threads1-batch1]": reason,
        "predict[tflite-fp32-threads1-batch1]": "not timed",
        "predict[keras-fp32-threads1-batch8]": reason,
    }
    assert [entry["name"] for entry in report["benchmarks"]] == ["predict[onnx-fp32-threads1-batch1]"]


def test_broken_samples_are_an_error_and_no_entry() -> None:
    row = compared("onnx", 1, 10, 1, None, generations=(replace(generation(0), samples="???"),))
    with pytest.raises(ResultsError, match="can't be decoded"):
        to_pytest_benchmark(results_of(row))


def test_the_real_command_compares_two_files(tmp_path: Path) -> None:
    for name, slower in (("1-before", 0), ("2-after", 5_000)):
        value = json.dumps(to_pytest_benchmark(a_run(slower)), allow_nan=False)
        (tmp_path / f"{name}.json").write_text(value)
    single_file = compare(tmp_path, "1-before.json")
    assert "benchmark 'predict, batch size 1': 2 tests" in single_file
    assert "predict[onnx-fp32-threads1-batch32]" in single_file
    two_files = compare(
        tmp_path, "1-before.json", "2-after.json", "--group-by", "param:backend,param:batch_size", "--sort", "mean",
        "--columns", "min,median,rounds,outliers,iqr", "--csv", "out.csv",
    )  # fmt: skip
    assert "benchmark 'backend=onnx batch_size=1': 2 tests" in two_files
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = [
            row for row in csv.DictReader(stream) if row["param:backend"] == "onnx" and row["param:batch_size"] == "1"
        ]
    assert [float(row["median"]) for row in rows] == pytest.approx([12e-6, 13e-6])
    between = compare(tmp_path, "1-before.json", "2-after.json", "--between", "median")
    assert "+8.3%" in between
