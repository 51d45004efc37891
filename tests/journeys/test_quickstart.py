"""`digitbench quickstart`: the whole way in one go."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import run_cli

from digitbench.bundle import Bundle
from journeys.helpers import BACKENDS, CANDIDATES, artifact_of, table_rows


@pytest.mark.slow
def test_trains_exports_and_compares_all(tmp_path: Path) -> None:
    done = run_cli("quickstart", "--dataset", "digits", "--all-candidates", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    latest = (tmp_path / "runs" / "latest").resolve()
    assert latest.parent == tmp_path / "runs"
    assert latest.name.startswith("dense-128-")
    assert "\nFastest at batch 1: " in done.stdout
    assert done.stdout.splitlines()[-1] == f"next: digitbench choose runs/{latest.name}"
    bundle = Bundle(latest)
    written = {(artifact.format, artifact.precision) for artifact in bundle.artifacts}
    opened = [artifact_of(bundle, *candidate) for candidate in CANDIDATES]
    assert written == {(artifact.format, artifact.precision) for artifact in opened}

    rows = table_rows(done.stdout)
    assert sorted((cells["backend"], cells["precision"], cells["batch"]) for cells in rows) == sorted(
        (*candidate, size) for candidate in CANDIDATES for size in ("1", "32")
    )
    plain = [cells for cells in rows if cells["precision"] == "fp32"]
    assert len(plain) == 2 * len(BACKENDS)
    (keras,) = {cells["top-1"] for cells in plain}
    assert {cells["flips"] for cells in plain} == {"0"}
    for cells in rows:
        allowed = artifact_of(bundle, cells["backend"], cells["precision"]).max_accuracy_drop or 0
        assert percent(keras) - percent(cells["top-1"]) <= 100 * allowed + 0.01, "both are rounded"


def percent(cell: str) -> float:
    return float(cell.removesuffix("%"))


@pytest.mark.slow
def test_it_shows_the_fastest_of_each_backend_and_keeps_the_results(tmp_path: Path) -> None:
    done = run_cli("quickstart", "--dataset", "digits", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout[done.stdout.index("The fastest of each backend at batch 1") :].splitlines()
    assert len(shown) <= len(BACKENDS) + 10
    table = [line for line in shown if {*line.split()[:3]} & {*BACKENDS}]
    assert len(table) == len(BACKENDS)
    assert max(map(len, table)) <= 80
    chosen = run_cli("choose", cwd=tmp_path)
    assert chosen.returncode == 0, chosen.stderr
    assert "Nothing new to measure: everything is in " in chosen.stdout
    assert run_cli("report", cwd=tmp_path).returncode == 0
