"""`digitbench bench`: figures that agree with one another, in every form that they can be had in."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Finished, complaint, run_cli

from digitbench import data
from digitbench.bundle import Bundle
from journeys.helpers import BACKENDS, copied, first_on_path, table_rows

QUICK_SECONDS = 0.3
LEAST = ("-b", "numpy", "--batch-size", "1", "--seconds", "0.05", "--generations", "1")
DISTRIBUTIONS = {
    "keras": "keras", "numpy": "numpy", "onnx": "onnxruntime", "openvino": "openvino", "savedmodel": "tensorflow",
    "tflite": "ai-edge-litert",
}  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> tuple[Finished, dict[str, Any]]:
    """All six with --quick: the finished command, and its JSON."""
    folder = tmp_path_factory.mktemp("quick")
    done = run_cli("bench", trained.path, "--quick", "--batch-size", "1", "--json", "found.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done, json.loads((folder / "found.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> tuple[Finished, Path]:
    """Two backends, a grid of batch sizes and threads, two generations, every output: the command, and its folder."""
    folder = tmp_path_factory.mktemp("pair")
    done = run_cli(
        "bench", trained.path, "-b", "onnx", "-b", "tflite", "--batch-size", "1,8", "--threads", "1,2",
        "--seconds", "0.2", "--generations", "2", "--baseline", "tflite", "--seed", "7", "--ledger", "--quiet",
        "--json", "found.json", "--csv", "found.csv", "--markdown", "found.md",
        "--pytest-benchmark-json", "pytest.json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done, folder


def results_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return found


def check_figures(row: dict[str, Any], seconds: float, generations: int = 1) -> None:
    """A row's figures are possible, and agree with one another."""
    latency = row["latency_us"]
    assert set(latency) == {"n", "min", "mean", "p50", "p90", "p99", "p999", "max", "intervals"}
    known = [latency[name] for name in ("min", "p50", "p90", "p99", "p999", "max") if latency[name] is not None]
    assert known == sorted(known)
    assert 0 < latency["min"] <= latency["mean"] <= latency["max"]
    assert latency["n"] * latency["mean"] / 1e6 >= seconds * 0.999_999
    assert row["throughput_per_s"] == pytest.approx(row["batch_size"] / latency["mean"] * 1e6)
    assert row["load_seconds"] > 0
    assert row["first_prediction_us"] > 0
    assert 10e6 < row["peak_rss_bytes"] < 10e9
    assert 0 < row["cpu_seconds_per_1000"] < 100
    assert [one["index"] for one in row["generations"]] == list(range(generations))
    assert sum(one["n"] for one in row["generations"]) == latency["n"]
    for one in row["generations"]:
        assert one["seconds"] >= seconds / generations * 0.999_999
        assert one["wrong_labels"] == 0
    for name, (low, high) in latency["intervals"].items():
        assert low <= latency[name] <= high


def check_table(printed: str, rows: list[dict[str, Any]]) -> None:
    """Every row is in the table with its p50, those of one batch size and thread count together."""
    cells = [cells for _, cells in table_rows(printed)]
    assert sorted((line[0], line[2], line[6].split()[0]) for line in cells) == sorted(
        (row["backend"], str(row["batch_size"]), f"{row['latency_us']['p50']:,.1f}") for row in rows
    )
    groups = [line[2] for line in cells]
    assert sum(one != other for one, other in pairwise(groups)) + 1 <= len(
        {(row["batch_size"], row["threads"]) for row in rows}
    )


def test_the_json_describes_machine_bundle_and_every_row(
    quick: tuple[Finished, dict[str, Any]], trained: Bundle
) -> None:
    _, results = quick
    assert results["schema"] == "digitbench.results/2"
    assert results["complete"] is True
    assert results["machine"]["cpu"]
    assert results["machine"]["cores"]["available"] >= 1
    assert results["bundle"]["name"] == trained.name
    assert results["bundle"]["recipe"] == trained.recipe_name
    assert results["bundle"]["dataset"]["fingerprint"] == trained.dataset["fingerprint"]
    assert (results["settings"]["seconds"], results["settings"]["generations"]) == (QUICK_SECONDS, 1)
    assert results["settings"]["baseline"][0] in BACKENDS
    assert [row["backend"] for row in results["rows"]] == sorted(BACKENDS)
    for row in results["rows"]:
        assert (row["precision"], row["batch_size"], row["threads"]) == ("fp32", 1, 1)
        assert set(row["runtime"]) == {"name", "version", "provider", "threads"}
        assert row["runtime"]["version"].startswith(metadata.version(DISTRIBUTIONS[row["backend"]]))
        assert row["runtime"]["threads"] in (None, 1)
        file = trained.path / row["artifact"]["path"]
        assert set(row["artifact"]) == {"path", "bytes", "sha256"}
        if file.is_file():
            assert row["artifact"]["bytes"] == file.stat().st_size
            assert row["artifact"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert row["accuracy"]["correct"] == trained.manifest["metrics"]["correct"]
        assert row["accuracy"]["total"] == trained.manifest["metrics"]["total"]
        assert row["accuracy"]["top1"] == pytest.approx(trained.manifest["metrics"]["test_accuracy"])
        assert row["agreement"]["reference"] == "keras"
        assert row["agreement"]["flips"] == 0
        assert row["agreement"]["max_abs_diff"] < 1e-4


def test_the_figures_of_a_row_agree_with_one_another(quick: tuple[Finished, dict[str, Any]]) -> None:
    _, results = quick
    for row in results["rows"]:
        check_figures(row, QUICK_SECONDS)
        assert row["latency_us"]["p50"] is not None
        assert row["ratio"]["interval"] is None, "one process each tells no interval"
        assert "rank" not in row
    fastest = min(row["latency_us"]["p50"] for row in results["rows"])
    (floor,) = results["floors"]
    (base,) = (row for row in results["rows"] if row["backend"] == results["settings"]["baseline"][0])
    assert (floor["backend"], floor["batch_size"]) == (base["backend"], 1)
    assert base["ratio"]["value"] == 1
    assert base["latency_us"]["p50"] < 3 * fastest, "it was the fastest of a short probe"


def test_the_table_has_them_all(quick: tuple[Finished, dict[str, Any]]) -> None:
    done, results = quick
    check_table(done.stdout, results["rows"])


def test_each_cell_of_the_grid_has_rows_of_its_own(pair: tuple[Finished, Path]) -> None:
    done, folder = pair
    results = results_of(folder)
    assert results["settings"]["baseline"] == ["tflite", "fp32"]
    assert results["settings"]["seed"] == 7
    cells = [(row["backend"], row["threads"], row["batch_size"]) for row in results["rows"]]
    assert sorted(cells) == [(name, count, size) for name in ("onnx", "tflite") for count in (1, 2) for size in (1, 8)]
    for row in results["rows"]:
        check_figures(row, 0.2, generations=2)
        assert row["ledger"]["call"] > row["ledger"]["loop"] > 0
        assert (row["ratio"]["value"] == 1) is (row["backend"] == "tflite")
        assert row["ratio"]["interval"]
        assert row["rank"] in (1, 2)
    assert len(results["floors"]) == 4
    assert all(floor["backend"] == "tflite" and len(floor["generations"]) == 2 for floor in results["floors"])
    check_table(done.stdout.partition("Where a call's time goes")[0], results["rows"])


def test_every_generation_has_its_ratio(pair: tuple[Finished, Path]) -> None:
    for row in results_of(pair[1])["rows"]:
        ratios = [one["ratio"] for one in row["generations"]]
        assert all(ratio > 0 for ratio in ratios)
        assert (set(ratios) == {1.0}) is (row["backend"] == "tflite")


def test_the_ledger_is_shown(pair: tuple[Finished, Path]) -> None:
    assert "Where a call's time goes" in pair[0].stdout


def test_quiet_shows_no_progress(pair: tuple[Finished, Path], quick: tuple[Finished, dict[str, Any]]) -> None:
    assert "generation 1 of 2" not in pair[0].stdout
    assert "generation 1 of 1, batch 1, 1 thread: p50 in µs" in quick[0].stdout


def test_the_csv_says_what_the_json_says(pair: tuple[Finished, Path]) -> None:
    rows = results_of(pair[1])["rows"]
    table = list(csv.DictReader(io.StringIO((pair[1] / "found.csv").read_text(encoding="utf-8"))))
    assert sorted(
        (line["backend"], line["threads"], line["batch_size"], float(line["p50_us"])) for line in table
    ) == sorted((row["backend"], str(row["threads"]), str(row["batch_size"]), row["latency_us"]["p50"]) for row in rows)


def test_the_markdown_is_tables(pair: tuple[Finished, Path]) -> None:
    text = (pair[1] / "found.md").read_text(encoding="utf-8")
    assert sum(line.startswith("|") and ("onnx" in line or "tflite" in line) for line in text.splitlines()) == 8


def test_pytest_benchmarks_json_names_every_row(pair: tuple[Finished, Path]) -> None:
    found = json.loads((pair[1] / "pytest.json").read_text(encoding="utf-8"))
    assert len({one["name"] for one in found["benchmarks"]}) == 8
    rows = results_of(pair[1])["rows"]
    assert sorted(round(one["stats"]["median"] * 1e6, 3) for one in found["benchmarks"]) == sorted(
        round(row["latency_us"]["p50"], 3) for row in rows
    )


@pytest.mark.parametrize("option", ["--json", "--csv", "--markdown", "--pytest-benchmark-json"])
def test_data_on_standard_output_has_it_for_itself(cli: Cli, untrained: Bundle, tmp_path: Path, option: str) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("bench", bundle.path, *LEAST, option, "-")
    assert done.returncode == 0, done.stderr
    assert [cells[0] for _, cells in table_rows(done.stderr)] == ["numpy"]
    if "json" in option:
        json.loads(done.stdout)
    else:
        assert sum("numpy" in line and "openblas" in line for line in done.stdout.splitlines()) <= 1
        assert "numpy" in done.stdout
    (kept,) = (bundle.path / "results").iterdir()
    assert f"Saved as {kept}" in done.stderr


def test_without_a_named_file_results_are_kept_in_the_bundle(cli: Cli, untrained: Bundle, tmp_path: Path) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("bench", bundle.path, *LEAST)
    assert done.returncode == 0, done.stderr
    (kept,) = (bundle.path / "results").glob("bench-*.json")
    assert f"Saved as {kept}" in done.stdout
    (row,) = json.loads(kept.read_text())["rows"]
    check_figures(row, 0.05)


def test_a_batch_larger_than_the_test_set_works(cli: Cli, untrained: Bundle) -> None:
    images = len(data.load("digits").test)
    size = images + 41
    done = cli("bench", untrained.path, *LEAST, "--batch-size", size, "--json", "-")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["batch_size"] == size
    assert row["accuracy"]["total"] == images
    check_figures(row, 0.05)


def test_timing_onnx_imports_no_tensorflow(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text(f"raise AssertionError('{name} was imported')")
    poisoned = first_on_path(tmp_path)
    least = ("--batch-size", "1", "--seconds", "0.05", "--generations", "1", "--json", "found.json")
    done = cli("bench", trained.path, "-b", "onnx", *least, env=poisoned)
    assert done.returncode == 0, done.stderr
    assert [cells[0] for _, cells in table_rows(done.stdout)] == ["onnx"]
    control = cli("bench", trained.path, "-b", "savedmodel", *least, env=poisoned)
    assert "tensorflow was imported" in complaint(control, 1)


def test_the_end_compares_with_what_was_before(cli: Cli, untrained: Bundle) -> None:
    assert cli("bench", untrained.path, *LEAST, "--json", "before.json").returncode == 0
    done = cli("bench", untrained.path, *LEAST, "--json", "after.json", "--against", "before.json", "--fail-on",
               "flips:0")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
