"""`digitbench bench`: figures that agree with one another, whatever happens to a worker or to the command."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Finished, complaint, run_cli
from core.helpers import announce

from digitbench import data
from digitbench.bundle import Bundle
from journeys.helpers import BACKENDS, first_on_path, interrupted, table_rows

QUICK_SECONDS = 0.3
DISTRIBUTIONS = {
    "keras": "keras", "numpy": "numpy", "onnx": "onnxruntime", "openvino": "openvino", "savedmodel": "tensorflow",
    "tflite": "ai-edge-litert",
}  # fmt: skip
DOOMED = """
    import os
    import signal

    from digitbench_numpy import NumpyBackend


    class Doomed(NumpyBackend):
        calls = 0

        def predict(self, images):
            self.calls += 1
            if self.calls == 30:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().predict(images)
"""


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> tuple[Finished, dict[str, Any]]:
    """All six with --quick: the finished command, and its JSON."""
    folder = tmp_path_factory.mktemp("quick")
    done = run_cli("bench", trained.path, "--quick", "--json", "found.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done, json.loads((folder / "found.json").read_text(encoding="utf-8"))


def check_figures(row: dict[str, Any], seconds: float) -> None:
    """A row's figures are possible, and agree with one another."""
    latency = row["latency_us"]
    assert set(latency) == {"n", "min", "mean", "p50", "p90", "p99", "max"}
    known = [latency[name] for name in ("min", "p50", "p90", "p99", "max") if latency[name] is not None]
    assert known == sorted(known)
    assert 0 < latency["min"] <= latency["mean"] <= latency["max"]
    assert latency["n"] * latency["mean"] / 1e6 >= seconds * 0.999_999
    assert row["throughput_per_s"] == pytest.approx(row["batch_size"] / latency["mean"] * 1e6)
    assert row["load_seconds"] > 0
    assert row["first_prediction_us"] > 0
    assert 10e6 < row["peak_rss_bytes"] < 10e9


def check_table(printed: str, rows: list[dict[str, Any]]) -> None:
    """The table is sorted by p50 within a batch size, and the fastest of each is marked."""
    expected = sorted(rows, key=lambda row: (row["batch_size"], row["latency_us"]["p50"]))
    sizes = [row["batch_size"] for row in expected]
    found = [(marked, cells[0], cells[2], cells[6]) for marked, cells in table_rows(printed)]
    assert found == [
        (
            i == 0 or sizes[i - 1] != row["batch_size"],
            row["backend"],
            str(row["batch_size"]),
            f"{row['latency_us']['p50']:,.1f}",
        )
        for i, row in enumerate(expected)
    ]


def test_the_json_describes_machine_bundle_and_every_row(
    quick: tuple[Finished, dict[str, Any]], trained: Bundle
) -> None:
    _, results = quick
    assert results["schema"] == "digitbench.results/1"
    assert results["complete"] is True
    assert results["machine"]["cpu"]
    assert results["machine"]["cores"]["available"] >= 1
    assert results["bundle"]["name"] == trained.name
    assert results["bundle"]["recipe"] == trained.recipe_name
    assert results["bundle"]["dataset"]["fingerprint"] == trained.dataset["fingerprint"]
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


def test_the_table_is_sorted_and_its_fastest_marked(quick: tuple[Finished, dict[str, Any]]) -> None:
    done, results = quick
    check_table(done.stdout, results["rows"])


def test_each_batch_size_has_rows_of_its_own(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    done = cli(
        "bench", trained.path, "-b", "numpy", "-b", "tflite", "--batch-size", "1,8", "--seconds", "0.2",
        "--json", "found.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert sorted((row["backend"], row["batch_size"]) for row in rows) == [
        ("numpy", 1), ("numpy", 8), ("tflite", 1), ("tflite", 8),
    ]  # fmt: skip
    for row in rows:
        check_figures(row, 0.2)
    check_table(done.stdout, rows)


def test_a_batch_larger_than_the_test_set_works(cli: Cli, untrained: Bundle) -> None:
    images = len(data.load("digits").test)
    size = images + 41
    done = cli("bench", untrained.path, "-b", "numpy", "--batch-size", size, "--seconds", "0.1", "--json", "-")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["batch_size"] == size
    assert row["accuracy"]["total"] == images
    check_figures(row, 0.1)


def test_timing_onnx_imports_no_tensorflow(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text(f"raise AssertionError('{name} was imported')")
    poisoned = first_on_path(tmp_path)
    done = cli("bench", trained.path, "-b", "onnx", "--quick", env=poisoned)
    assert done.returncode == 0, done.stderr
    assert [cells[0] for _, cells in table_rows(done.stdout)] == ["onnx"]
    control = cli("bench", trained.path, "-b", "savedmodel", "--quick", env=poisoned)
    assert "tensorflow was imported" in complaint(control, 1)


def test_ctrl_c_keeps_the_rows_already_measured(tmp_path: Path, trained: Bundle) -> None:
    done = interrupted(
        "bench", trained.path, "-b", "numpy", "-b", "onnx", "--batch-size", "1", "--seconds", "1",
        "--json", "found.json", cwd=tmp_path, at="numpy batch 1: p50", whole_group=True,
    )  # fmt: skip
    assert complaint(done, 130)
    assert done.stderr.count("\n") == 1
    results = json.loads((tmp_path / "found.json").read_text())
    assert results["complete"] is False
    (row,) = results["rows"]
    assert row["backend"] == "numpy"
    check_figures(row, 1)
    check_table(done.stdout, [row])
    assert "Stopped early" in done.stdout
    assert not list(tmp_path.glob("digitbench-*")), "the workers' folder"


def test_a_worker_that_is_killed_is_a_failed_row_and_the_others_complete(
    cli: Cli, tmp_path: Path, untrained: Bundle
) -> None:
    announce(tmp_path / "site", "doomed_plugin", DOOMED, names={"doomed": "Doomed"})
    done = cli(
        "bench", untrained.path, "-b", "doomed", "-b", "numpy", "--quick", "--json", "found.json",
        env=first_on_path(tmp_path / "site"),
    )  # fmt: skip
    message = complaint(done, 1)
    assert "1 of 2 rows failed" in message
    assert "doomed" in message
    assert "SIGKILL" in message
    results = json.loads((tmp_path / "found.json").read_text())
    assert results["complete"] is True
    doomed, numpy = results["rows"]
    assert "SIGKILL" in doomed["error"]
    assert "latency_us" not in doomed
    assert "error" not in numpy
    check_figures(numpy, QUICK_SECONDS)
    check_table(done.stdout, [numpy])
    assert "doomed batch 1 failed: " in done.stdout
