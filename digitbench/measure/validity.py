"""Whether a timed row can be relied on: what makes it INVALID, and what makes it provisional."""

from __future__ import annotations

from collections.abc import Iterator

from digitbench.records.metrics import MOST_STEAL
from digitbench.records.results import Finding, Row, calls_needed

SPARE_CORES = 0.3  # CPU seconds per second beyond the threads asked for, before they count as more threads
WAITING_SHARE = 0.02  # `benchmarks/calibrate.py --loads`: beyond it loading takes twice as long, and tails are off
INVOLUNTARY_PER_S = 200  # where waiting isn't known: another busy process takes the core 100 to 250 times a second

QUIETER_ADVICE = "close what else runs here, or measure on a quieter machine"


def wrong(row: Row) -> Iterator[Finding]:
    """Say why a timed row is INVALID: it was not the work that was asked for; nothing if it is VALID.

    Parameters
    ----------
    row
        With its generations, and `busy` and `warm_up` over all of them.
    """
    wrong = sum(generation.wrong_labels for generation in row.generations)
    if wrong:
        reason = f"while it was timed, {wrong} sampled predictions had another label than in the accuracy run"
        yield Finding(reason, "its answers depend on the time or the batch: report this to the backend's author")
    runtime_threads = row.runtime.threads if row.runtime else None
    if runtime_threads not in (None, row.threads):
        mend = f"ask for --threads {runtime_threads}, or for another thread count that the runtime takes"
        yield Finding(f"the runtime runs {runtime_threads} threads, not {row.threads}", mend)
    if row.busy and row.busy.cpu_share > row.threads + SPARE_CORES:
        reason = f"it kept {row.busy.cpu_share:.1f} cores busy instead of {row.threads}"
        yield Finding(reason, "the adapter must limit its runtime to the threads asked for")
    calls = row.latency_us.n if row.latency_us else 0
    if calls < calls_needed(50):
        yield Finding(f"{calls} calls, and a median needs {calls_needed(50)}", "measure with more --seconds")


def disturbed(row: Row) -> Iterator[Finding]:
    """Say why a timed row is provisional: the machine was busy, which spoils some tails and means, hardly a median.

    What it spoils each metric says itself: `digitbench.records.metrics.Metric.spoiled`.

    Parameters
    ----------
    row
        As for `wrong`.
    """
    if row.warm_up and not row.warm_up.settled:
        unsettled = sum(not generation.warm_up.settled for generation in row.generations)
        reason = f"warm-up did not settle within 5 % in {unsettled} of {len(row.generations)} generations"
        yield Finding(reason, f"measure with more --seconds; {QUIETER_ADVICE}")
    busy = row.busy
    if busy is None:
        return
    if busy.waiting_share is not None:
        # Switches alone say little of a runtime that hands work between its own threads.
        if busy.waiting_share > WAITING_SHARE:
            reason = f"it waited for a CPU {busy.waiting_share:.0%} of the time"
            yield Finding(reason, QUIETER_ADVICE)
    elif (busy.involuntary_per_s or 0) > INVOLUNTARY_PER_S:
        yield Finding(f"the system interrupted it {busy.involuntary_per_s:,.0f} times a second", QUIETER_ADVICE)
    if (busy.steal_share or 0) > MOST_STEAL:
        reason = f"the hypervisor gave {busy.steal_share:.0%} of this machine's time to others"
        yield Finding(reason, "measure at another time or on a machine of your own")
