"""`digitbench bench --sgemm`: shares of the machine's own sgemm."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Finished, complaint, run_cli

from digitbench.bundle import Bundle
from journeys.helpers import copied, rewrite_manifest, table_rows

SENTENCE_START = r"batch 64, 1 thread(?: \(✗ sgemm is INVALID\))?: "


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> tuple[Finished, dict[str, Any], str]:
    """The finished command, its JSON, and its Markdown page."""
    folder = tmp_path_factory.mktemp("roofline")
    done = run_cli(
        "bench", trained.path, "--quick", "--sgemm", "-b", "onnx", "-b", "numpy", "--batch-size", "64",
        "--json", "found.json", "--markdown", "found.md", "--csv", "found.csv", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "sgemm" not in (folder / "found.csv").read_text(encoding="utf-8")
    page = (folder / "found.md").read_text(encoding="utf-8")
    return done, json.loads((folder / "found.json").read_text(encoding="utf-8")), page


@pytest.mark.slow
def test_the_roof_is_beside_the_rows_and_not_among_them(quick: tuple[Finished, dict[str, Any], str]) -> None:
    _, results, _ = quick
    assert {row["backend"] for row in results["rows"]} == {"onnx", "numpy"}
    assert results["settings"]["baseline"][0] in {"onnx", "numpy"}
    (sgemm,) = results["roofs"]
    row = sgemm["row"]
    assert sgemm["flops_per_image"] == 2 * (784 * 32 + 32 * 10)
    assert (row["backend"], row["precision"], row["batch_size"], row["threads"]) == ("sgemm", "fp32", 64, 1)
    assert row["runtime"]["name"] == "NumPy"
    assert row["runtime"]["threads"] == 1
    assert row["artifact"]["path"].endswith(".npz")
    assert row["latency_us"]["n"] > 0
    assert (row["accuracy"], row["agreement"], row["calibration"], row["rank"], row["error"]) == (None,) * 5
    (generation,) = row["generations"]
    assert generation["ratio"] > 0
    assert generation["wrong_labels"] == 0


@pytest.mark.slow
def test_numpy_takes_longer_than_its_products_alone(quick: tuple[Finished, dict[str, Any], str]) -> None:
    """It does the same products, and more."""
    _, results, _ = quick
    (numpy,) = [row for row in results["rows"] if row["backend"] == "numpy"]
    (sgemm,) = results["roofs"]
    assert sgemm["row"]["generations"][0]["ratio"] < numpy["generations"][0]["ratio"]


@pytest.mark.slow
def test_rates_and_shares_are_printed_as_the_figures_have_them(quick: tuple[Finished, dict[str, Any], str]) -> None:
    done, results, page = quick
    (sgemm,) = results["roofs"]
    assert "Shares of the machine's sgemm" in done.stdout
    assert len(table_rows(done.stdout.partition("Shares of")[0])) == len(results["rows"])
    for row in [sgemm["row"], *results["rows"]]:
        rate = sgemm["flops_per_image"] * 64 / row["latency_us"]["p50"] / 1000
        share = 100 * sgemm["row"]["generations"][0]["ratio"] / row["generations"][0]["ratio"]
        name = row["backend"] if row is sgemm["row"] else f"{row['backend']} {row['precision']}"
        line = re.search(rf"^ *✗? +{name} +64 +~?[\d.,]+ +([\d.,]+) +([\d.,]+) %", done.stdout, re.MULTILINE)
        assert line, name
        assert float(line[1].replace(",", "")) == pytest.approx(rate, abs=0.051)
        digits = len(line[2].partition(".")[2])
        assert float(line[2].replace(",", "")) == pytest.approx(share, abs=0.501 / 10**digits)
    (sentence,) = re.findall(rf"^{SENTENCE_START}.*$", done.stdout, re.MULTILINE)
    assert "fp32" in sentence
    assert "int8 or dynamic" in sentence
    assert "### Shares of the machine's sgemm" in page


@pytest.mark.slow
def test_resume_takes_roofs_over_and_adds_them_where_asked(tmp_path: Path, cli: Cli, untrained: Bundle) -> None:
    plain = ("bench", untrained.path, "-b", "numpy", "--batch-size", "8", "--seconds", "0.1", "--generations", "2")
    done = cli(*plain, "--json", "found.json")
    assert done.returncode == 0, done.stderr
    assert "sgemm" not in done.stdout
    before = json.loads((tmp_path / "found.json").read_text())
    assert before["roofs"] == []

    done = cli("bench", untrained.path, "--resume", "found.json", "--sgemm")
    assert done.returncode == 0, done.stderr
    with_sgemm = json.loads((tmp_path / "found.json").read_text())
    for row in (*with_sgemm["rows"], *before["rows"]):
        row.pop("ledger")  # each run makes its own
    assert with_sgemm["rows"] == before["rows"], "only what lacked was measured"
    (sgemm,) = with_sgemm["roofs"]
    assert [generation["index"] for generation in sgemm["row"]["generations"]] == [0, 1]
    assert all(math.isfinite(generation["ratio"]) for generation in sgemm["row"]["generations"])

    done = cli("bench", untrained.path, "--resume", "found.json")
    assert done.returncode == 0, done.stderr
    assert "Shares of the machine's sgemm" in done.stdout
    after = json.loads((tmp_path / "found.json").read_text())
    assert after["roofs"] == with_sgemm["roofs"]
    assert after["rows"][0]["generations"] == with_sgemm["rows"][0]["generations"]


def test_a_bundle_without_plain_weights_is_told_how_to_get_them(tmp_path: Path, cli: Cli, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    manifest = {
        **bundle.stored,
        "artifacts": [artifact for artifact in bundle.stored["artifacts"] if artifact["format"] != "npz"],
    }
    rewrite_manifest(bundle, manifest)
    message = complaint(cli("bench", bundle.path, "-b", "onnx", "--quick", "--sgemm"))
    assert "has no fp32 artifact of format 'npz'" in message
    assert f"run: digitbench export {bundle.path} --format npz" in message
    assert not (bundle.path / "results").exists()
