"""`digitbench compare`: two result files in, a table and an exit code out."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli, complaint, run_cli
from core.test_compare import INVALID, STEADY, run, scaled, timed

from digitbench.records.results import Results


def saved(path: Path, results: Results) -> Path:
    path.write_text(results.dumps(), encoding="utf-8")
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return saved(tmp_path / "base.json", run(timed(), timed(batch=32)))


@pytest.fixture
def slower(tmp_path: Path) -> Path:
    return saved(tmp_path / "slower.json", run(timed(scaled(STEADY, 1.3)), timed(batch=32)))


def test_without_gates_what_changed_is_told_and_nothing_fails(tmp_path: Path, base: Path, slower: Path) -> None:
    done = run_cli("compare", base, slower, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = (line for line in done.stdout.splitlines() if "onnx batch 1 " in line)
    assert line.split()[3:] == ["latency", "100.0", "µs", "130.0", "µs", "+30.0%", "+27.2", "to", "+32.8", "worse"]
    assert "worse and 0 better beyond noise" in done.stdout.splitlines()[-1]


def test_a_gate_lets_pass_what_is_within_its_limit(cli: Cli, base: Path, slower: Path) -> None:
    done = cli("compare", base, slower, "--fail-on", "latency:50%", "--fail-on", "accuracy:0.2pp")
    assert done.returncode == 0, done.stderr
    assert "worse within the limit" in done.stdout
    assert done.stdout.splitlines()[-1] == "no regression beyond latency:50%, accuracy:0.2pp in 3 figures"


def test_a_regression_is_exit_code_1_and_named(cli: Cli, base: Path, slower: Path) -> None:
    done = cli("compare", base, slower, "--fail-on", "latency:10%", "--fail-on", "size:5%")
    message = complaint(done, code=1)
    assert message.startswith(
        "1 regression: it is latency of onnx fp32, 1 thread, batch 1: 100.0 µs to 130.0 µs (+30.0%"
    )
    assert message.endswith("limit 10%)")
    assert "regression" in done.stdout


def test_a_gate_with_nothing_to_look_at_is_exit_code_1(cli: Cli, tmp_path: Path, base: Path) -> None:
    new = saved(tmp_path / "new.json", run(timed(**INVALID), timed(batch=32, **INVALID)))
    message = complaint(cli("compare", base, new, "--fail-on", "latency:10%"), code=1)
    assert message.startswith("latency:10% had nothing VALID to compare")


def test_a_candidate_that_is_gone_is_exit_code_1_unless_it_is_allowed(cli: Cli, tmp_path: Path) -> None:
    base = saved(tmp_path / "whole.json", run(timed(), timed(precision="int8"), timed(name="numpy")))
    new = saved(
        tmp_path / "new.json", run(timed(), timed(precision="int8", accuracy=None, generations=()), complete=False)
    )
    gated = ("compare", base, new, "--fail-on", "latency:10%")
    message = complaint(cli(*gated), code=1)
    assert message == (
        "2 candidates missing: onnx int8, 1 thread, batch 1: not measured in new: no accuracy, timed calls (also "
        "missing: numpy fp32, 1 thread, batch 1)"
    )
    assert complaint(cli(*gated, "--allow-missing", "onnx:int8"), code=1).startswith("1 candidate missing: numpy fp32")
    for allowed in (("onnx:int8", "numpy"), ("onnx:int8,numpy",)):
        done = cli(*gated, *(part for name in allowed for part in ("--allow-missing", name)))
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "no regression beyond latency:10% in 1 figure"
    assert cli("compare", base, new).returncode == 0
    assert "unknown precision 'int9'" in complaint(cli(*gated, "--allow-missing", "onnx:int9"))


def test_other_machines_need_force(cli: Cli, tmp_path: Path, base: Path) -> None:
    new = saved(tmp_path / "new.json", run(timed(), machine={**run().machine, "cpu": "Other CPU"}))
    assert "cpu 'Some CPU' in base and 'Other CPU' in new" in complaint(cli("compare", base, new))
    done = cli("compare", base, new, "--force")
    assert done.returncode == 0, done.stderr
    assert "Compared although they differ: cpu 'Some CPU' in base and 'Other CPU' in new" in done.stdout


def test_a_gate_that_is_none_is_refused_before_any_file_is_read(cli: Cli) -> None:
    message = complaint(cli("compare", "gone.json", "gone.json", "--fail-on", "latncy:10%"))
    assert message.startswith("--fail-on 'latncy:10%': unknown metric 'latncy': did you mean 'latency'?")


@pytest.mark.parametrize("content", [None, "{}"], ids=repr)
def test_a_file_that_is_no_results_is_one_line(cli: Cli, tmp_path: Path, base: Path, content: str | None) -> None:
    bad = tmp_path / "bad.json"
    if content is not None:
        bad.write_text(content)
    assert complaint(cli("compare", base, bad)).startswith(f"{bad}: ")
