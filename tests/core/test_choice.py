"""Who is left out, who is Pareto-optimal, and which one is named."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rows import generation, scored, timed
from digitbench import plugins
from digitbench.backend import Runtime
from digitbench.errors import UsageError
from digitbench.evaluate import intervals as stats
from digitbench.judge import choice, ties
from digitbench.judge.choice import Choice, Judged, judge
from digitbench.judge.limits import Limit, parse_limits
from digitbench.records.results import Agreement, ArtifactFile, Flip, Row
from digitbench.records.timing import Finding, Latency

IMAGES, RIGHT = 1000, 950  # the reference has the first 950 right


def row(
    name: str, ratios: Sequence[float] = (1.0,), *, lost: int = 0, won: int = 0, size: int = 1000, memory: int = 100,
    p99: float | None = None, rank: int | None = None, **changes: Any,
) -> Row:  # fmt: skip
    """A candidate of 10 µs times its ratios; it loses `lost` images that the reference has right, and wins `won`."""
    flips = [Flip(index, 1, 1, 2, 0.1, 0.1) for index in range(lost)]
    flips += [Flip(RIGHT + index, 1, 2, 1, 0.1, 0.1) for index in range(won)]
    p50 = 10 * sum(ratios) / len(ratios)
    intervals = {"p99": (p99 * 0.9, p99 * 1.1)} if p99 else {}
    value = timed(
        name, 1, p50, runtime=Runtime("R", "1", "CPU", 1), artifact=ArtifactFile(f"{name}.x", size, name),
        accuracy=scored(RIGHT - lost + won, IMAGES),
        agreement=Agreement("keras", len(flips), 0.1, tuple(flips)), peak_rss_bytes=memory, rank=rank, validity=(),
        latency_us=Latency(10_000, 1, p50, p50, p50, p50 * 2 if p99 is None else p99, 1000, intervals=intervals),
        generations=tuple(
            generation(index, 10 * ratio, ratio=ratio, peak_rss_bytes=memory) for index, ratio in enumerate(ratios)
        ),
    )  # fmt: skip
    return replace(value, **changes)


def limits(**texts: str) -> tuple[Limit, ...]:
    return parse_limits(texts)


def verdicts(decision: Choice) -> dict[str, str]:
    """What became of each candidate: ``named``, ``front``, ``out``, or the name of the one that beats it."""

    def verdict(judged: Judged) -> str:
        if judged.reasons:
            return "out"
        if judged is decision.named:
            return "named"
        return "front" if judged.pareto_optimal else judged.dominated_by.backend if judged.dominated_by else "nobody"

    return {judged.row.backend: verdict(judged) for judged in decision.judged}


# --- any candidates ------------------------------------------------------------------------------------------------

metrics: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "lost": st.sampled_from([0, 1, 5, 20, 60]),
        "won": st.sampled_from([0, 1, 6, 20]),
        "size": st.sampled_from([1000, 1010, 1021, 1040, 4000]),
        "memory": st.sampled_from([100, 101, 102, 103, 150]),
        "p99": st.sampled_from([None, 15.0, 20.0, 25.0]),
    }
)
failures: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {}, {"error": "died"}, {"validity": (Finding("a busy core", ""),)}]
)
some_limits = st.fixed_dictionaries(
    {},
    optional={
        "p99": st.sampled_from(["18us", "21us"]),
        "p50": st.sampled_from(["10us", "12us"]),
        "accuracy": st.sampled_from(["94%", "95%"]),
        "flips": st.sampled_from(["0", "6"]),
        "memory": st.sampled_from(["101B", "120B"]),
        "size": st.sampled_from(["1000B", "1030B"]),
        "throughput": st.sampled_from(["90000"]),
    },
)


@st.composite
def candidates(draw: st.DrawFn) -> list[Row]:
    """Up to six, ranked as a run ranks them."""
    generations = draw(st.sampled_from([1, 3]))
    rows = []
    for name in "abcdef"[: draw(st.integers(1, 6))]:
        level = draw(st.sampled_from([0.9, 1.0, 1.02, 1.04, 1.1, 1.3]))
        noise = [draw(st.sampled_from([0.97, 1.0, 1.01, 1.05])) for _ in range(generations)]
        rows.append(row(name, [level * factor for factor in noise], **draw(metrics), **draw(failures)))
    ratios = {row.key: {run.index: run.ratio or 0.0 for run in row.generations} for row in rows if not row.error}
    ranks = stats.ranks(ratios)
    return [replace(row, rank=ranks.get(row.key)) for row in rows]


@settings(deadline=None)
@given(candidates(), some_limits, st.sampled_from(choice.PREFERENCES))
def test_the_named_one_is_on_the_front_and_nobody_there_is_beaten(
    rows: list[Row], bounds: dict[str, str], prefer: str
) -> None:
    decision = judge(rows, limits(**bounds), prefer=prefer)
    passing = [judged.row for judged in decision.judged if not judged.reasons]
    assert (decision.named is None) == (not passing)
    assert (decision.named in decision.pareto_optimal) == bool(passing)
    unbeaten = [row for row in passing if not any(ties.beats(rival, row) for rival in passing)]
    exact = [row for row in passing if not any(choice.beats_exactly(rival, row) for rival in passing)]
    assert {judged.row.key for judged in decision.pareto_optimal} == {row.key for row in unbeaten or exact}
    for judged in decision.judged:
        assert bool(judged.dominated_by) == (not judged.reasons and not judged.pareto_optimal)
        if judged.dominated_by:
            assert ties.beats(judged.dominated_by, judged.row) or choice.beats_exactly(judged.dominated_by, judged.row)


@settings(deadline=None)
@given(candidates(), some_limits)
def test_a_candidate_is_thrown_out_if_and_only_if_there_is_a_reason(rows: list[Row], bounds: dict[str, str]) -> None:
    decision = judge(rows, limits(**bounds))
    assert sorted(judged.row.backend for judged in decision.judged) == [row.backend for row in rows]
    for judged in decision.judged:
        failed, over_limit = judged.row.error or judged.row.validity, broken(judged.row, bounds)
        assert bool(judged.reasons) == (bool(failed) or bool(over_limit))
        assert not (judged.reasons and (judged.pareto_optimal or judged.dominated_by or judged is decision.named))
        if not judged.row.error:
            assert len(judged.reasons) == len(judged.row.validity or ()) + len(over_limit)


def broken(candidate: Row, bounds: Mapping[str, str]) -> list[str]:
    """The limits that a candidate breaks, computed from its values without `digitbench.judge.limits`."""
    values: Any = candidate
    numbers = {name: float(text.rstrip("us%B")) for name, text in bounds.items()}
    beyond = {
        "p99": values.latency_us.p99 > numbers.get("p99", 1e9),
        "p50": values.latency_us.p50 > numbers.get("p50", 1e9),
        "accuracy": values.accuracy.correct * 100 < numbers.get("accuracy", 0) * IMAGES,
        "flips": values.agreement.flips > numbers.get("flips", 1e9),
        "memory": values.peak_rss_bytes > numbers.get("memory", 1e9),
        "size": values.artifact.bytes > numbers.get("size", 1e9),
        "throughput": values.throughput_per_s < numbers.get("throughput", 0),
    }
    return [name for name, is_beyond in beyond.items() if is_beyond]


@settings(deadline=None)
@given(candidates(), some_limits, some_limits)
def test_another_limit_never_adds_a_candidate(rows: list[Row], first: dict[str, str], second: dict[str, str]) -> None:
    def passing(bounds: dict[str, str]) -> set[str]:
        decision = judge(rows, limits(**bounds))
        return {judged.row.backend for judged in decision.judged if not judged.reasons}

    assert passing(second | first) <= passing(first)


@settings(deadline=None)
@given(candidates(), st.randoms(use_true_random=False), st.sampled_from(choice.PREFERENCES))
def test_the_order_of_the_rows_changes_nothing(rows: list[Row], shuffler: random.Random, prefer: str) -> None:
    reordered = shuffler.sample(rows, len(rows))
    assert verdicts(judge(reordered, (), prefer=prefer)) == verdicts(judge(rows, (), prefer=prefer))


@settings(deadline=None)
@given(candidates(), some_limits)
def test_if_all_are_out_the_nearest_is_one_that_can_be_relied_on(rows: list[Row], bounds: dict[str, str]) -> None:
    decision = judge(rows, limits(**bounds))
    valid = {row.backend for row in rows if row.valid}
    if decision.named or not valid:
        assert decision.nearest is None
    else:
        assert decision.nearest
        assert decision.nearest.row.backend in valid
        fewest = min(len(judged.reasons) for judged in decision.judged if judged.row.backend in valid)
        assert len(decision.nearest.reasons) == fewest


# --- what counts as the same ---------------------------------------------------------------------------------------


def test_the_best_in_everything_beats_all() -> None:
    best = row("best", [0.5, 0.5], size=100, memory=50, rank=1)
    decision = judge([row("other", [1.0, 1.0], rank=2), best], ())
    assert verdicts(decision) == {"best": "named", "other": "best"}


@pytest.mark.parametrize("worse", [{"ratios": [2.0, 2.01]}, {"lost": 60}, {"size": 1100}, {"memory": 110}], ids=str)
def test_worse_in_one_thing_and_better_in_none_is_beaten(worse: dict[str, Any]) -> None:
    ratios = worse.pop("ratios", [1.0, 1.001])
    assert verdicts(judge([row("a", [1.0, 1.001]), row("b", ratios, **worse)], ())) == {"a": "named", "b": "a"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ratios": [1.0, 1.0], "rank": 1}, {"ratios": [1.1, 1.1001], "rank": 1}),
        ({"ratios": [1.0, 1.1, 1.0]}, {"ratios": [1.1, 1.0, 1.15]}),
        ({"ratios": [1.0, 1.0]}, {"ratios": [1.025, 1.0251]}),  # of two generations: 0.1 to 5 %
        ({"ratios": [1.0] * 5}, {"ratios": [1.012, 1.013, 1.014, 1.012, 1.013]}),  # 0.9 % or more
        ({"ratios": [1.0]}, {"ratios": [1.1]}),  # a single generation
        ({"lost": 0}, {"lost": 5}),  # p = 0.06
        ({"size": 1000}, {"size": 1020}),
        ({"memory": 1000}, {"memory": 1020}),
    ],
    ids=str,
)
def test_what_cannot_be_told_apart_beats_nobody(first: dict[str, Any], second: dict[str, Any]) -> None:
    rows = [row(name, **{"ratios": [1.0, 1.0], **changes}) for name, changes in zip("ab", (first, second), strict=True)]
    assert len(judge(rows, ()).pareto_optimal) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ratios": [1.0, 1.0], "rank": 1}, {"ratios": [1.04, 1.0401], "rank": 2}),
        ({"ratios": [1.0]}, {"ratios": [1.12]}),
        ({"lost": 0}, {"lost": 6}),  # p = 0.03
        ({"size": 1000}, {"size": 1021}),
        ({"memory": 1000}, {"memory": 1021}),
    ],
    ids=str,
)
def test_what_can_be_told_apart_decides(first: dict[str, Any], second: dict[str, Any]) -> None:
    rows = [row(name, **{"ratios": [1.0, 1.0], **changes}) for name, changes in zip("ab", (first, second), strict=True)]
    assert verdicts(judge(rows, ())) == {"a": "named", "b": "a"}


def test_accuracies_are_compared_image_by_image_and_not_by_their_totals() -> None:
    """Both have 6 fewer right than the base: ``same`` differs from it in these 6 images alone, ``other`` in many."""
    same_images, other_images = row("same", [1.0], lost=11), row("other", [1.0], lost=60, won=49)
    base = row("base", [1.0], lost=5)
    assert same_images.accuracy == other_images.accuracy
    assert not ties.tied("accuracy", base, same_images)
    assert ties.tied("accuracy", base, other_images)


def test_without_the_flips_accuracies_are_the_same_where_wilsons_intervals_overlap() -> None:
    def blind(name: str, lost: int) -> Row:
        candidate = row(name, [1.0], lost=lost)
        assert candidate.agreement
        return replace(candidate, agreement=replace(candidate.agreement, flipped=()))

    assert ties.tied("accuracy", blind("a", 0), blind("b", 20))
    assert not ties.tied("accuracy", blind("a", 0), blind("b", 60))


def test_where_all_beat_each_other_in_a_ring_the_bare_values_decide() -> None:
    """In each metric two can be told apart, and the third lies between them and ties with both."""
    a = row("a", [1.16], size=1000, memory=1015)
    b = row("b", [1.00], size=1015, memory=1030)
    c = row("c", [1.08], size=1030, memory=1000)
    assert ties.beats(a, c)
    assert ties.beats(c, b)
    assert ties.beats(b, a)
    assert verdicts(judge([a, b, c], ())) == {"a": "front", "b": "named", "c": "front"}
    worse = row("worse", [1.16], size=1031, memory=1031)
    assert verdicts(judge([a, b, c, worse], ()))["worse"] == "b"


# --- which is named ------------------------------------------------------------------------------------------------


def front() -> list[Row]:
    """Four candidates that none beats, each the best in one metric."""
    return [
        row("fast", [0.5, 0.5], rank=1, size=3000, memory=300, lost=30),
        row("small", [1.0, 1.0], rank=2, size=500, memory=400, lost=30),
        row("lean", [1.5, 1.5], rank=3, size=3000, memory=50, lost=30),
        row("right", [2.0, 2.0], rank=4, size=4000, memory=500),
    ]


@pytest.mark.parametrize(
    ("prefer", "named"), [("latency", "fast"), ("size", "small"), ("memory", "lean"), ("accuracy", "right")]
)
def test_what_counts_first_can_be_asked_for(prefer: str, named: str) -> None:
    decision = judge(front(), (), prefer=prefer)
    assert len(decision.pareto_optimal) == 4
    assert decision.named
    assert decision.named.row.backend == named
    assert decision.rivals == ()


def test_of_those_that_tie_the_smallest_is_named_then_the_one_with_fewer_flips() -> None:
    a = row("a", [1.0, 1.0], rank=1, size=2000, memory=100, won=1)
    b = row("b", [1.01, 1.01], rank=1, size=1000, memory=200, won=3, lost=3)
    c = row("c", [1.02, 1.02], rank=1, size=1010, memory=150, won=2)
    decision = judge([a, b, c], ())
    assert {judged.row.backend for judged in decision.pareto_optimal} == {"a", "c"}, (
        "c has less memory than b, and else ties"
    )
    assert decision.named
    assert decision.named.row.backend == "c"
    assert [rival.backend for rival in decision.rivals] == ["a"]
    few = judge([replace(c, peak_rss_bytes=200), b], ())
    assert few.named
    assert few.named.row.backend == "c", "as small, and it has two flips, not six"


def test_an_unknown_criterion_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'memory'"):
        judge([row("a")], (), prefer="memry")


# --- reasons -------------------------------------------------------------------------------------------------------


def test_every_reason_is_told() -> None:
    decision = judge([row("a", p99=231.0, size=900_000, lost=30)], limits(p99="200us", accuracy="95%", size="500kB"))
    assert decision.judged[0].reasons == (
        "p99 231.0 µs is above 200 µs", "top-1 92.00% is below 95%", "size 900 kB is above 500 kB",
    )  # fmt: skip
    assert decision.named is None
    assert decision.nearest is decision.judged[0]


def test_a_failure_and_an_invalid_row_are_told_as_what_they_are() -> None:
    rows = [
        row("dead", error="the worker ended with exit code 9", latency_us=None),
        row("busy", validity=(Finding("33% of the time it had no CPU", "wait"),), p99=300.0),
    ]
    reasons = {judged.row.backend: judged.reasons for judged in judge(rows, limits(p99="200us")).judged}
    assert reasons == {
        "dead": ("failed: the worker ended with exit code 9",),
        "busy": ("INVALID: 33% of the time it had no CPU", "p99 300.0 µs is above 200 µs"),
    }
    assert judge(rows, ()).nearest is None


def test_a_limit_of_what_is_not_known_is_not_kept() -> None:
    candidate = row("a")
    assert candidate.latency_us
    few = replace(candidate, latency_us=replace(candidate.latency_us, n=200, p99=None))
    (out,) = judge([few], limits(p99="1s")).judged
    assert out.reasons == ("p99 is not known: it needs 368 calls, 200 were timed",)
    assert judge([few], ()).named


def test_a_limit_within_the_interval_is_kept_and_told() -> None:
    decision = judge([row("a", p99=195.0)], limits(p99="200us", accuracy="94.5%"))
    assert decision.named
    assert decision.named.close == ("its p99 may be up to 214.5 µs", "its top-1 may be as low as 93.47%")
    far = judge([row("a", p99=100.0)], limits(p99="200us", accuracy="90%"))
    assert far.named
    assert far.named.close == ()


def test_the_nearest_breaks_the_fewest_limits_and_these_by_the_least() -> None:
    rows = [row("two", p99=201.0, size=1010), row("far", p99=300.0), row("near", p99=210.0)]
    decision = judge(rows, limits(p99="200us", size="1000B"))
    assert decision.nearest
    assert decision.nearest.row.backend == "near"


# --- code ----------------------------------------------------------------------------------------------------------

NATIVE_BACKENDS = sorted(name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench")


@pytest.mark.parametrize("name", NATIVE_BACKENDS)
def test_each_of_our_backends_shows_code_without_digitbench(name: str) -> None:
    code = choice.code_for(row(name, threads=3), Path("somewhere"), Path("run"))
    compile(code, name, "exec")
    assert "digitbench" not in code.replace(str(Path("somewhere").absolute()), "")
    assert "labels = " in code
    assert repr(str(Path("somewhere").absolute())) in code
    assert name in ("iree", "tract") or "3" in code.partition("import")[2], "the thread count, where there is a choice"
    assert not {"{artifact}", "{threads}", "{precision}"} & set(code.split())
    assert max(len(line) for line in code.splitlines() if not line.startswith(("path = ", "# pip"))) < 80


def test_a_path_is_a_literal_whatever_it_holds() -> None:
    path = Path('/a/it\'s {threads} "here"\n\\x')
    code = choice.code_for(row("onnx"), path, Path("run"))
    compile(code, "onnx", "exec")
    assert repr(str(path)) in code


def test_a_backend_without_an_example_is_used_through_digitbench(monkeypatch: pytest.MonkeyPatch) -> None:
    backend_class = plugins.find("numpy").load()
    monkeypatch.setattr(backend_class, "example", "")
    code = choice.code_for(row("numpy", threads=2), Path("artifact"), Path("/run's"))
    assert f'path = {"/run" + chr(39) + "s"!r}\noptions = dict(backend="numpy", precision="fp32", threads=2)\n' in code
