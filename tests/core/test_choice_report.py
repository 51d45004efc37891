"""What `digitbench choose` says of its choice, and shows."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from core.test_choice import candidates, limits, row
from digitbench.judge import choice
from digitbench.judge.choice import Choice, judge
from digitbench.records.results import Results, Row
from digitbench.records.timing import Finding
from digitbench.report import choice as report

# --- why it is the one ---------------------------------------------------------------------------------------------


def why(decision: Choice) -> str:
    """What is said of the named candidate before its metrics."""
    return report.why_chosen(decision).partition(": ")[2].partition(". p50")[0]


def test_only_what_decided_is_told_as_the_reason() -> None:
    """Of two that are equally fast the smaller one is named, though it has more flips and needs more memory."""
    few = row("few", [1.0, 1.0], rank=1, size=2000, memory=100)
    many = row("many", [1.01, 1.01], rank=1, size=1000, memory=200, won=3, lost=3)
    decision = judge([few, many], ())
    assert decision.named
    assert decision.named.row.backend == "many"
    assert decision.decided == (("size", (decision.rivals[0],)),)
    assert (
        why(decision)
        == "the fastest of 2 Pareto-optimal; no significant difference from few fp32: it is smaller than few fp32"
    )


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({"won": 1}, {"won": 2}, "it has fewer flips than b fp32"),
        ({"ratios": [1.0]}, {"ratios": [1.05]}, "its p50 is lower than that of b fp32"),
        ({"rank": 1}, {"rank": 2}, "it ranks before b fp32"),
        ({}, {}, "it comes before b fp32 only by name"),
    ],
    ids=str,
)
def test_what_decides_between_equals_is_told(first: dict[str, Any], second: dict[str, Any], reason: str) -> None:
    decision = judge(
        [row(name, **{"ratios": [1.0], **changes}) for name, changes in zip("ab", (first, second), strict=True)], ()
    )
    assert why(decision) == f"the fastest of 2 Pareto-optimal; no significant difference from b fp32: {reason}"


def test_each_that_decided_is_told_with_whom_it_left_behind() -> None:
    rows = [
        row("a", [1.0], memory=100, size=1000, won=1), row("b", [1.0], memory=100, size=1000, won=2),
        row("c", [1.0], memory=50, size=2000), row("d", [2.0], memory=10, size=3000),
    ]  # fmt: skip
    assert why(judge(rows, ())).endswith(": it is smaller than c fp32 and it has fewer flips than b fp32")
    rows = [row("a", [1.0], size=1020), row("b", [2.0], size=1000, memory=50)]
    assert why(judge(rows, (), prefer="size")).endswith("from b fp32: it counts as faster than b fp32")


@settings(deadline=None)
@given(candidates(), st.sampled_from(choice.PREFERENCES))
def test_every_rival_was_left_behind_by_one_criterion(rows: list[Row], prefer: str) -> None:
    decision = judge(rows, (), prefer=prefer)
    left_behind = [rival.key for _, rivals in decision.decided for rival in rivals]
    assert sorted(left_behind) == sorted(rival.key for rival in decision.rivals)
    for name, rivals in decision.decided:
        assert decision.named
        named = decision.named.row
        for rival in rivals:
            assert name != "size" or named.artifact.bytes < rival.artifact.bytes  # type: ignore[union-attr]
            assert name != "flips" or named.agreement.flips < rival.agreement.flips  # type: ignore[union-attr]


# --- what is shown -------------------------------------------------------------------------------------------------


def results_of(decision: Choice) -> Results:
    return Results(
        {"cpu": "made up", "cores": {"available": 2}, "system": "Linux 6"},
        {"name": "run", "recipe": "dense-16", "dataset": {"name": "digits", "fingerprint": "ab"}, "test_images": 9},
        tuple(judged.row for judged in decision.judged), "2026-11-21T00:00:00+00:00", "0.1.0",
    )  # fmt: skip


def shown(decision: Choice, width: int = 200) -> str:
    stream, results = io.StringIO(), results_of(decision)
    report.print_choice(decision, results, (), "told", "code", Console(file=stream, width=width, force_terminal=True))
    return stream.getvalue()


def test_the_front_stands_before_what_it_beats_and_each_in_the_order_of_speed() -> None:
    rows = [
        row("out", [0.4, 0.4], rank=1, lost=60), row("beaten", [0.6, 0.6], rank=3), row("slower", [0.7, 0.7], rank=4),
        row("small", [2.0, 2.0], rank=5, size=500), row("fast", [0.5, 0.5], rank=2),
    ]  # fmt: skip
    lines = report.to_markdown(judge(rows, limits(accuracy="94%"))).splitlines()[2:]
    cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]
    assert [(line[0], line[-1]) for line in cells] == [
        ("fast", "chosen"), ("small", "Pareto-optimal"), ("beaten", "dominated by fast fp32"),
        ("slower", "dominated by fast fp32"),
        ("out", "top-1 89.00% is below 94%"),
    ]  # fmt: skip


NOISE = (Finding("33% of the time it had no CPU", "wait"),)


def test_who_would_be_faster_but_is_invalid_is_told() -> None:
    fast, slow = row("fast", [0.37], validity=NOISE), row("slow", [1.5], validity=NOISE)
    broken, dead = row("big", [0.3], size=9000, validity=NOISE), row("dead", [0.2], validity=NOISE, error="died")
    decision = judge([row("a"), slow, fast, broken, dead], limits(size="2000B"))
    assert [candidate.backend for candidate in decision.unsure] == ["fast"]
    sentence = "Note: fast fp32 had a lower p50 (3.7 µs) but is INVALID: 33% of the time it had no CPU (wait)."
    assert shown(decision).count("Note: ") == 1
    assert sentence in shown(decision)


def test_a_note_tells_that_a_dynamic_range_depends_on_the_batch() -> None:
    plain, ranged = row("a"), replace(row("b"), precision="dynamic")
    assert "dynamic: where a runtime finds one range for a whole batch" in shown(judge([plain, ranged], ()))
    assert "dynamic" not in shown(judge([plain], ()))


def test_if_none_can_be_relied_on_another_try_is_advised() -> None:
    decision = judge([row("a", validity=NOISE)], ())
    assert decision.unsure == ()
    assert report.nobody(decision).endswith("; run digitbench choose again on a quieter machine")


@pytest.mark.parametrize(
    ("given_limits", "head"),
    [
        ({"accuracy": "90%"}, "top-1"), ({"flips": "9"}, "flips"), ({"memory": "1MB"}, "peak"),
        ({"size": "9kB"}, "size"), ({"throughput": "9"}, "images/s"), ({"p99": "1s"}, "p99 µs"),
    ],
    ids=str,
)  # fmt: skip
def test_a_narrow_terminal_keeps_what_has_a_limit(given_limits: dict[str, str], head: str) -> None:
    def heads(decision: Choice) -> str:
        text = shown(decision, width=36)
        return text[text.index("batch size 1;") : text.index("───")].partition(".")[2]

    assert head not in heads(judge([row("tflite")], ()))
    assert head in heads(judge([row("tflite")], limits(**given_limits)))
