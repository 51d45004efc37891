"""`digitbench quickstart`: the whole way in one go."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import run_cli

from digitbench.bundle import Bundle
from journeys.helpers import BACKENDS, CANDIDATES, artifact_of, table_rows


@pytest.mark.slow
def test_trains_exports_and_compares_all_six(tmp_path: Path) -> None:
    done = run_cli("quickstart", "--dataset", "digits", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    latest = (tmp_path / "runs" / "latest").resolve()
    assert latest.parent == tmp_path / "runs"
    assert latest.name.startswith("dense-128-")
    assert f"next: digitbench bench runs/{latest.name} " in done.stdout
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
