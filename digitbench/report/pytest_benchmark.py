"""Results as the JSON of pytest-benchmark, which `pytest-benchmark compare FILE` reads.

Groups and ``extra_info`` are named as in the `benchmarks/` suite. The numbers aren't the suite's: here each backend ran
in processes of its own, and its rounds are the calls of all generations together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.records import samples
from digitbench.records.metrics import METRICS
from digitbench.records.results import Results, Row

SUITE_METRICS = {"top1": "accuracy", "flips": "flips", "artifact_bytes": "size"}
WRITTEN_LIKE = "5.3.1"  # the version of pytest-benchmark whose fields these are


def to_pytest_benchmark(results: Results, *, data: bool = False) -> dict[str, Any]:
    """Give every timed row whose raw samples are there, in seconds.

    Parameters
    ----------
    results
        Of a bench.
    data
        Also every single call: megabytes, which `compare` doesn't need (``--benchmark-save`` leaves them out too).

    Returns
    -------
    dict
        Ready for `json.dumps`. Rows that it has no room for, failed or without samples, stand with the reason in
        ``["digitbench"]["left_out"]``, which pytest-benchmark doesn't look at.
    """
    benchmarks, left_out = [], []
    for row in results.rows:
        reason = _why_left_out(row)
        if reason:
            left_out.append({"name": name_of(row), "reason": reason})
        else:
            benchmarks.append(_benchmark(row, results, data))
    return {
        "machine_info": _machine(results),
        "commit_info": {
            "id": "unversioned", "time": None, "author_time": None, "dirty": False, "project": "digitbench",
            "branch": "(unknown)",
        },
        "benchmarks": benchmarks,
        "datetime": results.created,
        "version": WRITTEN_LIKE,
        "digitbench": {"version": results.digitbench, "settings": results.settings.to_json(), "left_out": left_out},
    }  # fmt: skip


def name_of(row: Row) -> str:
    """``predict[onnx-fp32-threads1-batch32]``: the same in every run, so that runs can be compared."""
    return f"predict[{_parameters(row)}]"


def _parameters(row: Row) -> str:
    batch = f"-batch{row.batch_size}" if row.batch_size else ""
    return f"{row.backend}-{row.precision}-threads{row.threads}{batch}"


def _why_left_out(row: Row) -> str:
    if row.error:
        return row.error
    if not row.latency_us:
        return "not timed"
    if not row.generations or not all(generation.samples for generation in row.generations):
        return "its raw samples are not in these results, and pytest-benchmark's figures need them"
    return ""


def _benchmark(row: Row, results: Results, data: bool) -> dict[str, Any]:
    seconds = np.concatenate([samples.decode(generation.samples) for generation in row.generations]) / 1e9
    threads = "" if row.threads == 1 else f", {row.threads} threads"
    stats = statistics_of(seconds)
    return {
        "group": f"predict, batch size {row.batch_size}{threads}",
        "name": name_of(row),
        "fullname": f"digitbench::{name_of(row)}",
        "params": {
            "backend": row.backend, "precision": row.precision, "threads": row.threads, "batch_size": row.batch_size,
        },
        "param": _parameters(row),
        "extra_info": _extra(row, results),
        "options": {
            "disable_gc": True, "timer": "perf_counter_ns", "min_rounds": 1, "min_time": 0.0,
            "max_time": results.settings.seconds, "warmup": True,
        },
        "stats": {**stats, **({"data": seconds.tolist()} if data else {}), "iterations": 1},
    }  # fmt: skip


def _extra(row: Row, results: Results) -> dict[str, Any]:
    """The fields that the suite writes, and those that only a bench has."""
    runtime, median = row.runtime, METRICS["p50"].interval(row)
    return {
        "backend": row.backend,
        "runtime": runtime.name if runtime else None,
        "version": runtime.version if runtime else None,
        "threads": runtime.threads if runtime else row.threads,
        **{name: METRICS[metric].value(row) for name, metric in SUITE_METRICS.items()},
        "dataset": results.bundle.get("dataset", {}).get("name"),
        # what only models of other tasks than MNIST's have
        **({"task": results.task_text} if results.task_text else {}),
        **({} if (top5 := METRICS["top5"].value(row)) is None else {"top5": top5}),
        "batch_size": row.batch_size,
        "images_per_second": METRICS["throughput"].value(row),
        "precision": row.precision,
        "bundle": results.bundle.get("name"),
        "generations": len(row.generations),
        "generation_medians": [generation.p50 / 1e6 for generation in row.generations],
        "median_interval": [end / 1e6 for end in median] if median else None,
        "ratio": METRICS["ratio"].value(row),
        "ratio_interval": METRICS["ratio"].interval(row),
        "rank": row.rank,
        "valid": None if row.validity is None else not row.validity,
        "invalid_because": [finding.reason for finding in row.validity or ()],
        "provisional_because": [finding.reason for finding in row.doubts],
    }


def _machine(results: Results) -> dict[str, Any]:
    """The fields of pytest-benchmark's ``machine_info``, as far as they are known."""
    machine = results.machine
    system, _, release = str(machine.get("system", "")).partition(" ")
    return {
        "node": "", "processor": machine.get("architecture", ""), "machine": machine.get("architecture", ""),
        "python_version": machine.get("python", ""), "python_implementation_version": machine.get("python", ""),
        "python_implementation": "CPython", "system": system, "release": release,
        "cpu": {"brand_raw": machine.get("cpu", ""), "count": machine.get("cores", {}).get("logical")},
    }  # fmt: skip


# --- its statistics ------------------------------------------------------------------------------------------------


def statistics_of(seconds: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Compute what pytest-benchmark does of float64 (n,) seconds, n >= 1: same names, same definitions."""
    ordered, n = np.sort(seconds), len(seconds)
    mean, total = float(seconds.mean()), float(seconds.sum())
    deviation = float(seconds.std(ddof=1)) if n > 1 else 0.0
    # The medians of the two halves; of an odd number the mean of those with the middle and without it.
    q1, q3 = map(float, np.quantile(ordered, (0.25, 0.75), method="hazen"))
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    beyond_deviation = int((np.abs(seconds - mean) > deviation).sum())
    beyond_fences = int(((ordered < low) | (ordered > high)).sum())
    return {
        "min": float(ordered[0]), "max": float(ordered[-1]), "mean": mean, "stddev": deviation,
        "rounds": n, "median": float(np.median(ordered)), "iqr": q3 - q1, "q1": q1, "q3": q3,
        "iqr_outliers": beyond_fences, "stddev_outliers": beyond_deviation,
        "outliers": f"{beyond_deviation};{beyond_fences}", "ld15iqr": float(ordered[ordered >= low][0]),
        "hd15iqr": float(ordered[ordered <= high][-1]), "ops": n / total if total else 0.0, "total": total,
    }  # fmt: skip
