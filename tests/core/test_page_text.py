"""What a report's page says: its legends, its first lines, its verdicts, and what changed between runs."""

from __future__ import annotations

import re
from html import unescape

from core.test_page import SCRIPT, candidate, fourteen_rows, results_of, source_of
from digitbench.charts import latency, pareto, sweep
from digitbench.judge.faults import PROVISIONAL
from digitbench.records.layers import Layer
from digitbench.records.timing import Finding
from digitbench.report.page import facts, runs, table
from digitbench.report.page import html as pages
from digitbench.report.page.recommendation import recommendations


def test_a_page_and_a_picture_have_one_legend() -> None:
    results = results_of(*fourteen_rows(batch_sizes=(1, 32)))
    page_text = unescape(SCRIPT.sub("", pages.render([source_of(results)])))
    for figure in (pareto.figure(results), latency.figure(results), latency.figure(results, kind="ecdf"),
                   sweep.figure(results)):  # fmt: skip
        notes, about = (part["data"]["name"] for part in figure.to_dict()["vconcat"][1:])
        lines = [row["text"] for row in figure.to_dict()["datasets"][notes]]
        assert " ".join(lines[0]) in " ".join(page_text.replace("</p><p>", " ").split()), about


def test_figures_of_a_busy_machine_are_explained_in_a_line() -> None:
    busy = candidate("onnx", doubts=(Finding("it waited", "wait"),))
    text = unescape(SCRIPT.sub("", pages.render([source_of(results_of(candidate("keras", 2.0), busy))])))
    assert text.count(PROVISIONAL) == 2, "below the chart and above the table"
    assert PROVISIONAL not in unescape(pages.render([source_of(results_of(candidate("keras")))]))


def test_the_network_and_the_data_are_told_in_a_line() -> None:
    layers = (
        Layer("flatten", "Flatten", (28, 28), (784,), "", 0), Layer("dense", "Dense", (784,), (128,), "relu", 100_480),
        Layer("last", "Dense", (128,), (10,), "softmax", 1290),
    )  # fmt: skip
    results = results_of(candidate("keras"), layers=layers)
    assert facts.network(results) == "dense-128 (28×28 → 128 relu → 10 softmax, 101,770 parameters)"
    assert f"Network: {facts.network(results)}. Data: mnist, 1,000 test images." in pages.render([source_of(results)])
    deep = results_of(candidate("keras"), layers=(layers[0], *[layers[1]] * 9, layers[2]))
    assert facts.network(deep) == "dense-128 (28×28 → 10 layers → 10 softmax, 905,610 parameters)"
    assert facts.network(results_of(candidate("keras"))) == "dense-128"


def test_a_comparison_begins_with_what_changed_the_worse_before_the_better() -> None:
    first = results_of(candidate("keras", 3.0), candidate("tflite", 1.0), candidate("onnx", 2.0))
    later = results_of(candidate("keras", 2.0), candidate("tflite", 2.0), candidate("onnx", 2.0), created="2027")
    verdicts = [line[6] for line in runs.since("later", first, later).changed.lines]
    assert verdicts == sorted(verdicts, reverse=True)
    assert set(verdicts) == {"worse", "better"}
    text = SCRIPT.sub("", pages.render([source_of(first), source_of(later)]))
    headings = re.findall(r"<h2 [^>]*>(.*?)</h2>", text)
    assert headings[:3] == ["What changed", "The newest run", "Accuracy and costs against latency"]
    assert text.index("Changes beyond noise") < text.index("Every figure") < text.index("2 runs")


def test_a_row_that_is_not_judged_has_its_state_as_verdict() -> None:
    bad, busy = (Finding("a busy core", "wait"),), (Finding("it waited", "wait"),)
    results = results_of(candidate("keras"), candidate("onnx", validity=bad), candidate("tflite", error="it died"),
                         candidate("numpy", 2.0, doubts=busy))  # fmt: skip
    full = table.full(results, recommendations(results))
    shown = {line[0]: line[4] for line in full.table.lines}
    assert shown == {"keras": "chosen", "onnx": "INVALID", "tflite": "failed", "numpy": "dominated by keras fp32"}
    assert {line[0]: line[1][0] for line in full.table.lines}["numpy"] == "~"
