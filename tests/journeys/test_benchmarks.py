"""`pytest benchmarks`, as a user runs it: pytest-benchmark's report carries accuracy beside latency."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Finished, environment

from digitbench.bundle import Bundle
from journeys.helpers import artifact_of

ROOT = Path(__file__).parents[2]
OPENED = {("numpy", "fp32"), ("onnx", "fp32"), ("onnx", "int8")}
QUICK = ("--benchmark-max-time", "0.01", "--benchmark-min-rounds", "2", "-p", "no:cacheprovider")


def benchmarks(home: Path, *options: object) -> Finished:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks", *QUICK, *map(str, options)],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.fixture(scope="module")
def report(trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    home = tmp_path_factory.mktemp("benchmarks")
    done = benchmarks(
        home, "--bundle", trained.path, "--backends", "numpy,onnx", "--precisions", "int8,fp32", "--batch-sizes", "1,8",
        "--benchmark-json", home / "found.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done, home / "found.json"


def test_each_entry_carries_accuracy_beside_latency(report: tuple[Finished, Path], trained: Bundle) -> None:
    entries = json.loads(report[1].read_text())["benchmarks"]
    predicting = [one for one in entries if one["group"].startswith("predict, batch size")]
    facts_of = [one["extra_info"] for one in predicting]
    assert sorted((facts["backend"], facts["precision"], facts["batch_size"]) for facts in facts_of) == sorted(
        (*opened, size) for opened in OPENED for size in (1, 8)
    )
    for one, facts in zip(predicting, facts_of, strict=True):
        artifact = artifact_of(trained, facts["backend"], facts["precision"])
        assert one["group"] == f"predict, batch size {facts['batch_size']}"
        assert facts["flips"] == artifact.flips
        assert facts["top1"] == pytest.approx(trained.manifest["metrics"]["test_accuracy"] - artifact.accuracy_drop)
        assert facts["threads"] == 1
        assert facts["runtime"]
        assert facts["version"]
        assert facts["artifact_bytes"] == artifact.bytes
        assert facts["images_per_second"] == pytest.approx(facts["batch_size"] / one["stats"]["mean"])


def test_loading_and_the_first_prediction_have_groups_of_their_own(report: tuple[Finished, Path]) -> None:
    entries = json.loads(report[1].read_text())["benchmarks"]
    for group in ("load", "first prediction"):
        found = [one["extra_info"] for one in entries if one["group"] == group]
        assert {(facts["backend"], facts["precision"]) for facts in found} == OPENED


def test_the_summary_shows_accuracy_and_latency_side_by_side(report: tuple[Finished, Path], trained: Bundle) -> None:
    _, _, summary = report[0].stdout.partition("accuracy and latency")
    share = f"{trained.manifest['metrics']['test_accuracy']:.2%}"
    rows = [line.split() for line in summary.splitlines() if line.startswith(("numpy ", "onnx "))]
    assert {(row[0], row[1]) for row in rows} == OPENED
    assert len(rows) == 2 * len(OPENED)
    assert all(share in row for row in rows if row[1] == "fp32")


def test_pytest_benchmark_compares_such_reports(report: tuple[Finished, Path]) -> None:
    compared = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", report[1]], capture_output=True, text=True, cwd=ROOT
    )
    assert compared.returncode == 0, compared.stderr
    assert "test_predict[onnx-8]" in compared.stdout
    assert "test_predict[onnx-int8-8]" in compared.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--backends", "onx"), "unknown backend 'onx': did you mean 'onnx'?"),
        (("--batch-sizes", "0"), "--batch-sizes 0: 0 is not 1 or more"),
        (("--precisions", "int4"), "unknown precision 'int4': did you mean 'int8'?"),
        (("--precisions", "int8", "--backends", "numpy"), "--precisions int8: none of the backends opens such"),
        (("--bundle", "nowhere"), "nowhere: no such bundle"),
    ],
)
def test_bad_options_are_told_in_a_line(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    done = benchmarks(tmp_path, *options)
    assert done.returncode == 4, done.stdout
    assert f"ERROR: {told}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
