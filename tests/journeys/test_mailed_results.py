"""A results file that came by mail: every command that reads one works on it in a folder that holds nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cli, complaint
from core.test_page import fourteen_rows, results_of

FILE = "mailed.json"


@pytest.fixture(autouse=True)
def mailed(tmp_path: Path) -> None:
    """The one file of the folder."""
    (tmp_path / FILE).write_text(results_of(*fourteen_rows(batch_sizes=(1, 32))).dumps(), encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        (f"show {FILE}", "mine (dense-128) on mnist"), (f"choose {FILE} --max-p99 1s", "Chosen: "),
        (f"choose {FILE} --batch-size 32 --backend onnx", "Chosen: onnx"), (f"report {FILE}", "mailed.html"),
        (f"report {FILE} --markdown -", "Ship "), (f"plot latency {FILE}", "Drawn: mailed-latency.png"),
        pytest.param(f"plot pareto {FILE}", "Drawn: mailed-pareto.png", marks=pytest.mark.slow),
        pytest.param(f"plot sweep {FILE}", "Drawn: mailed-sweep.png", marks=pytest.mark.slow),
        (f"compare {FILE} {FILE}", "0 worse and 0 better"),
    ],
)  # fmt: skip
def test_commands_work_without_the_bundle_and_without_a_word_of_it(cli: Cli, line: str, printed: str) -> None:
    done = cli(*line.split())
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
    assert "bundle" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--batch-size 7", f"{FILE}: --batch-size 7 --threads 1: no such rows; there are: batch 1, 1 thread; batch 32"),
        ("--quick", f"{FILE}: results are judged as they are, and nothing is measured; leave out --quick"),
        ("--backend gone", f"{FILE}: no row has that backend and precision; there are: keras fp32, "),
    ],
)
def test_what_a_file_cannot_give_is_one_line(cli: Cli, options: str, message: str) -> None:
    assert message in complaint(cli("choose", FILE, *options.split()))


def test_shown_results_can_be_written_as_they_are(cli: Cli, tmp_path: Path) -> None:
    shown = json.loads(cli("show", FILE, "--json", "-").stdout)
    assert shown == json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
