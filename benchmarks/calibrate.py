"""How often is `digitbench bench` right, and what does a busy machine spoil.

    python benchmarks/calibrate.py runs/latest --runs 20 --busy
    python benchmarks/calibrate.py runs/latest --runs 12 --seconds 1.5 --loads FOLDER

**The same backend against itself, and against one that is a tenth slower.** Each run is a whole `digitbench bench` of
LiteRT and of a plugin that does the same and then repeats some of its work: a small batch costs more for each image, so
that a sixteenth of them is about a tenth of the time. Counted are the runs whose A/A interval holds 1,
and those that tell the slower one apart.

**The same bench beside programs that keep cores busy** (`--loads`). Each run is a whole `digitbench bench` of six light
candidates at batch sizes 1 and 256, beside 0, 50 or 100 % of one core or 100 % of two. Runs that FOLDER already holds
are not measured again, so that a stopped experiment goes on where it was. What each row says is then compared with the
median of the quiet runs (for a quiet run: of the other ones). The thresholds in `digitbench/measure/validity.py` come
from these tables.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations, pairwise
from math import isnan, nan
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np

from digitbench.measure.validity import WAITING_SHARE
from digitbench.records.metrics import read
from digitbench.records.results import Key, Results

PLUGIN = """
from digitbench_tflite import TFLiteBackend


class Same(TFLiteBackend):
    pass


class Slower(TFLiteBackend):
    def __init__(self, artifact, *, threads):
        super().__init__(artifact, threads=threads)
        self._again = TFLiteBackend(artifact, threads=threads)

    def predict(self, images):
        if len(images) >= 16:
            self._again.predict(images[: len(images) // 16])
        return super().predict(images)
"""
BATCH_SIZE = 96  # a sixteenth of it is six images
LOADS: Mapping[str, Sequence[float]] = {"quiet": (), "half a core": (0.5,), "one core": (1.0,), "two cores": (1.0, 1.0)}
LOAD = """
import os, sys, time
share, parent = float(sys.argv[1]), os.getppid()
while os.getppid() == parent:  # it must not outlive us and slow down other measurements
    until = time.perf_counter() + 0.02 * share
    while time.perf_counter() < until: pass
    time.sleep(0.02 * (1 - share))
"""
WAITING = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20, 0.35, 0.50, 1.01)
"""Bounds of the groups of rows, by the share of the time in which a row waited for a CPU."""
DIFFERENT = 0.05
"""Two candidates whose quiet p50s differ by more than that have an order that a busy run must keep."""

FIGURES = {
    "p50": "latency_us.p50", "p90": "latency_us.p90", "p99": "latency_us.p99", "max": "latency_us.max",
    "throughput": "throughput_per_s", "ratio": "ratio.value", "load": "load_seconds",
    "first": "first_prediction_us", "memory": "peak_rss_bytes", "CPU": "cpu_seconds_per_1000",
}  # fmt: skip

INTERVALS = ("p50", "p90", "p99", "ratio")

Judged = dict[str, float]
"""What is known of one row of one run, compared with the quiet runs."""


@contextmanager
def installed_plugin() -> Iterator[dict[str, str]]:
    """Install the two plugins in a temporary folder; give the environment in which they are found."""
    with tempfile.TemporaryDirectory(prefix="digitbench-calibrate-") as name:
        info = Path(name) / "calibrate-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: calibrate\nVersion: 1.0\n")
        points = "same = calibrate_backends:Same\nslower = calibrate_backends:Slower\n"
        (info / "entry_points.txt").write_text(f"[digitbench.backends]\n{points}")
        (Path(name) / "calibrate_backends.py").write_text(PLUGIN)
        yield os.environ | {"PYTHONPATH": os.pathsep.join([name, os.environ.get("PYTHONPATH", "")])}


def bench(bundle: str, seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="digitbench-calibrate-") as folder:
        file = Path(folder) / "results.json"  # named, so that nothing of it stays in the user's bundle
        command = [
            sys.executable, "-m", "digitbench", "bench", bundle, "-b", "tflite", "-b", "slower", "--baseline", "tflite",
            "--precision", "fp32", "--batch-size", str(BATCH_SIZE), "--seconds", str(seconds), "--json", str(file),
        ]  # fmt: skip
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        if process.returncode:
            sys.exit(process.stderr)
        results: dict[str, Any] = json.loads(file.read_bytes())
        return results


@contextmanager
def busy_cores(shares: Sequence[float]) -> Iterator[None]:
    """Keep cores busy, by other processes, each for its share of the time."""
    with ExitStack() as stack:
        for share in shares:
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", LOAD, str(share)]))
            stack.callback(busy.kill)
        yield


def bench_beside(bundle: str, file: Path, options: argparse.Namespace) -> None:
    """Measure the six candidates once; the file is there only if that went well."""
    command = [
        sys.executable, "-m", "digitbench", "bench", bundle, "-b", "tflite,onnx,openvino", "--precision", "fp32,int8",
        "--baseline", "tflite:fp32", "--batch-size", "1,256", "--seconds", str(options.seconds), "--json", str(file),
    ]  # fmt: skip
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        sys.exit(process.stderr)


def measure_loads(options: argparse.Namespace) -> dict[str, list[Results]]:
    """Measure what is missing, loads in a new order each time; give the results of all runs by load."""
    options.loads.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[Results]] = {load: [] for load in LOADS}
    for run in range(options.runs):
        for load in Random(run).sample(list(LOADS), len(LOADS)):
            file = options.loads / f"{load.replace(' ', '-')}-{run + 1:02}.json"
            if not file.exists():
                print(f"run {run + 1} of {options.runs}, {load}", file=sys.stderr, flush=True)
                with busy_cores(LOADS[load]):
                    bench_beside(options.bundle, file, options)
            results[load].append(Results.read(file))
    return results


def judged(run: Results, quiet: Sequence[Results]) -> Iterator[Judged]:
    """Compare each row of a run with the median of quiet ones; what has no interval isn't counted."""
    for row in run.rows:
        if not row.busy or not row.latency_us or not row.ratio:
            sys.exit(f"{row.backend} {row.precision} has no figures: {row.error}")
        typical = {figure: _typical(quiet, row.key, path) for figure, path in FIGURES.items()}
        intervals = {**row.latency_us.intervals, "ratio": row.ratio.interval if row.ratio.value != 1 else None}
        holds = {figure: interval for figure in INTERVALS if (interval := intervals.get(figure))}
        yield {
            **{figure: (read(row, path) or nan) / typical[figure] for figure, path in FIGURES.items()},
            **{f"{figure} holds": low <= typical[figure] <= high for figure, (low, high) in holds.items()},
            "batch_size": row.batch_size or 0,
            "waiting": row.busy.waiting_share or 0.0,
            "unsettled": not (row.warm_up and row.warm_up.settled),
        }


def _typical(runs: Sequence[Results], key: Key, path: str) -> float:
    values: list[float | None] = [read(row, path) for run in runs for row in run.rows if row.key == key]
    return median(known for known in values if known)


def order_kept(run: Results, quiet: Sequence[Results]) -> tuple[int, int]:
    """Count pairs of candidates that the quiet runs tell apart, and those of them that a run puts in the same order."""
    pairs = kept = 0
    for one, other in combinations(run.rows, 2):
        if one.batch_size != other.batch_size:
            continue
        ratios = [_typical(quiet, row.key, "ratio.value") for row in (one, other)]
        if abs(ratios[0] / ratios[1] - 1) > DIFFERENT and one.ratio and other.ratio:
            pairs += 1
            kept += (one.ratio.value < other.ratio.value) == (ratios[0] < ratios[1])
    return pairs, kept


def share(runs: Sequence[Sequence[float]]) -> str:
    """Write the share of rows for which something holds, with its 95 % interval: runs are drawn again, not rows."""
    runs = [run for run in runs if len(run)]
    if not runs:
        return "-"
    random = np.random.default_rng(1)
    sums, counts = np.array([sum(run) for run in runs]), np.array([len(run) for run in runs])
    drawn = random.integers(len(runs), size=(2000, len(runs)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
    return f"{sums.sum() / counts.sum():.1%} [{low:.1%}, {high:.1%}] of {counts.sum()}"


def spread(values: Sequence[float]) -> str:
    """Write how far values that should be 1 are from it: median, 95th percentile, largest."""
    if not len(values):
        return "-"
    off = np.expm1(np.abs(np.log(values)))
    return f"{np.median(off):.1%} / {np.percentile(off, 95):.1%} / {off.max():.1%}"


def table(title: str, groups: Mapping[str, Sequence[Sequence[Judged]]]) -> None:
    """Print what is known of each group: its rows, run by run."""
    print(f"\n{title}: off by (median / 95 % / largest)")
    for name, runs in groups.items():
        rows = [row for run in runs for row in run]
        if not rows:
            continue
        print(f"  {name}: {len(rows)} rows, waited {median(row['waiting'] for row in rows):.1%}")
        for figure in FIGURES:
            known = [row[figure] for row in rows if not isnan(row[figure])]
            print(f"    {figure:10} {spread(known)}")
        for figure in INTERVALS:
            holds = share([[row[f"{figure} holds"] for row in run if f"{figure} holds" in row] for run in runs])
            print(f"    the interval of {figure} holds the quiet one in {holds}")


def judge_loads(options: argparse.Namespace) -> None:
    """Measure beside each load, and print how far figures are off."""
    results = measure_loads(options)
    quiet = results["quiet"]

    def others(run: Results) -> list[Results]:
        return [other for other in quiet if other is not run]

    rows = {load: [list(judged(run, others(run))) for run in runs] for load, runs in results.items()}
    for size in (1, 256):
        of_size = {
            load: [[row for row in run if row["batch_size"] == size] for run in runs] for load, runs in rows.items()
        }
        table(f"Batch size {size}, by load", of_size)
        everything = [run for runs in of_size.values() for run in runs]
        by_waiting = {
            f"waited {low:.0%} to {high:.0%}": [[r for r in run if low <= r["waiting"] < high] for run in everything]
            for low, high in pairwise(WAITING)
        }
        table(f"Batch size {size}, by the time that a row waited for a CPU", by_waiting)
        provisional = {
            str(is_so): [[row for row in run if (row["waiting"] > WAITING_SHARE) is is_so] for run in everything]
            for is_so in (False, True)
        }
        table(f"Batch size {size}, by whether a row is provisional", provisional)
        table(
            f"Batch size {size}, whose warm-up did not settle",
            {"all": [[r for r in run if r["unsettled"]] for run in everything]},
        )
    for load, runs in results.items():
        counted = np.array([order_kept(run, others(run)) for run in runs]).sum(axis=0)
        print(f"\n{load}: {counted[1]} of {counted[0]} pairs that are 5 % apart or more are in the same order", end="")
    print()


def judge_pairs(options: argparse.Namespace) -> None:
    """Bench a backend against itself and a slower one, and print how often the answer was right."""
    holds, told_apart, halves = 0, 0, []
    with installed_plugin() as environment, busy_cores([0.5] if options.busy else []):
        for run in range(options.runs):
            results = bench(options.bundle, options.seconds, environment)
            floor, rows = results["floors"][0]["ratio"], {row["backend"]: row for row in results["rows"]}
            (low, high), slower = floor["interval"], rows["slower"]
            halves.append((high - low) / 2)
            holds += low <= 1 <= high
            separated = slower["rank"] > rows["tflite"]["rank"]
            told_apart += separated
            ratio = slower["ratio"]
            print(
                f"{run + 1:3}: A/A {floor['value']:.3f} [{low:.3f}, {high:.3f}]   slower {ratio['value']:.3f} "
                f"[{ratio['interval'][0]:.3f}, {ratio['interval'][1]:.3f}] {'told apart' if separated else 'a tie'}   "
                f"{sum(bool(row.get('doubts')) for row in results['rows'])} provisional",
                flush=True,
            )
    print(
        f"A/A holds 1 in {holds} of {options.runs}; half-width at most 5 % in "
        f"{sum(half <= 0.05 for half in halves)} (median {median(halves):.1%}); slower told apart in {told_apart}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="runs/latest")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--busy", action="store_true", help="keep one core half busy meanwhile")
    parser.add_argument(
        "--loads", type=Path, metavar="FOLDER", help="the second experiment, whose results FOLDER keeps"
    )
    options = parser.parse_args()
    if options.loads:
        judge_loads(options)
    else:
        judge_pairs(options)


if __name__ == "__main__":
    main()
