"""Referees: a runtime's own benchmark tool beside ours, on the same artifact with the same threads, turn by turn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from digitbench.backend import Images
from digitbench.errors import CheckFailed, UsageError, one_line
from digitbench.measure.candidates import Candidate
from digitbench.measure.generation import WORKER
from digitbench.records.precisions import FP32
from digitbench.records.results import NativeToolResult, Ratio
from digitbench.system.progress import Progress
from digitbench.workers.pool import Job, Pool, WorkerError, environment, read_spent, shared_images

PAIRS = 5
SECONDS = 1.0  # of each side of a pair
TURN_SECONDS = 0.05
ROUNDING_US = 10.0  # of litert-benchmark
ROUNDING_SHARE = 0.01
LARGEST_BATCH = 4096
TOOL_TIMEOUT = 300


@dataclass(frozen=True)
class Contest:
    """One candidate, and what to run beside it.

    Attributes
    ----------
    run
        Gives each tool's figure in µs, by the tool's name.
    notes
        What a reader must know, by the tool's name.
    """

    job: Job
    batch_size: int
    run: Callable[[Path], Mapping[str, float]]
    notes: Mapping[str, str]


def check(chosen: Sequence[Candidate]) -> None:
    """Find out before long work whether anything here has a referee.

    Raises
    ------
    UsageError
        None of the candidates has one.
    """
    if not any(_refereed(one) for one in chosen):
        told = f"only {', '.join(BACKENDS)} have a tool of their own, and in fp32, for models made here"
        raise UsageError(f"--referee: {told}; choose one")


def _refereed(one: Candidate) -> bool:
    # An adapter's own cost doesn't depend on the precision: one says enough of it.
    return bool(one.artifact) and one.row.backend in BACKENDS and one.row.precision == FP32 and one.model_io.is_native


def run(images: Images, chosen: Sequence[Candidate], progress: Progress) -> tuple[NativeToolResult, ...]:
    """Let each runtime's tool measure beside us, in pairs that alternate who goes first.

    Each side of each pair is a fresh process. Of each backend in fp32 the smallest batch size and thread count is
    taken; for LiteRT a batch so large that its tool's rounding is under 1 %.
    """
    firsts: dict[str, Candidate] = {}
    for one in sorted(chosen, key=lambda one: (one.row.threads, one.row.batch_size or 0)):
        if _refereed(one):
            firsts.setdefault(one.row.backend, one)
    found: list[NativeToolResult] = []
    with shared_images(images) as path, tempfile.TemporaryDirectory(prefix="digitbench-") as room:
        for name, candidate in firsts.items():
            assert candidate.artifact
            job = Job(name, candidate.artifact, candidate.row.threads, module=WORKER)
            try:
                contest = BACKENDS[name](job, candidate.row.batch_size or 1, path, Path(room))
                found += _hold(contest, path, progress)
            except CheckFailed as exc:  # a tool that broke is told; what was measured stays
                progress.say(f"{name}: no referee: {exc}")
    return tuple(found)


def _hold(contest: Contest, images: Path, progress: Progress) -> list[NativeToolResult]:
    pairs: dict[str, list[tuple[float, float]]] = {}
    label = f"{contest.job.backend} and its referee, batch {contest.batch_size}"
    for i in range(PAIRS):
        progress.update(label, i, PAIRS)
        if i % 2:
            theirs = contest.run(images)
            ours = time_ours(contest.job, contest.batch_size, images)
        else:
            ours = time_ours(contest.job, contest.batch_size, images)
            theirs = contest.run(images)
        for tool, figure in theirs.items():
            pairs.setdefault(tool, []).append((ours, figure))
    progress.update(label, PAIRS, PAIRS, "done")
    return [
        NativeToolResult(
            contest.job.backend, tool, contest.job.threads, contest.batch_size, tuple(both), _spread(both),
            contest.notes.get(tool, ""),
        )
        for tool, both in pairs.items()
    ]  # fmt: skip


def _spread(pairs: Sequence[tuple[float, float]]) -> Ratio:
    ratios = [ours / theirs for ours, theirs in pairs]
    return Ratio(median(ratios), (min(ratios), max(ratios)))


def time_ours(job: Job, batch_size: int, images: Path, seconds: float = SECONDS) -> float:
    """Median latency in µs of a fresh worker, as `digitbench bench` times it but alone.

    Raises
    ------
    WorkerError
        It failed or died.
    """
    with Pool(images) as pool:
        (started,) = pool.start([job])
        if started.worker is None:
            raise started.error or WorkerError("the worker is gone")
        pool.ask(started.worker, "warm_up", batch_size=batch_size, seconds=seconds / 3)
        spent: list[Any] = []
        while sum(int(block.sum()) for block in spent) < seconds * 1e9:
            spent.append(read_spent(pool.ask(started.worker, "turn", batch_size=batch_size, seconds=TURN_SECONDS)))
        return float(np.median(np.concatenate(spent))) / 1000


def _tool(command: Sequence[str], threads: int, stdin: str = "") -> str:
    """Run a tool in a worker's environment and give what it printed.

    Raises
    ------
    CheckFailed
        It failed; the message holds its last words.
    """
    name = Path(command[0]).name if command[0] != sys.executable else command[-1].rpartition(".")[2]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, encoding="utf-8", errors="replace",
            env=environment(threads), timeout=TOOL_TIMEOUT,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CheckFailed(f"{name} can't be run: {one_line(exc)}") from exc
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise CheckFailed(f"{name} ended with exit code {done.returncode}: {' '.join(words)}")
    return done.stdout


def _installed_tool(name: str) -> str:
    """The path of a command that came with a package of this environment.

    Raises
    ------
    CheckFailed
        It isn't there.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise CheckFailed(f"{name} is not installed beside {sys.executable}")
    return str(path)


def _script(name: str, job: Mapping[str, Any]) -> Mapping[str, Any]:
    command = [sys.executable, "-P", "-m", f"digitbench.measure.tools.{name}"]
    found: Mapping[str, Any] = json.loads(_tool(command, job["threads"], json.dumps(job) + "\n").splitlines()[-1])
    return found


# --- the tools -----------------------------------------------------------------------------------------------------

_OPENVINO_FIGURE = {
    "median": re.compile(r"Median:\s+([\d.]+) (us|ms)"),
    "count": re.compile(r"Count:\s+(\d+) iterations"),
    "duration": re.compile(r"Duration:\s+([\d.]+) ms"),
}


def _openvino(job: Job, batch_size: int, images: Path, room: Path) -> Contest:
    tool = _installed_tool("benchmark_app")
    command = [
        tool, "-m", str(job.artifact), "-d", "CPU", "-hint", "none", "-api", "sync", "-nstreams", "1",
        "-nthreads", str(job.threads), "-inference_only", "false", "-infer_precision", "f32", "-pin", "NO",
        "-shape", f"[{batch_size},28,28]", "-t", str(max(1, round(SECONDS))),
    ]  # fmt: skip

    def measure(_: Path) -> Mapping[str, float]:
        printed = _tool(command, job.threads)
        figures = {name: pattern.search(printed) for name, pattern in _OPENVINO_FIGURE.items()}
        if not all(figures.values()):
            raise CheckFailed(f"benchmark_app printed no {', '.join(name for name in figures if not figures[name])}")
        middle, count, duration = (figures[name] for name in ("median", "count", "duration"))
        assert middle is not None
        assert count is not None
        assert duration is not None
        scale = 1000 if middle[2] == "ms" else 1
        return {
            "benchmark_app median": float(middle[1]) * scale,
            "benchmark_app time per iteration": float(duration[1]) * 1000 / int(count[1]),
        }

    notes = {
        "benchmark_app median": "a timer inside OpenVINO, which leaves the Python call out",
        "benchmark_app time per iteration": "1 / throughput: with the Python call",
    }
    return Contest(job, batch_size, measure, notes)


def _onnx(job: Job, batch_size: int, images: Path, room: Path) -> Contest:
    request = {
        "artifact": str(job.artifact), "images": str(images), "threads": job.threads, "batch_size": batch_size,
        "seconds": SECONDS,
    }  # fmt: skip
    loadgen = batch_size == 1 and find_spec("mlperf_loadgen") is not None

    def measure(_: Path) -> Mapping[str, float]:
        found = {"bare IOBinding loop": float(_script("ort_loop", request)["median_us"])}
        if loadgen:
            found["LoadGen SingleStream p50"] = float(_script("ort_loadgen", request)["median_us"])
        return found

    notes = {
        "bare IOBinding loop": "only run_with_iobinding is timed, not the copies in and out",
        "LoadGen SingleStream p50": "around the same loop with the input's copy; LoadGen's own call is in it",
    }
    if not loadgen and batch_size == 1:
        notes["bare IOBinding loop"] += '; for LoadGen too: pip install "digitbench[referee]"'
    return Contest(job, batch_size, measure, notes)


def _tflite(job: Job, batch_size: int, images: Path, room: Path) -> Contest:
    tool = _installed_tool("litert-benchmark")
    size = batch_size
    while (call := time_ours(job, size, images, SECONDS / 5)) * ROUNDING_SHARE < ROUNDING_US and size < LARGEST_BATCH:
        # What it takes, with a fifth to spare; latency grows no faster than the batch.
        size = min(LARGEST_BATCH, size * max(2, 1 << int(np.log2(ROUNDING_US / ROUNDING_SHARE / call))))
    fixed = room / f"batch-{size}.tflite"
    _script(
        "tflite_batch",
        {"artifact": str(job.artifact), "target": str(fixed), "batch_size": size, "threads": job.threads},
    )
    runs = max(20, round(SECONDS * 1e6 / call))
    command = [tool, "--model", str(fixed), "--num_threads", str(job.threads), "--num_runs", str(runs),
               "--warmup_runs", str(max(5, runs // 3)), "--result_json", str(room / "litert.json")]  # fmt: skip

    def measure(_: Path) -> Mapping[str, float]:
        _tool(command, job.threads)
        found = json.loads((room / "litert.json").read_text(encoding="utf-8"))
        return {"litert-benchmark median": float(found["latency"]["median_ms"]) * 1000}

    note = f"it rounds to 10 µs, hence the batch of {size}; fixed in a copy of the model, since it can't be told one"
    return Contest(job, size, measure, {"litert-benchmark median": note})


BACKENDS: dict[str, Callable[[Job, int, Path, Path], Contest]] = {
    "onnx": _onnx, "openvino": _openvino, "tflite": _tflite,
}  # fmt: skip
