"""Results as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import pytest

from core.rows import MISSING, compared, results_of, timed
from core.test_terminal import a_run
from digitbench.records.results import (
    Agreement,
    Calibration,
    CallBreakdown,
    Certificate,
    Finding,
    Latency,
    McNemar,
    Results,
    Row,
)
from digitbench.report.tables import CSV_COLUMNS, to_csv, to_markdown

NASTY = 'it said: "a, b"\r\nand | then `died` <b>'


def whole_run(**changes: Any) -> Results:
    rows, extras = a_run()
    bad = (Finding("busy, very", "wait"), Finding("few calls", ""))
    busy = (Finding("it waited for a CPU 14% of the time", "wait"),)
    rows = (
        *rows[:2],
        replace(rows[2], doubts=busy),
        replace(rows[3], validity=bad),
        Row("savedmodel", "fp32", 1, 1, error=NASTY),
        MISSING,
    )
    return results_of(*rows, **{**extras, **changes})


def parsed(results: Results) -> dict[str, dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(to_csv(results), newline=""), strict=True))
    return {row["backend"]: row for row in rows}


# --- CSV -----------------------------------------------------------------------------------------------------------


def test_csv_has_a_row_for_each_candidate_in_the_order_of_the_table() -> None:
    assert list(parsed(whole_run())) == ["onnx", "tflite", "numpy", "keras", "savedmodel", "openvino"]


def test_csv_holds_raw_values_under_names_with_units() -> None:
    row = parsed(whole_run())["onnx"]
    expected = {
        "rank": "1", "validity": "VALID", "p50_us": "16.9", "p50_low_us": repr(16.9 * 0.97), "p999_us": "67.6",
        "p90_low_us": "", "ratio": "0.9", "ratio_low": "0.88", "ratio_high": "0.92", "generations": "3",
        "calls": "4000", "top1": "0.98", "top1_low": "0.93", "load_s": "0.25", "peak_rss_bytes": "200000000",
        "artifact_bytes": "123000", "warm_up_settled": "true", "cpu_s_per_1000_images": "0.0123",
        "ledger_call_us": "16.6", "ledger_run_us": "", "error": "", "runtime": "Onnx Engine", "dataset": "mnist",
        "bundle": "dense-128-x", "dataset_fingerprint": "c473ce9de4170e6f", "invalid_because": "",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_csv_says_what_is_wrong_and_keeps_any_text_whole() -> None:
    rows = parsed(whole_run())
    assert rows["savedmodel"]["error"] == NASTY
    assert rows["savedmodel"]["validity"] == ""
    assert rows["keras"]["validity"] == "INVALID"
    assert rows["keras"]["provisional_because"] == ""
    assert rows["numpy"]["validity"] == "provisional"
    assert rows["numpy"]["invalid_because"] == ""
    assert rows["numpy"]["provisional_because"] == "it waited for a CPU 14% of the time (wait)"
    figures = {
        name: bool(rows["numpy"][name]) for name in ("rank", "p50_us", "p50_low_us", "p90_us", "ratio", "min_us")
    }
    assert all(figures.values()), figures
    withheld = [name for name in rows["onnx"] if rows["onnx"][name] and not rows["numpy"][name]]
    assert {"p99_us", "p999_us", "mean_us", "max_us", "throughput_images_per_s"} <= set(withheld)
    assert rows["keras"]["invalid_because"] == "busy, very (wait); few calls"
    assert rows["openvino"]["mend"] == 'pip install "digitbench[openvino]"'


def test_csv_is_as_rfc_4180_says() -> None:
    text = to_csv(whole_run())
    assert text.endswith("\r\n")
    columns = [name for name in CSV_COLUMNS if name != "top5"]
    assert text.split("\r\n")[0].split(",")[: len(columns)] == columns
    outside_quotes = re.sub(r'"(?:[^"]|"")*"', "", text)
    assert outside_quotes.count("\n") == outside_quotes.count("\r\n") == 7
    assert '""a, b""' in text


def test_csv_columns_of_latencies_end_in_their_units() -> None:
    latency = [name for name in CSV_COLUMNS if re.match(r"p\d+|min|mean_u|max_u|first|ledger", name)]
    assert len(latency) > 15
    assert all(name.endswith("_us") for name in latency)


def test_csv_of_results_of_the_first_version() -> None:
    (row,) = parsed(results_of(timed("onnx", 1, 10))).values()
    assert (row["p50_us"], row["p50_low_us"], row["ratio"], row["generations"]) == ("10", "", "", "")


def test_csv_keeps_every_field_of_the_call_breakdown_and_the_latency() -> None:
    latency = Latency(4000, 1.5, 2.5, 3.5, 4.5, 5.5, 7.5, 6.5, {"p999": (6.25, 6.75)})
    (row,) = parsed(
        results_of(compared("onnx", 1, 1, 1, None, latency_us=latency, ledger=CallBreakdown(9, 8, 7, 6, 5)))
    ).values()
    names = ("min", "mean", "p50", "p90", "p99", "p999", "max", "p999_low", "p999_high")
    assert [row[f"{name}_us"] for name in names] == ["1.5", "2.5", "3.5", "4.5", "5.5", "6.5", "7.5", "6.25", "6.75"]
    parts = ("call", "loop", "input_copy", "run", "output_copy")
    assert [row[f"ledger_{name}_us"] for name in parts] == ["9", "8", "7", "6", "5"]


def test_csv_has_what_a_candidate_says_beside_the_reference() -> None:
    agreement = Agreement(
        "keras", 10, 0.0535, (), 0.0006, McNemar(4, 3, 0.75), Certificate(9935, 10000, 0.107, 0.0039)
    )  # fmt: skip
    row, reference_row = parsed(
        results_of(
            timed("onnx", 1, 10, agreement=agreement, calibration=Calibration(0.09, 0.0062)), timed("keras", 1, 20)
        )
    ).values()
    expected = {
        "flips": "10", "max_abs_score_difference": "0.0535", "mean_abs_score_difference": "0.0006", "lost_images": "4",
        "won_images": "3", "mcnemar_p": "0.75", "certified_images": "9935", "needed_margin": "0.107",
        "smallest_margin": "0.0039", "log_loss": "0.09", "expected_calibration_error": "0.0062",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert {reference_row[name] for name in expected} == {"0", "1e-06", ""}


# --- Markdown ------------------------------------------------------------------------------------------------------


def table(text: str) -> list[list[str]]:
    """Cells of each line of the tables."""
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if
            line.startswith("|")]  # fmt: skip


def test_markdown_has_intervals_ratio_rank_validity_and_error() -> None:
    text = to_markdown(whole_run())
    heads, _, *rows = table(text)
    assert len({len(row) for row in table(text)}) == 1
    by_backend = {row[1]: dict(zip(heads, row, strict=True)) for row in rows}
    assert list(by_backend) == ["onnx", "tflite", "numpy", "keras", "savedmodel"]
    assert by_backend["onnx"]["rank"] == "▸ 1"
    assert by_backend["onnx"]["p50 µs"] == "16.9 ±0.6"
    assert by_backend["onnx"]["ratio"] == r"×0.90 \[0.88, 0.92\]"
    assert by_backend["numpy"]["ratio"] == r"tie \[0.98, 1.04\]"
    assert by_backend["keras"]["rank"] == "✗ 4"
    assert by_backend["keras"]["remark"] == "INVALID: busy, very (wait); few calls"
    assert by_backend["numpy"]["remark"] == "provisional: it waited for a CPU 14% of the time (wait)"
    assert [by_backend["numpy"][name] for name in ("p99 µs", "p99.9 µs", "images/s")] == ["busy"] * 3
    assert by_backend["numpy"]["p50 µs"] == "~19.0 ±0.6"
    assert by_backend["savedmodel"]["remark"] == r'it said: "a, b" and \| then \`died\` \<b\>'


def test_markdown_has_a_title_for_each_group_and_the_footnotes() -> None:
    text = to_markdown(results_of(timed("onnx", 32, 9), timed("onnx", 1, 9, threads=2), MISSING))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "### Batch size 32, 1 thread", "### Batch size 1, 2 threads",
    ]  # fmt: skip
    assert "batch" not in table(text)[0]
    assert text.startswith("**dense-128-x** (dense-128) on mnist \\[c473")
    assert "\n- top-1 98.00% of 100 images" in text
    assert "\n- not measured: openvino: " in text
    assert to_markdown(replace(results_of(), complete=False)).endswith(
        "- Stopped early: only finished parts are shown.\n"
    )


@pytest.mark.parametrize("rows", [(), (timed("onnx", None, 1, latency_us=None),)], ids=["empty", "evaluation"])
def test_an_evaluation_has_one_table_without_latencies(rows: tuple[Row, ...]) -> None:
    text = to_markdown(results_of(*rows))
    assert "µs" not in text
    assert "#" not in text
    assert len(table(text)) == (3 if rows else 0)
