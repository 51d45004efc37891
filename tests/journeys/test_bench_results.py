"""`digitbench bench`: where results go, what they are compared with, and what a run imports and asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cli, complaint, run_cli

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.commands.bench import _asks_for
from digitbench.records.results import Results, Row
from journeys.helpers import PRECISIONS, copied, first_on_path, table_rows
from journeys.test_bench import check_metrics

LEAST = ("-b", "numpy", "--batch-size", "1", "--seconds", "0.05", "--generations", "1")


@pytest.mark.parametrize("option", ["--json", "--csv", "--markdown", "--pytest-benchmark-json"])
def test_data_on_standard_output_has_it_for_itself(cli: Cli, untrained: Bundle, tmp_path: Path, option: str) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("bench", bundle.path, *LEAST, option, "-")
    assert done.returncode == 0, done.stderr
    assert [cells["backend"] for cells in table_rows(done.stderr)] == ["numpy"]
    if "json" in option:
        json.loads(done.stdout)
    else:
        assert sum("numpy" in line and "openblas" in line for line in done.stdout.splitlines()) <= 1
        assert "numpy" in done.stdout
    (kept,) = (bundle.path / "results").iterdir()
    assert f"Saved as {kept}" in done.stderr


def test_strictly_a_busy_machine_makes_rows_invalid_and_a_resumed_run_stays_strict(
    cli: Cli, untrained: Bundle, tmp_path: Path
) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("bench", bundle.path, *LEAST, "--strict", "--json", "strict.json")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "strict.json").read_text(encoding="utf-8"))
    assert results["settings"]["strict"] is True
    assert not any("doubts" in row for row in results["rows"])
    assert "provisional" not in done.stdout
    resumed = cli("bench", bundle.path, "--resume", "strict.json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((tmp_path / "strict.json").read_text(encoding="utf-8"))["settings"]["strict"] is True


def test_without_a_named_file_results_are_kept_in_the_bundle(cli: Cli, untrained: Bundle, tmp_path: Path) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("bench", bundle.path, *LEAST)
    assert done.returncode == 0, done.stderr
    (kept,) = (bundle.path / "results").glob("bench-*.json")
    assert f"Saved as {kept}" in done.stdout
    (row,) = json.loads(kept.read_text())["rows"]
    check_metrics(row, 0.05)


def test_a_batch_larger_than_the_test_set_works(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    images = len(data.load("digits").test)
    size = images + 41
    done = cli("bench", copied(untrained, tmp_path).path, *LEAST, "--batch-size", size, "--json", "-")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["batch_size"] == size
    assert row["accuracy"]["total"] == images
    check_metrics(row, 0.05)


def test_timing_onnx_imports_no_tensorflow(tmp_path: Path, trained: Bundle) -> None:
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text(f"raise AssertionError('{name} was imported')")
    poisoned = first_on_path(tmp_path)
    least = ("--batch-size", "1", "--seconds", "0.05", "--generations", "1", "--json", "found.json")
    done = run_cli("bench", trained.path, "-b", "onnx", *least, cwd=tmp_path, env=poisoned)
    assert done.returncode == 0, done.stderr
    assert {cells["precision"] for cells in table_rows(done.stdout)} == set(PRECISIONS["onnx"])
    control = run_cli("bench", trained.path, "-b", "savedmodel", *least, cwd=tmp_path, env=poisoned)
    assert "tensorflow was imported" in complaint(control, 1)


def test_the_end_compares_with_what_was_before(cli: Cli, untrained: Bundle, tmp_path: Path) -> None:
    """As `compare` would: on a busy machine, where a row may be INVALID, that nothing could be compared."""
    assert cli("bench", untrained.path, *LEAST, "--json", "before.json").returncode == 0
    done = cli("bench", untrained.path, "-b", "numpy", "--batch-size", "1", "--json", "after.json", "--against",
               "before.json", "--fail-on", "flips:0")  # fmt: skip
    before, after = (Results.read(tmp_path / name).settings for name in ("before.json", "after.json"))
    assert after.plan == before.plan, "measured as what it is compared with"
    compared = cli("compare", "before.json", "after.json", "--fail-on", "flips:0")
    assert (done.returncode, done.stderr) == (compared.returncode, compared.stderr)
    assert compared.stdout.startswith("base: run ")
    assert "Saved as after.json\nFastest at batch 1: numpy" in done.stdout
    assert done.stdout.endswith(f"\n{compared.stdout}")


def test_gates_fail_on_what_this_command_asked_for_and_lacks(cli: Cli, untrained: Bundle, tmp_path: Path) -> None:
    """The bundle holds weights for NumPy alone: the older run's other candidates are gone."""
    assert cli("bench", untrained.path, *LEAST, "--json", "before.json").returncode == 0
    results = json.loads((tmp_path / "before.json").read_text(encoding="utf-8"))
    (row,) = results["rows"]
    missing = {"backend": "onnx"}, {"backend": "openvino", "precision": "bf16"}, {"batch_size": 8}, {"threads": 2}
    results["rows"] += [{**row, **changes} for changes in missing]
    (tmp_path / "whole.json").write_text(json.dumps(results), encoding="utf-8")
    gated = ("bench", untrained.path, "--seconds", "0.05", "--generations", "1", "--json", "after.json", "--against",
             "whole.json", "--fail-on", "flips:0")  # fmt: skip
    named = cli(*gated, "-b", "numpy", "--batch-size", "1")
    assert named.returncode == 0, named.stderr
    (line,) = (line for line in named.stdout.splitlines() if line.startswith("Only in base: "))
    assert line.count(",") + 1 >= len(missing)
    assert complaint(cli(*gated, "--batch-size", "1"), 1).startswith(
        "1 candidate missing: onnx fp32, 1 thread, batch 1: not available in new: "
    )
    assert cli(*gated, "--batch-size", "1", "--allow-missing", "onnx").returncode == 0
    assert complaint(cli("bench", untrained.path, "--allow-missing", "onnx")) == (
        "--allow-missing needs something to compare with: give --against BASE.json"
    )


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        (Row("onnx", "fp32", 1, 1), True),
        (Row("onnx", "int8", 1, 1), True),
        (Row("onnx", "fp16", 1, 1), False),
        (Row("onnx", "fp32", 32, 1), False),
        (Row("onnx", "fp32", None, 1), True),
        (Row("onnx", "fp32", 1, 2), False),
        (Row("numpy", "fp32", 1, 1), True),
        (Row("openvino", "bf16", 1, 1), False),
        (Row("openvino", "fp32", 1, 1), True),
        (Row("keras", "fp32", 1, 1), False),
        (Row("of another plugin", "bf16", 1, 1), False),
    ],
    ids=lambda value: "-".join(map(str, value.key)) if isinstance(value, Row) else str(value),
)
def test_what_a_command_asks_for_is_told_by_its_options(row: Row, asked: bool) -> None:
    requested = [(["onnx"], ("fp32", "int8")), (["numpy,openvino"], ())]
    assert _asks_for(requested, [1, 8], [1], row) is asked
    everything = _asks_for([([], ())], [1, 32], [1, 2], row)
    assert everything is (row.precision != "bf16")
