"""`digitbench bench`: values that agree with one another, in every output format."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished, run_cli
from large_runtimes import without_large

from digitbench.bundle import Bundle
from digitbench.records.results import SCHEMA
from journeys.helpers import (
    BACKENDS,
    CANDIDATES,
    artifact_of,
    check_answers,
    table_rows,
)

QUICK_SECONDS = 0.3
DISTRIBUTIONS = {
    "keras": "keras", "numpy": "numpy", "onnx": "onnxruntime", "openvino": "openvino", "savedmodel": "tensorflow",
    "tflite": "ai-edge-litert", "tract": "tract", "mnn": "mnn",
}  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(tuple(name for name in BACKENDS if name != "savedmodel"), id="most"),  # it is TensorFlow, as keras
        pytest.param(BACKENDS, id="all", marks=pytest.mark.slow),
    ],
)
def measured(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The backends that `quick` measures."""
    backends: tuple[str, ...] = request.param
    return backends


@pytest.fixture(scope="module")
def quick(
    tmp_path_factory: pytest.TempPathFactory, trained: Bundle, measured: tuple[str, ...]
) -> tuple[Finished, dict[str, Any]]:
    """These but the large ones in every precision with --quick: the finished command, and its JSON."""
    folder = tmp_path_factory.mktemp("quick")
    named = ("-b", ",".join(measured)) if measured != BACKENDS else ()
    done = run_cli("bench", trained.path, "--quick", *named, "--batch-size", "1", "--json", "found.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    results = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return done, results | {"rows": without_large(results["rows"])}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> tuple[Finished, Path]:
    """A grid of backends, precisions, batch sizes and threads, two generations, every output: command and folder."""
    folder = tmp_path_factory.mktemp("pair")
    done = run_cli(
        "bench", trained.path, "-b", "onnx", "-b", "tflite", "-p", "fp32,int8", "--batch-size", "1,8",
        "--threads", "1,2", "--seconds", "0.2", "--generations", "2", "--baseline", "tflite:int8", "--seed", "7",
        "--ledger", "--quiet", "--json", "found.json", "--csv", "found.csv", "--markdown", "found.md",
        "--pytest-benchmark-json", "pytest.json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done, folder


def results_of(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return results


def rows_of(folder: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """The JSON's rows by backend, precision, threads and batch size, as other outputs write these."""
    keys = ("backend", "precision", "threads", "batch_size")
    return {tuple(str(row[key]) for key in keys): row for row in results_of(folder)["rows"]}


def check_metrics(row: dict[str, Any], seconds: float, generations: int = 1) -> None:
    """A row's values are possible, and agree with one another."""
    latency = row["latency_us"]
    assert set(latency) == {"n", "min", "mean", "p50", "p90", "p99", "p999", "max", "intervals"}
    values = [latency[name] for name in ("min", "p50", "p90", "p99", "p999", "max") if latency[name] is not None]
    assert values == sorted(values)
    assert 0 < latency["min"] <= latency["mean"] <= latency["max"]
    assert latency["n"] * latency["mean"] / 1e6 >= seconds * 0.999_999
    assert row["throughput_per_s"] == pytest.approx(row["batch_size"] / latency["mean"] * 1e6)
    assert row["load_seconds"] > 0
    assert row["first_prediction_us"] > 0
    assert 10e6 < row["peak_rss_bytes"] < 10e9
    assert 0 < row["cpu_seconds_per_1000"] < 100
    assert [generation["index"] for generation in row["generations"]] == list(range(generations))
    assert sum(generation["n"] for generation in row["generations"]) == latency["n"]
    for generation in row["generations"]:
        assert generation["seconds"] >= seconds / generations * 0.999_999
        assert generation["wrong_labels"] == 0
    for name, (low, high) in latency["intervals"].items():
        assert low <= latency[name] <= high


def check_table(printed: str, rows: list[dict[str, Any]]) -> None:
    """Every row is in the table with its p50, a provisional one marked; those of one group are together."""
    table = table_rows(printed)
    p50s = {id(row): f"{row['latency_us']['p50']:,.1f}" for row in rows}
    assert sorted((line["backend"], line["precision"], line["batch"], line["p50 µs"].split()[0]) for line in table) == (
        sorted(
            (row["backend"], row["precision"], str(row["batch_size"]), "~" * ("doubts" in row) + p50s[id(row)])
            for row in rows
        )
    )
    groups = [line["batch"] for line in table]
    assert sum(batch != next_batch for batch, next_batch in pairwise(groups)) + 1 <= len(
        {(row["batch_size"], row["threads"]) for row in rows}
    )


def check_certified(cell: str, row: dict[str, Any]) -> None:
    """A share rounded down: all but one image are not 100 %."""
    certificate = row["agreement"]["certificate"]
    share = 100 * certificate["certified"] / certificate["total"]
    assert 0 <= share - float(cell.removesuffix("%")) < 0.01 + 1e-9


def test_the_json_describes_machine_bundle_and_every_row(
    quick: tuple[Finished, dict[str, Any]], trained: Bundle, measured: tuple[str, ...]
) -> None:
    _, results = quick
    assert results["schema"] == SCHEMA
    assert results["complete"] is True
    assert results["machine"]["cpu"]
    assert results["machine"]["cores"]["available"] >= 1
    assert results["bundle"]["name"] == trained.name
    assert results["bundle"]["recipe"] == trained.recipe_name
    assert results["bundle"]["dataset"]["fingerprint"] == trained.dataset.fingerprint
    assert (results["settings"]["seconds"], results["settings"]["generations"]) == (QUICK_SECONDS, 1)
    assert [(row["backend"], row["precision"]) for row in results["rows"]] == [
        candidate for candidate in CANDIDATES if candidate[0] in measured
    ]
    for row in results["rows"]:
        assert (row["batch_size"], row["threads"]) == (1, 1)
        assert set(row["runtime"]) == {"name", "version", "provider", "threads"}
        assert row["runtime"]["version"].startswith(metadata.version(DISTRIBUTIONS[row["backend"]]))
        assert row["runtime"]["threads"] in (None, 1)
        recorded = artifact_of(trained, row["backend"], row["precision"])
        assert row["artifact"] == {"path": recorded.path, "bytes": recorded.bytes, "sha256": recorded.sha256}
        file = trained.path / recorded.path
        if file.is_file():
            assert row["artifact"]["bytes"] == file.stat().st_size
            assert row["artifact"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_every_precision_answers_as_its_export_was_checked(
    quick: tuple[Finished, dict[str, Any]], trained: Bundle
) -> None:
    check_answers(quick[1]["rows"], trained)


def test_the_figures_of_a_row_agree_with_one_another(quick: tuple[Finished, dict[str, Any]]) -> None:
    _, results = quick
    for row in results["rows"]:
        check_metrics(row, QUICK_SECONDS)
        assert row["latency_us"]["p50"] is not None
        assert row["ratio"]["interval"] is None, "one process each tells no interval"
        assert "rank" not in row


def test_ratios_of_all_precisions_are_to_one_baseline(quick: tuple[Finished, dict[str, Any]]) -> None:
    _, results = quick
    baseline = tuple(results["settings"]["baseline"])
    (floor,) = results["floors"]
    assert (floor["backend"], floor["precision"], floor["batch_size"]) == (*baseline, 1)
    (base,) = (row for row in results["rows"] if (row["backend"], row["precision"]) == baseline)
    assert base["ratio"]["value"] == 1
    fastest = min(row["latency_us"]["p50"] for row in results["rows"])
    assert base["latency_us"]["p50"] < 3 * fastest, "it was the fastest of a short probe"
    for row in results["rows"]:
        unpaired = row["latency_us"]["p50"] / base["latency_us"]["p50"]
        assert 1 / 3 < row["ratio"]["value"] / unpaired < 3, (row["backend"], row["precision"])


def test_the_table_has_them_all(quick: tuple[Finished, dict[str, Any]]) -> None:
    done, results = quick
    check_table(done.stdout, results["rows"])


def test_each_cell_of_the_grid_has_rows_of_its_own(pair: tuple[Finished, Path]) -> None:
    done, folder = pair
    results = results_of(folder)
    assert results["settings"]["baseline"] == ["tflite", "int8"]
    assert results["settings"]["seed"] == 7
    rows = rows_of(folder)
    assert len(rows) == len(results["rows"])
    assert sorted(rows) == [
        (name, precision, count, size)
        for name in ("onnx", "tflite") for precision in ("fp32", "int8") for count in "12" for size in "18"
    ]  # fmt: skip
    for key, row in rows.items():
        check_metrics(row, 0.2, generations=2)
        assert row["ledger"]["call"] > row["ledger"]["loop"] > 0
        assert row["ratio"]["interval"]
        assert row["rank"] in (1, 2, 3, 4)
        if key[:2] == ("tflite", "int8"):
            assert row["ratio"]["value"] == 1
    assert len(results["floors"]) == 4
    for floor in results["floors"]:
        assert (floor["backend"], floor["precision"], len(floor["generations"])) == ("tflite", "int8", 2)
    check_table(done.stdout.partition("Where a call's time goes")[0], results["rows"])


def test_every_generation_has_its_ratio(pair: tuple[Finished, Path]) -> None:
    for key, row in rows_of(pair[1]).items():
        ratios = [generation["ratio"] for generation in row["generations"]]
        assert all(ratio > 0 for ratio in ratios)
        assert (set(ratios) == {1.0}) is (key[:2] == ("tflite", "int8"))


def test_the_ledger_is_shown(pair: tuple[Finished, Path]) -> None:
    assert "Where a call's time goes" in pair[0].stdout


def test_quiet_shows_no_progress(pair: tuple[Finished, Path], quick: tuple[Finished, dict[str, Any]]) -> None:
    assert "generation 1 of 2" not in pair[0].stdout
    assert "generation 1 of 1, batch 1, 1 thread: p50 in µs" in quick[0].stdout


def test_the_csv_says_what_the_json_says(pair: tuple[Finished, Path]) -> None:
    rows = rows_of(pair[1])
    lines = list(csv.DictReader(io.StringIO((pair[1] / "found.csv").read_text(encoding="utf-8"))))
    table = {(line["backend"], line["precision"], line["threads"], line["batch_size"]): line for line in lines}
    assert len(lines) == len(table)
    assert table.keys() == rows.keys()
    for key, line in table.items():
        row, agreement = rows[key], rows[key]["agreement"]
        expected = {
            "p50_us": row["latency_us"]["p50"],
            "ratio": row["ratio"]["value"],
            "flips": agreement["flips"],
            "max_abs_score_difference": agreement["max_abs_diff"],
            "mean_abs_score_difference": agreement["mean_abs_diff"],
            "lost_images": agreement["mcnemar"]["lost"],
            "won_images": agreement["mcnemar"]["won"],
            "mcnemar_p": agreement["mcnemar"]["p_value"],
            "certified_images": agreement["certificate"]["certified"],
            "needed_margin": agreement["certificate"]["needed_margin"],
            "smallest_margin": agreement["certificate"]["smallest_margin"],
            "log_loss": row["calibration"]["log_loss"],
            "expected_calibration_error": row["calibration"]["expected_error"],
        }
        assert {name: float(line[name]) for name in expected} == expected


def test_the_markdown_is_tables(pair: tuple[Finished, Path]) -> None:
    text = (pair[1] / "found.md").read_text(encoding="utf-8")
    rows, listed = rows_of(pair[1]), []
    for size, threads, section in re.findall(r"^### Batch size (\d+), (\d+) threads?\n\n((?:\|.*\n)+)", text, re.M):
        heads, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines())
        for line in lines:
            cells = dict(zip(heads, line, strict=True))
            listed.append((cells["backend"], cells["precision"], threads, size))
            check_certified(cells["certified"], rows[listed[-1]])
    assert sorted(listed) == sorted(rows)


def test_pytest_benchmarks_json_names_every_row(pair: tuple[Finished, Path]) -> None:
    report = json.loads((pair[1] / "pytest.json").read_text(encoding="utf-8"))
    medians = {entry["name"]: entry["stats"]["median"] * 1e6 for entry in report["benchmarks"]}
    assert len(medians) == len(report["benchmarks"])
    assert medians == {
        f"predict[{name}-{precision}-threads{threads}-batch{size}]": pytest.approx(row["latency_us"]["p50"], abs=0.001)
        for (name, precision, threads, size), row in rows_of(pair[1]).items()
    }
