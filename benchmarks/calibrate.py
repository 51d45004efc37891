"""How often is `digitbench bench` right: the same backend against itself, and one that is a tenth slower.

    python benchmarks/calibrate.py runs/latest --runs 20 --busy

Each run is a whole `digitbench bench` of LiteRT and of a plugin that does the same and then repeats some of its work:
a small batch costs more for each image, so that a sixteenth of them is about a tenth of the time. Counted are the runs
whose A/A interval reaches within 1 % of 1, and those that tell the slower one apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

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
HALF_BUSY = """
import os, time
parent = os.getppid()
while os.getppid() == parent:  # it must not outlive us and slow down other measurements
    until = time.perf_counter() + 0.01
    while time.perf_counter() < until: pass
    time.sleep(0.01)
"""
MARGIN = 0.01
BATCH_SIZE = 96  # a sixteenth of it is six images


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


@contextmanager
def half_busy_core(enabled: bool) -> Iterator[None]:
    """Keep one core busy half of the time, by another process, if `enabled`."""
    if not enabled:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", HALF_BUSY]) as busy:
        try:
            yield
        finally:
            busy.kill()


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="runs/latest")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--busy", action="store_true", help="keep one core half busy meanwhile")
    options = parser.parse_args()
    reaches, told_apart, halves = 0, 0, []
    with installed_plugin() as environment, half_busy_core(options.busy):
        for run in range(options.runs):
            results = bench(options.bundle, options.seconds, environment)
            floor, rows = results["floors"][0]["ratio"], {row["backend"]: row for row in results["rows"]}
            (low, high), slower = floor["interval"], rows["slower"]
            halves.append((high - low) / 2)
            reaches += low <= 1 + MARGIN and high >= 1 - MARGIN
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
        f"A/A reaches within 1 % of 1 in {reaches} of {options.runs}; half-width at most 5 % in "
        f"{sum(half <= 0.05 for half in halves)} (median {median(halves):.1%}); slower told apart in {told_apart}"
    )


if __name__ == "__main__":
    main()
