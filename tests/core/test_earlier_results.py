"""Results measured earlier: which still hold, what of them is lacking, and what goes on from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from journeys.helpers import copied

from core.pools import FakePools, ProgressRecorder
from digitbench import data
from digitbench.backend import Runtime
from digitbench.bundle import RESULTS, Bundle
from digitbench.measure import earlier_results, generation, session
from digitbench.measure.candidates import candidates
from digitbench.measure.plan import Plan
from digitbench.records.metrics import METRICS
from digitbench.records.results import Results, Row
from digitbench.records.timing import Busy, Finding
from digitbench.report.footnotes import footnotes

PLAN = Plan(seconds=0.04, generations=2)
Change = Callable[[Results], Results]


@pytest.fixture
def bundle(tmp_path: Path, untrained: Bundle, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle that simulated workers measure, whose one runtime has the version that they report."""
    reference = untrained.reference_scores()
    monkeypatch.setattr(generation, "Pool", FakePools(scores=lambda backend: reference).pool)
    monkeypatch.setattr(earlier_results, "_versions", lambda backend: ("1",))
    return copied(untrained, tmp_path)


def measured(bundle: Bundle, batch_sizes: list[int] | None = None, **options: Any) -> Results:
    """Results of numpy, in which no simulated worker's row is INVALID."""
    chosen = candidates(bundle, ["numpy"], [*(batch_sizes or [1])], [1])
    results = session.run(
        bundle, data.load("digits"), chosen, bundle.reference_scores(), plan=PLAN, limit=None,
        progress=ProgressRecorder(), keep=lambda results: None, **options,
    )  # fmt: skip
    return with_rows(results, validity=())


def with_rows(results: Results, **changes: Any) -> Results:
    return replace(results, rows=tuple(replace(row, **changes) for row in results.rows))


def save(bundle: Bundle, results: Results, name: str = "a.json") -> Path:
    path = bundle.path / RESULTS / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(results.dumps(), encoding="utf-8")
    return path


def find(bundle: Bundle, batch_size: int = 1, **least: Any) -> earlier_results.Earlier | None:
    return earlier_results.find(bundle, candidates(bundle, ["numpy"], [batch_size], [1]), **least)


def test_whole_results_lack_nothing(bundle: Bundle) -> None:
    path = save(bundle, measured(bundle))
    earlier = find(bundle, least_seconds=0.04, least_generations=2)
    assert earlier
    assert (earlier.path, earlier.lacking) == (path, ())
    assert earlier.results == Results.read(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda results: replace(results, digitbench="0.0.1"),
        lambda results: replace(results, machine={**results.machine, "cpu": "a Z80"}),
        lambda results: replace(results, machine={**results.machine, "python": "2.7"}),
        lambda results: replace(results, bundle={**results.bundle, "reference_sha256": "ab"}),
        lambda results: replace(results, bundle={**results.bundle, "test_images": 7}),
        lambda results: with_rows(results, artifact=replace(results.rows[0].artifact, sha256="0" * 64)),
        lambda results: with_rows(results, runtime=Runtime("NumPy", "0.1", "none", 1)),
        lambda results: with_rows(results, validity=(Finding("a busy core", "wait"),)),
        lambda results: with_rows(results, error="it died"),
        lambda results: replace(results, settings=replace(results.settings, baseline=None)),
    ],
    ids=["version", "cpu", "python", "bundle", "images", "artifact", "runtime", "INVALID", "failed", "no baseline"],
)
def test_what_no_longer_holds_is_not_used(bundle: Bundle, change: Change) -> None:
    """Without a baseline that holds nothing can be paired with the rest either."""
    save(bundle, change(measured(bundle)))
    assert find(bundle) is None


@pytest.mark.parametrize("least", [{"least_seconds": 0.05}, {"least_generations": 3}])
def test_a_run_that_measured_less_than_is_needed_is_not_used(bundle: Bundle, least: dict[str, Any]) -> None:
    save(bundle, measured(bundle))
    assert find(bundle, **least) is None


def test_provisional_rows_are_used_unless_a_metric_is_needed_that_a_busy_machine_spoils(bundle: Bundle) -> None:
    busy = (Finding("it waited for a CPU 14% of the time", "measure on a quieter machine"),)
    save(bundle, with_rows(measured(bundle), doubts=busy, busy=Busy(1.0, waiting_share=0.14)))
    assert find(bundle)
    assert find(bundle, needed=[METRICS["p99"]]) is None
    assert find(bundle, needed=[METRICS["p50"]])
    save(bundle, with_rows(measured(bundle), doubts=()), "b.json")
    assert find(bundle, needed=[METRICS["p99"]])


def test_a_race_that_was_stopped_goes_on_and_one_that_ended_lacks_nothing(bundle: Bundle) -> None:
    results = measured(bundle)
    (row,) = results.rows
    third = replace(row.generations[0], index=2)
    settings = replace(results.settings, race=True, generations=20)
    raced = replace(with_rows(results, generations=(*row.generations, third)), settings=settings)
    save(bundle, replace(raced, complete=False))
    stopped = find(bundle)
    assert stopped
    assert stopped.lacking
    save(bundle, raced)
    ended = find(bundle)
    assert ended
    assert not ended.lacking


def test_a_stopped_generation_is_lacking(bundle: Bundle) -> None:
    results = measured(bundle)
    save(bundle, with_rows(results, generations=results.rows[0].generations[:1]))
    earlier = find(bundle)
    assert earlier
    assert [candidate.row.backend for candidate in earlier.lacking] == ["numpy"]
    assert earlier.helpers == (), "it is the baseline itself"


def test_other_rows_help_to_rank_and_the_baseline_is_timed_again(bundle: Bundle) -> None:
    results = measured(bundle)
    row = results.rows[0]
    others = (replace(row, backend="gone"), replace(row, batch_size=8))
    renamed = replace(row, backend="onnx", generations=())
    chosen = [replace(candidate, row=renamed) for candidate in candidates(bundle, ["numpy"], [1], [1])]
    save(bundle, replace(results, rows=(row, *others)))
    earlier = earlier_results.find(bundle, chosen)
    assert earlier
    assert earlier.lacking == tuple(chosen)
    assert [(helper.row.backend, bool(helper.artifact)) for helper in earlier.helpers] == [
        ("numpy", True), ("gone", False),
    ]  # fmt: skip


def test_of_several_the_newest_that_lacks_least_is_taken(bundle: Bundle) -> None:
    results = measured(bundle)
    whole = save(bundle, results, "a.json")
    save(bundle, with_rows(results, generations=()), "b.json")
    (bundle.path / RESULTS / "c.json").write_text("{", encoding="utf-8")
    earlier = find(bundle)
    assert earlier
    assert earlier.path == whole


# --- the newest row of each candidate ------------------------------------------------------------------------------


def named(results: Results, *names: str, **changes: Any) -> Results:
    """The same run, of candidates of other names."""
    return replace(results, rows=tuple(replace(results.rows[0], backend=name) for name in names), **changes)


def save_in_order(bundle: Bundle, *runs: Results) -> list[Path]:
    """Save runs, the newest first."""
    paths = [save(bundle, run, f"{index}.json") for index, run in enumerate(runs)]
    for age, path in enumerate(paths):
        os.utime(path, (10**9 - age, 10**9 - age))
    return paths


def test_the_newest_row_of_each_candidate_is_taken_and_it_is_said_from_where(bundle: Bundle) -> None:
    run = measured(bundle)
    paths = save_in_order(bundle, named(run, "onnx"), named(run, "numpy", "onnx", "tflite"), named(run, "numpy"))
    found = earlier_results.newest(bundle)
    assert found
    path, results = found
    assert path == paths[0]
    assert [row.backend for row in results.rows] == ["onnx", "numpy", "tflite"]
    assert results.files == ("0.json (1 row)", "1.json (2 rows)")
    onnx, numpy, tflite = results.rows
    assert {row.rank for row in results.rows} == {None}, "those of two runs aren't ranked together"
    assert numpy.ratio == tflite.ratio == run.rows[0].ratio is not None
    assert onnx.ratio is None
    assert onnx.latency_us == run.rows[0].latency_us
    assert {generation.ratio for generation in onnx.generations} == {None}
    assert results.floors == run.floors
    assert "from 2 runs: 0.json (1 row), 1.json (2 rows)." in footnotes(results)[0]


def test_ratios_are_to_the_baseline_of_the_run_with_most_rows(bundle: Bundle) -> None:
    run = measured(bundle)
    newer = named(run, "onnx", settings=replace(run.settings, baseline=("onnx", "fp32")), created="2030-01-01")
    save_in_order(bundle, with_rows(newer, batch_size=8), named(run, "numpy", "tflite"))
    found = earlier_results.newest(bundle)
    assert found
    results = found[1]
    assert (results.settings.baseline, results.created) == (("numpy", "fp32"), "2030-01-01")
    assert [row.ratio is None for row in results.rows] == [True, False, False]


def test_ranks_stay_where_all_rows_of_a_batch_size_are_of_one_run(bundle: Bundle) -> None:
    run = measured(bundle)
    save_in_order(bundle, run, with_rows(run, batch_size=8))
    found = earlier_results.newest(bundle)
    assert found
    assert [(row.batch_size, row.rank) for row in found[1].rows] == [(1, run.rows[0].rank), (8, run.rows[0].rank)]


def test_a_single_run_is_taken_as_it_is(bundle: Bundle) -> None:
    run = measured(bundle)
    newest, _ = save_in_order(bundle, replace(run, rows=(*run.rows, Row("gone", "fp32", 1, 1, error="it died"))), run)
    assert earlier_results.newest(bundle) == (newest, Results.read(newest))


def test_what_was_measured_otherwise_or_by_plugins_that_are_gone_is_left_out(bundle: Bundle) -> None:
    run = measured(bundle)
    unlike = [
        named(run, "slower"), named(run, "tflite", digitbench="0.0.1"),
        named(run, "tflite", machine={**run.machine, "cpu": "a Z80"}), with_rows(run, error="it died"),
    ]  # fmt: skip
    *_, last = save_in_order(bundle, *unlike, run)
    assert earlier_results.newest(bundle) == (last, Results.read(last))
    last.unlink()
    assert earlier_results.newest(bundle) is None


def test_rows_that_a_run_leaves_alone_stay_in_its_results(bundle: Bundle) -> None:
    before = measured(bundle, [1, 8])
    unavailable = Row("keras", "fp32", None, 1, error="not installed", mend="pip install keras")
    after = measured(bundle, [8], earlier=replace(before, rows=(*before.rows, unavailable)))
    assert {row.key for row in after.rows} == {row.key for row in (*before.rows, unavailable)}
    assert after.created == before.created


def test_candidates_are_listed_anew_for_each_backends_own_precisions(bundle: Bundle) -> None:
    rows = [Row("numpy", "fp32", size, threads) for size, threads in ((8, 1), (1, 1), (1, 2))]
    chosen = earlier_results.candidates_of(rows, bundle)
    assert [candidate.row.key for candidate in chosen] == [
        ("numpy", "fp32", 1, 1), ("numpy", "fp32", 1, 8), ("numpy", "fp32", 2, 1), ("numpy", "fp32", 2, 8),
    ]  # fmt: skip
