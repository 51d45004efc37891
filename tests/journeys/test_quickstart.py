"""`digitbench quickstart`: the whole way in one go."""

from __future__ import annotations

from pathlib import Path

from conftest import Cli

from digitbench.bundle import Bundle
from journeys.helpers import BACKENDS, table_rows


def test_trains_exports_and_compares_all_six(cli: Cli, tmp_path: Path) -> None:
    done = cli("quickstart", "--dataset", "digits")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    rows = [cells for _, cells in table_rows(done.stdout)]
    batches = sorted({cells[2] for cells in rows})
    assert sorted((cells[0], cells[2]) for cells in rows) == [(name, size) for name in BACKENDS for size in batches]
    assert len({cells[4] for cells in rows}) == 1, "the same accuracy everywhere"
    assert {cells[5] for cells in rows} == {"0"}, "no flips"

    latest = (tmp_path / "runs" / "latest").resolve()
    assert latest.parent == tmp_path / "runs"
    assert latest.name.startswith("dense-128-")
    assert {artifact.format for artifact in Bundle(latest).artifacts} == {
        "keras", "savedmodel", "tflite", "onnx", "npz",
    }  # fmt: skip
    assert f"next: digitbench bench runs/{latest.name} " in done.stdout
