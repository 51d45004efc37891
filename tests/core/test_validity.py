"""VALID, provisional or INVALID: each reason by itself, at its bound, with the advice that mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.helpers import one_printable_line
from digitbench.backend import Runtime
from digitbench.measure import validity
from digitbench.records.results import Busy, Finding, Generation, Latency, Row, WarmUp

LATENCY = Latency(400, 1.0, 2.0, 2.0, 3.0, 4.0, 9.0)
SETTLED = WarmUp(20, 0.1, True)
GENERATION = Generation(
    index=0, n=400, seconds=0.1, p50=2.0, p90=3.0, p99=4.0, p999=9.0, load_seconds=1.0, first_prediction_us=10.0,
    peak_rss_bytes=10**8, warm_up=SETTLED, busy=Busy(1.0),
)  # fmt: skip
GOOD = Row(
    "onnx", "fp32", 1, 2, Runtime("ONNX Runtime", "1", "CPUExecutionProvider", 2), warm_up=SETTLED, latency_us=LATENCY,
    busy=Busy(2.0, 10.0, 9, 0.0, 3000.0), generations=(GENERATION,),
)  # fmt: skip


def findings(row: Row) -> list[Finding]:
    return [*validity.wrong(row), *validity.disturbed(row)]


def test_a_good_row_is_valid() -> None:
    assert not findings(GOOD)
    assert replace(GOOD, validity=()).valid


@pytest.mark.parametrize(
    "changes",
    [
        {"busy": Busy(2.3, 200.0, 9, 0.05)},
        {"busy": Busy(2.0, 9999.0, waiting_share=0.02)},
        {"busy": Busy(0.1)},
        {"busy": None},
        {"runtime": Runtime("OpenVINO", "1", "CPU", None)},
        {"runtime": None},
        {"latency_us": replace(LATENCY, n=6)},
    ],
    ids=[
        "at the bounds",
        "switches between its own threads",
        "what the system doesn't tell",
        "not watched",
        "threads not told",
        "no runtime",
        "6 calls",
    ],
)
def test_what_is_within_bounds_or_unknown_is_valid(changes: dict[str, Any]) -> None:
    assert not findings(replace(GOOD, **changes))


@pytest.mark.parametrize(
    ("changes", "reason", "mend", "disturbs"),
    [
        ({"busy": Busy(2.0, 1.0, waiting_share=0.06)}, "it waited for a CPU 6% of the time", "quieter", True),
        ({"busy": Busy(2.0, 201.0)}, "interrupted it 201 times a second", "quieter machine", True),
        ({"busy": Busy(2.0, None, None, 0.06)}, "the hypervisor gave 6% of this machine's time to others", "own", True),
        ({"busy": Busy(2.31)}, "it kept 2.3 cores busy instead of 2", "the adapter must limit its runtime", False),
        ({"runtime": Runtime("x", "1", "y", 8)}, "the runtime runs 8 threads, not 2", "--threads 8", False),
        ({"runtime": Runtime("x", "1", "y", 1)}, "the runtime runs 1 threads, not 2", "--threads 1", False),
        ({"latency_us": replace(LATENCY, n=5)}, "5 calls, and a median needs 6", "--seconds", False),
        (
            {"warm_up": replace(SETTLED, settled=False),
             "generations": (GENERATION, replace(GENERATION, warm_up=replace(SETTLED, settled=False)))},
            "did not settle within 5 % in 1 of 2 generations", "--seconds", True,
        ),
        (
            {"generations": (replace(GENERATION, wrong_labels=2), replace(GENERATION, wrong_labels=1))},
            "3 sampled predictions had another label than in the accuracy run", "to the backend's author", False,
        ),
    ],
    ids=["waiting", "involuntary", "steal", "cores", "more threads", "fewer threads", "calls", "warm-up", "labels"],
)  # fmt: skip
def test_each_fault_is_found_alone_with_its_mend(
    changes: dict[str, Any], reason: str, mend: str, disturbs: bool
) -> None:
    (finding,) = findings(replace(GOOD, **changes))
    provisional = [*validity.disturbed(replace(GOOD, **changes))]
    assert bool(provisional) is disturbs
    assert reason in finding.reason
    assert mend in finding.mend
    assert one_printable_line(finding.reason)
    assert one_printable_line(finding.mend)
    assert not replace(GOOD, validity=(finding,)).valid
    assert replace(GOOD, validity=(), doubts=(finding,)).valid


def test_all_faults_are_told_wrong_outputs_first() -> None:
    awful = replace(
        GOOD, runtime=Runtime("x", "1", "y", 8), busy=Busy(8.0, 1e4, 99, 0.5), latency_us=replace(LATENCY, n=1),
        warm_up=replace(SETTLED, settled=False), generations=(replace(GENERATION, wrong_labels=9),),
    )  # fmt: skip
    reasons = [finding.reason for finding in findings(awful)]
    assert len(reasons) == 7
    assert "another label" in reasons[0]
