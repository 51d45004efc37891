"""`digitbench plot latency|pareto|sweep`: saved results in, a picture out."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli, complaint, run_cli
from core.rows import results_of
from core.test_charts_results import NAMES, grid, measured

from digitbench.bundle import Bundle
from digitbench.records.results import Results, Row
from journeys.helpers import copied

PNG = b"\x89PNG\r\n\x1a\n"


def saved(path: Path, results: Results) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(results.dumps(), encoding="utf-8")
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return saved(tmp_path / "found.json", results_of(measured("onnx"), measured("keras", p50=80.0)))


def test_the_newest_results_of_a_bundle_are_drawn_beside_them(tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    saved(bundle.path / "results" / "bench-1.json", grid(NAMES[:2], (1, 8, 64), (1, 2)))
    done = run_cli("plot", "latency", bundle.path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Drawn: {bundle.path / 'results' / 'bench-1-latency.png'}\n"
    drawn = bundle.path / "results" / "bench-1-latency.png"
    assert drawn.read_bytes().startswith(PNG)
    assert b"Latency of timed calls; dense-128-x (dense-128) on mnist" in drawn.read_bytes()


def test_a_sweep_is_drawn_beside_its_results(cli: Cli, tmp_path: Path) -> None:
    saved(tmp_path / "swept.json", grid(NAMES[:2], (1, 8), (1,)))
    done = cli("plot", "sweep", "swept.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Drawn: swept-sweep.png\n", "")
    assert (tmp_path / "swept-sweep.png").read_bytes().startswith(PNG)


def test_a_picture_can_be_an_svg_anywhere(cli: Cli, tmp_path: Path, results: Path) -> None:
    done = cli("plot", "pareto", results, "--output", "pictures/front.svg")
    assert (done.returncode, done.stdout) == (0, "Drawn: pictures/front.svg\n")
    assert "</svg>" in (tmp_path / "pictures" / "front.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["latency", "found.json", "--threads", "4"],
            "found.json: --threads 4: no such rows; there are: batch 1, 1 th",
        ),
        (["latency", "found.json", "--kind", "violine"], "--kind: unknown choice 'violine': did you mean 'violin'?"),
        (["pareto", "found.json", "--metric", "p50"], "--metric: unknown choice 'p50': known are latency, memory, s"),
        (["pareto", "found.json", "--output", "a.pdf"], "--output a.pdf: a picture's name ends in .png or .svg"),
        (["sweep", "found.json"], "found.json: a sweep needs two batch sizes or thread counts; run: digitbench bench"),
        (["sweep", "found.json", "--metric", "speed"], "--metric: unknown choice 'speed': "),
        (["latency", "scored.json"], "scored.json: no latencies are in these results; time some calls with: digitbe"),
        (["latency", "nowhere"], "nowhere: no such results file or model"),
        (["latency", "broken.json"], "broken.json: can't be read as results"),
        (["latency"], ""),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(
    cli: Cli, tmp_path: Path, results: Path, arguments: list[str], message: str
) -> None:
    saved(tmp_path / "scored.json", results_of(Row("onnx", "fp32", None, 1)))
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    before = {path.name for path in tmp_path.iterdir()}
    assert complaint(cli("plot", *arguments)).startswith(message)
    assert {path.name for path in tmp_path.iterdir()} == before
