"""Pictures of results: what is drawn where, what is said, and that nothing overlaps or is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.read_charts import check_chart, drawn, layers, rows_with, text_of, texts
from core.rows import generation, results_of, sampled, scored, timed
from digitbench.charts import candidates, distributions, files, groups, latency, palette, pareto, sweep, vega
from digitbench.commands import plot_results
from digitbench.errors import ResultsError, UsageError
from digitbench.evaluate import intervals
from digitbench.records.results import Agreement, ArtifactFile, Results, Row
from digitbench.records.settings import Settings
from digitbench.records.timing import Finding

BACKENDS = ("keras", "numpy", "onnx", "openvino", "savedmodel", "a-plugin-with-a-long-name")
PRECISIONS = ("fp32", "fp16", "dynamic", "int8")
NAMES = [(backend, precision) for backend in BACKENDS for precision in PRECISIONS]
BAD = (Finding("the runtime runs 8 threads, not 2", "ask for --threads 8"),)
BUSY = (Finding("it waited for a CPU 30% of the time", "close what else runs here"),)


def measured(
    name: str, precision: str = "fp32", p50: float = 10.0, *, batch: int = 1, threads: int = 1, calls: int = 400,
    size: int = 1_000_000, memory: int = 100_000_000, **changes: Any,
) -> Row:  # fmt: skip
    """A candidate of two generations with calls of a long tail, summarised as `bench` does."""
    draw = np.random.default_rng(int(p50 * 100))
    durations = [(1000 * p50 * np.exp(draw.exponential(0.1, calls))).astype(np.int64) for _ in range(2)]
    generations = tuple(
        sampled(
            generation(index, float(np.median(nanoseconds)) / 1000, seconds=float(nanoseconds.sum()) / 1e9,
                       peak_rss_bytes=memory), nanoseconds,
        ) for index, nanoseconds in enumerate(durations)
    )  # fmt: skip
    row = timed(
        name, batch, p50, precision=precision, threads=threads, artifact=ArtifactFile("a", size, "ab"),
        accuracy=scored(979, 1000), agreement=Agreement("keras", 0, 0.1), peak_rss_bytes=memory, validity=(),
        latency_us=intervals.summarise(durations), generations=generations,
        throughput_per_s=batch * 2 * calls / sum(item.seconds for item in generations),
    )  # fmt: skip
    return replace(row, **changes)


def crowd(count: int) -> Results:
    """Candidates whose latencies lie close together in two places, one of them INVALID, one failed."""
    rows = [
        measured(
            backend, precision, 4 + index / 20 if index % 2 else 80.0, size=400_000 * (1 + index % 7), rank=index + 1
        )
        for index, (backend, precision) in enumerate(NAMES[:count])
    ]
    rows[-1] = replace(rows[-1], validity=BAD, rank=None)
    return results_of(*rows, Row("broken", "fp32", 1, 1, error="the worker died"), settings=Settings(seconds=3.0))


@pytest.fixture(scope="module")
def two() -> Results:
    return crowd(2)


@pytest.fixture(scope="module")
def many() -> Results:
    return crowd(24)


def grid(names: Sequence[tuple[str, str]], sizes: Sequence[int], counts: Sequence[int]) -> Results:
    """A sweep: each call takes 10 µs and 1 µs for each image, half of that with two threads."""
    return results_of(*(
        measured(backend, precision, (10 + size) * (1 + index / 10) / count, batch=size, threads=count, calls=40)
        for index, (backend, precision) in enumerate(names) for size in sizes for count in counts
    ))  # fmt: skip


# --- what is read from a chart -------------------------------------------------------------------------------------


def marked(chart: Any, shape: str) -> int:
    """How many marks of this shape are drawn in violins."""
    return sum(item.get("shape") == shape for item in drawn(chart, "symbol"))


@pytest.mark.parametrize("draw", [
    latency.figure, lambda results: latency.figure(results, kind="ecdf"), pareto.figure,
    lambda results: pareto.figure(results, against="size"),
])  # fmt: skip
def test_no_lettering_overlaps_or_is_cut_off(draw: Any, two: Results, many: Results) -> None:
    for results in (two, many):
        check_chart(draw(results))


@pytest.mark.parametrize("names", [NAMES[:2], NAMES])
def test_no_lettering_of_a_sweep_overlaps_or_is_cut_off(names: Sequence[tuple[str, str]]) -> None:
    check_chart(sweep.figure(grid(names, (1, 8, 64), (1, 2))))


def test_every_picture_says_what_it_is_of(two: Results) -> None:
    swept = replace(grid(NAMES[:1], (1, 8), (1,)), settings=Settings(seconds=3.0))
    for figure in (latency.figure(two), latency.figure(two, kind="ecdf"), pareto.figure(two), sweep.figure(swept)):
        text = text_of(figure)
        for part in ("dense-128-x (dense-128)", "mnist [c473ce9de4170e6f]", "10,000 test images", "Some CPU [x]",
                     "2 generations", "3 s of timed calls", "2026-11-21 00:00 UTC", "1"):  # fmt: skip
            assert part in text
        assert "batch 1, 1 thread" in text or "batch sizes 1, 8, threads 1" in text


def test_what_is_invalid_or_failed_is_said_with_its_reason(two: Results) -> None:
    for figure in (latency.figure(two), latency.figure(two, kind="ecdf"), pareto.figure(two)):
        assert "× INVALID, not to be relied on: keras fp16 batch 1: the runtime runs 8 threads" in text_of(figure)
        assert "broken fp32 batch 1 failed: the worker died." in text_of(figure)
    assert "×" in texts(latency.figure(two))
    assert "×" in texts(pareto.figure(two))


def test_names_are_text_of_any_length(two: Results) -> None:
    nasty = "</svg><script>'\"[a].b\\ $\\frac$ 名 " + "y" * 400
    swept = grid([(nasty, "fp32"), ("onnx", nasty)], (1, 8), (1,))
    named = replace(swept, bundle={**two.bundle, "name": nasty})
    for chart in (latency.figure(named), latency.figure(named, kind="ecdf"), pareto.figure(named), sweep.figure(named)):
        check_chart(chart)
        assert all(item["sheet"][0] < 1300 for item in drawn(chart, "text"))
        svg = vega.svg(chart, nasty)
        assert "<script" not in svg
        assert "$\\frac$ 名" in svg


def test_each_picture_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "save", lambda chart, target, suffix: target.touch())
    results_path = tmp_path / "found.json"
    results_path.write_text(grid(NAMES[:2], (1, 8), (1,)).dumps(), encoding="utf-8")
    for kind, against, metric in (("violin", "latency", "throughput"), ("ecdf", "size", "latency")):
        plot_results.latency(results_path, kind=kind)
        plot_results.pareto(results_path, metric=against)
        plot_results.sweep(results_path, metric=metric)
    names = ("latency", "latency-ecdf", "pareto", "pareto-size", "sweep", "sweep-latency")
    assert {path.stem for path in tmp_path.glob("*.png")} == {f"found-{name}" for name in names}


# --- groups --------------------------------------------------------------------------------------------------------


def test_the_smallest_batch_size_with_the_fewest_threads_is_taken_if_nothing_is_said() -> None:
    results = grid(NAMES[:1], (32, 1, 8), (2, 1))
    assert [(picked.batch_size, picked.threads) for picked in (groups.pick(results), groups.pick(results, 2))] == [
        (1, 1),
        (1, 2),
    ]
    group = groups.pick(results, 2, 32)
    assert (group.batch_size, group.threads, len(group.rows)) == (32, 2, 1)
    assert "Not shown: batch 1, 1 thread; batch 1, 2 threads; batch 8, 1 thread" in text_of(
        latency.figure(results, threads=2, batch_size=32)
    )


def test_a_group_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"^--batch-size 7 --threads 2: no such rows; there are: batch 1, 1 thread$"):
        groups.pick(results_of(measured("onnx")), 2, 7)


@pytest.mark.parametrize("draw", [latency.figure, pareto.figure, sweep.figure])
def test_results_without_latencies_are_refused(draw: Any) -> None:
    with pytest.raises(ResultsError, match="digitbench bench"):
        draw(results_of(Row("onnx", "fp32", None, 1), Row("keras", "fp32", 1, 1, error="died")))


# --- latency -------------------------------------------------------------------------------------------------------


def test_p50_and_p99_are_marked_where_the_table_has_them_and_written_so(many: Results) -> None:
    figure = latency.figure(many)
    summaries = sorted((row.latency_us for row in many.rows if row.latency_us), key=lambda summary: summary.p50 or 0)
    rows = rows_with(figure, "p50", "p99", "line")
    assert sorted(row["p50"] for row in rows) == [summary.p50 for summary in summaries]
    assert sorted(row["p99"] for row in rows) == sorted(summary.p99 for summary in summaries if summary.p99)
    assert marked(figure, "circle") == marked(figure, "diamond") == len(summaries)
    assert f"{summaries[0].p50:.1f} ±" in text_of(figure)


def test_a_percentile_with_too_few_calls_is_not_marked() -> None:
    figure = latency.figure(results_of(measured("onnx", calls=100)))
    assert (marked(figure, "diamond"), marked(figure, "circle")) == (0, 1)
    assert "needs 368 calls" in texts(figure)


def test_the_fastest_comes_first() -> None:
    labels = drawn(latency.figure(results_of(measured("keras", p50=90.0), measured("onnx", p50=4.0))), "text")
    tops = {item["text"]: item["top"] for item in labels if item["text"] in ("onnx", "keras")}
    assert tops["onnx"] < tops["keras"]


def test_no_call_is_left_out_of_a_violin() -> None:
    micros = np.sort(np.concatenate([np.random.default_rng(0).lognormal(2, 0.1, 5000), [0.0, 1e5]]))
    edges, share = distributions.histogram(micros)
    assert edges[0] <= 1e-3 < edges[1]
    assert edges[-2] <= 1e5 <= edges[-1]
    assert share.max() == 1
    assert share[0] == share[-1] == pytest.approx(1 / round(1 / share[0]))  # one call in each of the outermost bins
    assert share.sum() / share[-1] == pytest.approx(len(micros))


def ends_of_axes(chart: Any) -> set[float]:
    scales = (unit["encoding"].get("x", {}).get("scale") for unit in layers(vega.spec(chart)))
    return {scale["domain"][1] for scale in scales if scale and scale.get("type") == "log"}


def test_the_axis_of_tails_goes_to_the_slowest_call(many: Results) -> None:
    slowest = max(row.latency_us.max for row in many.rows if row.latency_us)
    chart = latency.figure(many, kind="ecdf")
    assert min(ends_of_axes(chart)) >= slowest
    assert max(row["x"][-1] for row in rows_with(chart, "p99")) == pytest.approx(slowest, rel=1e-3)


def test_the_axis_of_violins_ends_behind_p99_and_a_note_counts_the_calls_beyond(many: Results) -> None:
    p99s = [row.latency_us.p99 or 0 for row in many.rows if row.latency_us]
    (end,) = ends_of_axes(latency.figure(many))
    assert max(p99s) < end < 1.2 * max(p99s)
    calls = np.concatenate([distributions.calls_of(row) for row in many.rows if row.latency_us])
    assert f": {(calls > end).sum()} of {len(calls):,} calls took longer." in text_of(latency.figure(many))


def test_a_p99_far_above_p50_is_an_arrow_at_the_end_of_the_axis() -> None:
    steady, row = measured("keras"), measured("onnx", p50=20.0)
    assert row.latency_us
    figure = latency.figure(results_of(steady, replace(row, latency_us=replace(row.latency_us, p99=5000.0))))
    (end,) = ends_of_axes(figure)
    assert end == pytest.approx(3 * 1.15 * (row.latency_us.p50 or 0))
    assert (marked(figure, "triangle-right"), marked(figure, "diamond"), marked(figure, "circle")) == (1, 1, 2)
    assert "Arrow: p99 is beyond the axis." in text_of(figure)
    assert "Arrow" not in text_of(latency.figure(results_of(steady)))


def test_a_tail_goes_from_all_calls_to_the_slowest() -> None:
    micros = np.sort(np.random.default_rng(1).lognormal(2, 0.5, 100_000))
    values, share = distributions.tail(micros)
    assert (values[0], share[0], values[-1], share[-1]) == (micros[0], 1, micros[-1], 1e-5)
    assert len(values) <= distributions.DRAWN
    for value, expected in zip(values[::50], share[::50], strict=True):
        assert (micros >= value).mean() == pytest.approx(expected)


def test_results_without_single_calls_give_percentiles_and_say_so() -> None:
    row = measured("onnx")
    assert (np.diff(distributions.calls_of(row)) >= 0).all()
    assert len(distributions.calls_of(row)) == 800
    older = replace(row, generations=tuple(replace(generation, samples="") for generation in row.generations))
    figure = latency.figure(results_of(older))
    assert "No candidate's single calls are in these results" in text_of(figure)
    assert marked(figure, "circle") == 1
    assert "percentiles, as dots" in text_of(latency.figure(results_of(older), kind="ecdf"))
    assert "keras batch 1: no single calls" in text_of(
        latency.figure(results_of(row, replace(older, backend="keras")), kind="ecdf")
    )
    with pytest.raises(ResultsError, match="can't be decoded"):
        latency.figure(results_of(replace(row, generations=(replace(row.generations[0], samples="?"),))))


# --- pareto --------------------------------------------------------------------------------------------------------


def test_the_pareto_optimal_are_bold_and_the_dominated_say_by_whom() -> None:
    worse = measured("keras", p50=80.0, size=3_000_000, memory=900_000_000)
    figure = pareto.figure(results_of(measured("onnx", p50=4.0), worse))
    bold = {item["text"] for item in drawn(figure, "text") if item.get("fontWeight") == "bold" and item.get("limit")}
    assert {"onnx", "Pareto-optimal"} <= bold
    assert "keras" not in bold
    assert {"dominated by onnx", "chosen: onnx"} <= set(texts(figure))
    assert "(McNemar's exact test): 0 of 1." in text_of(figure)
    rings = [item for item in drawn(figure, "symbol") if item.get("size") == 1.5 * pareto.AREAS[1]]
    (onnx,) = (item for item in drawn(figure, "symbol") if item.get("shape") == "triangle-up" and item["left"] < 400)
    assert [(ring["left"], ring["top"]) for ring in rings] == [(onnx["left"], onnx["top"])]


def test_candidates_that_tie_stand_in_one_band() -> None:
    tied = [measured(name, p50=p50, rank=rank) for name, p50, rank in (("a", 4, 1), ("b", 20, 2), ("c", 20.1, 2))]
    figure = pareto.figure(results_of(*tied))
    assert texts(figure).count("2=") == 2
    costs = sorted(row.latency_us.p50 or 0 for row in tied if row.latency_us)
    (band,) = rows_with(figure, "latency", "end")
    assert costs[0] < band["latency"] < costs[1] < costs[2] < band["end"]
    assert "Blue bands join candidates without a significant difference in p50" in text_of(figure)
    assert "bands" not in text_of(pareto.figure(results_of(*tied[:2])))
    (beside,) = rows_with(figure, "line", "end")
    assert (beside["line"], beside["end"]) == (0.55, 2.45)
    assert not rows_with(pareto.figure(results_of(*tied[:2], replace(tied[2], validity=BAD))), "end")


def test_marks_stand_at_cost_and_accuracy_with_an_area_by_size() -> None:
    rows = [measured("tflite", p50=4.0, size=400_000), measured("keras", p50=80.0, size=1_600_000)]
    by_name = {row["name"]: row for row in rows_with(pareto.figure(results_of(*rows)), "area")}
    assert rows[0].latency_us
    assert by_name["tflite"]["latency"] == rows[0].latency_us.p50
    assert by_name["tflite"]["top-1"] == pytest.approx(97.9)
    in_plot = [item for item in drawn(pareto.figure(results_of(*rows)), "symbol") if item["left"] < 500]
    sizes = {item["shape"]: item["size"] for item in in_plot if item.get("fill") in ("#0072b2", "#d55e00")}
    least, most = pareto.AREAS
    assert (sizes["circle"] - least) / (sizes["square"] - least) == pytest.approx(0.25)
    assert sizes["square"] == most
    sized = rows_with(pareto.figure(results_of(*rows), against="size"), "area")
    assert sorted(row["size"] for row in sized) == [400, 1600]
    assert {row["area"] for row in sized} == {100_000_000}


def test_each_precision_fills_a_mark_in_a_way_of_its_own_and_invalid_ones_are_crossed_out() -> None:
    rows = [measured("onnx", precision, 4.0) for precision in (*palette.FILLS, "fp64")]
    rows.append(measured("keras", "fp32", 4.0, validity=BAD))
    styles = palette.of_backends(["onnx", "keras"])
    looks = [candidates.described(row, "x", styles) for row in rows]
    assert len({(look["fill"], look["core"]) for look in looks[:-1]}) == len(looks) - 1
    assert (looks[-1]["colour"], looks[-1]["invalid"]) == (palette.GREY, True)
    crosses = [item for item in drawn(pareto.figure(results_of(*rows)), "symbol") if item.get("shape") == palette.CROSS]
    assert len(crosses) == 2  # in the plot and in the table


def test_a_candidate_without_accuracy_is_named_as_not_drawn() -> None:
    figure = pareto.figure(results_of(measured("onnx"), measured("keras", accuracy=None)))
    assert "Not drawn, since accuracy or p50 is not known: keras batch 1." in text_of(figure)
    with pytest.raises(ResultsError, match="no candidate has an accuracy"):
        pareto.figure(results_of(measured("keras", accuracy=None)))


# --- sweep ---------------------------------------------------------------------------------------------------------


def test_saturation_is_marked_where_the_terminal_says_it_is() -> None:
    speeds = {1: 50.0, 8: 98.0, 64: 100.0}
    rows = [measured("onnx", batch=size, throughput_per_s=speed, generations=()) for size, speed in speeds.items()]
    figure = sweep.figure(results_of(*rows))
    assert "onnx · 8" in texts(figure)
    assert [(row["x"], row["y"]) for row in rows_with(figure, "saturated") if row["saturated"]] == [(8, 98)]
    growing = sweep.figure(results_of(*rows[:1], replace(rows[1], throughput_per_s=500.0)))
    assert "onnx · 8+" in texts(growing)
    assert not any(row["saturated"] for row in rows_with(growing, "saturated"))


def test_panels_are_of_threads_or_of_backends_where_lines_are_many() -> None:
    few, many = (sweep.curves(grid(names, (1, 8), (1, 2)), "throughput") for names in (NAMES[:6], NAMES))
    assert {curve.panel for curve in few} == {"1 thread", "2 threads"}
    assert len({curve.panel for curve in many}) == 12
    assert {curve.name for curve in many if curve.panel == "onnx, 2 threads"} == set(PRECISIONS)
    assert [len(curve.points) for curve in many] == [2] * 48


def test_with_one_batch_size_it_goes_over_threads() -> None:
    figure = sweep.figure(grid(NAMES[:2], (8,), (1, 2, 4)))
    assert {"threads", "batch 8"} <= set(texts(figure))


def test_with_nothing_to_sweep_over_it_says_what_to_run() -> None:
    with pytest.raises(ResultsError, match=r"run: digitbench bench --batch-size 1,8,32,128,512$"):
        sweep.figure(grid(NAMES[:2], (8,), (2,)))


def test_points_that_are_not_drawn_or_invalid_are_counted() -> None:
    rows = [measured("onnx", batch=size, calls=100) for size in (1, 8)]
    few = measured("onnx", batch=64, calls=1)
    figure = sweep.figure(results_of(rows[0], replace(rows[1], validity=BAD), few), metric="latency")
    assert "1 point not drawn: too few calls for a p50." in text_of(figure)
    assert "× INVALID, crossed: 1 of 2 points: the runtime runs 8 threads" in text_of(figure)


def test_points_of_a_busy_machine_have_a_p50_and_no_throughput() -> None:
    rows = [measured("onnx", batch=size) for size in (1, 8, 64)]
    few = results_of(*rows[:2], replace(rows[2], doubts=BUSY))
    assert [point["x"] for point in rows_with(sweep.figure(few), "saturated")] == [1, 8]
    withheld = "1 point not drawn: the machine was busy, which spoils throughput and hardly a p50 (--metric latency)."
    assert withheld in text_of(sweep.figure(few))
    latencies = sweep.figure(few, metric="latency")
    assert [point["x"] for point in rows_with(latencies, "saturated")] == [1, 8, 64]
    assert "1 point provisional: the machine was busy." in text_of(latencies)
    assert "not drawn" not in text_of(latencies)
    every = results_of(*(replace(row, doubts=BUSY) for row in rows))
    with pytest.raises(ResultsError, match="throughput is not known: the machine was busy; p50 is: add --metric"):
        sweep.figure(every)


@pytest.mark.parametrize("kind", latency.CHOICES)
@pytest.mark.parametrize("sampled", [False, True])
def test_a_chart_of_latencies_withholds_the_tail_of_a_busy_machine(kind: latency.PlotKind, sampled: bool) -> None:
    row = measured("onnx", doubts=BUSY)
    figure = latency.figure(results_of(row if sampled else replace(row, generations=())), kind=kind)
    (line,) = rows_with(figure, "p50")
    assert row.latency_us
    assert (line["p50"], line["p99"]) == (row.latency_us.p50, None)
    if kind == "violin":
        assert (line["p99 µs"], line["slowest µs"]) == ("busy", "busy")
        assert line["p50 µs"].startswith("~")
    elif not sampled:
        assert len(line["x"]) == 3, "the least, p50, p90"
    assert "provisional: it waited for a CPU 30% of the time" in line["hover"]
    assert "p99" not in line["hover"]
    assert "~ provisional, the machine was busy" in text_of(figure)
