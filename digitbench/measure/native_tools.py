"""Native tools: a runtime's benchmark tool beside digitbench, on the same artifact and threads, turn by turn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from digitbench import plugins
from digitbench.backend import Images
from digitbench.errors import CheckFailed, UsageError, one_line
from digitbench.measure.candidates import Candidate
from digitbench.measure.generation import WORKER
from digitbench.measure.plan import TURN_SECONDS
from digitbench.records.precisions import FP32
from digitbench.records.results import NativeToolResult, Ratio
from digitbench.system.packages import install_command
from digitbench.system.progress import Progress
from digitbench.workers.pool import Job, Pool, environment, read_spent, shared_images

PAIRS = 5
SECONDS = 1.0  # of each side of a pair
ROUNDING_US = 10.0  # of litert-benchmark
ROUNDING_SHARE = 0.01
LARGEST_BATCH = 4096
TOOL_TIMEOUT = 300


@dataclass(frozen=True)
class NativeToolRun:
    """One candidate, and the native tools to run beside it.

    Attributes
    ----------
    run
        Gives each tool's latency in µs, by the tool's name.
    notes
        What a reader must know, by the tool's name.
    """

    batch_size: int
    run: Callable[[], Mapping[str, float]]
    notes: Mapping[str, str]


Tool = Callable[[Job, int, Path], NativeToolRun]
"""Takes a job, a batch size and the images' file, beside which there is room for what it writes."""


def check_installed(chosen: Sequence[Candidate]) -> None:
    """Find out before long work whether any candidate here has a native tool.

    Raises
    ------
    UsageError
        None of the candidates has one.
    """
    if not any(map(_tool_of, chosen)):
        names = [name for name, backend_class in plugins.classes().items() if backend_class.native_tool in TOOLS]
        message = f"only {', '.join(names)} have a tool of their own, and in fp32, for models made here"
        raise UsageError(f"--native-tool: {message}; choose one")


def _tool_of(candidate: Candidate) -> Tool | None:
    # What the adapter itself costs doesn't depend on the precision: comparing one precision is enough. Sgemm has none.
    if not candidate.artifact or candidate.flops_per_image or candidate.row.precision != FP32:
        return None
    return TOOLS.get(plugins.find(candidate.row.backend).load().native_tool) if candidate.model_io.is_native else None


def run(images: Images, chosen: Sequence[Candidate], progress: Progress) -> tuple[NativeToolResult, ...]:
    """Time each runtime by its tool and by digitbench, in pairs; which of the two is first alternates.

    Each side of each pair is a fresh process. Of each backend in fp32 the smallest batch size and thread count is
    taken; for LiteRT a batch so large that its tool's rounding is under 1 %.
    """
    smallest: dict[str, tuple[Candidate, Tool]] = {}
    for candidate in sorted(chosen, key=lambda candidate: (candidate.row.threads, candidate.row.batch_size or 0)):
        if tool := _tool_of(candidate):
            smallest.setdefault(candidate.row.backend, (candidate, tool))
    results: list[NativeToolResult] = []
    with shared_images(images) as path:
        for name, (candidate, tool) in smallest.items():
            job = candidate.job(module=WORKER)
            try:
                tool_run = tool(job, candidate.row.batch_size or 1, path)
                results += _compare(job, tool_run, path, progress)
            except CheckFailed as exc:  # a tool that failed is reported; what was measured stays
                progress.say(f"{name}: no native tool: {exc}")
    return tuple(results)


def _compare(job: Job, tool_run: NativeToolRun, images: Path, progress: Progress) -> list[NativeToolResult]:
    pairs: dict[str, list[tuple[float, float]]] = {}
    label = f"{job.backend} and its native tool, batch {tool_run.batch_size}"
    for i in range(PAIRS):
        progress.update(label, i, PAIRS)
        tool_latencies = tool_run.run() if i % 2 else {}
        worker_latency = time_worker(job, tool_run.batch_size, images)
        tool_latencies = tool_latencies or tool_run.run()
        for tool, tool_latency in tool_latencies.items():
            pairs.setdefault(tool, []).append((worker_latency, tool_latency))
    progress.update(label, PAIRS, PAIRS, "done")
    results = []
    for tool, latencies in pairs.items():
        ratios = [worker_latency / tool_latency for worker_latency, tool_latency in latencies]
        ratio, note = Ratio(median(ratios), (min(ratios), max(ratios))), tool_run.notes.get(tool, "")
        results.append(
            NativeToolResult(job.backend, tool, job.threads, tool_run.batch_size, tuple(latencies), ratio, note)
        )
    return results


def time_worker(job: Job, batch_size: int, images: Path, seconds: float = SECONDS) -> float:
    """Median latency in µs of a fresh worker, as `digitbench bench` times it but alone.

    Raises
    ------
    WorkerError
        It failed or died.
    """
    with Pool(images) as pool:
        worker, _ = pool.start_one(job)
        pool.ask(worker, "warm_up", batch_size=batch_size, seconds=seconds / 3)
        spent: list[Any] = []
        while sum(int(block.sum()) for block in spent) < seconds * 1e9:
            spent.append(read_spent(pool.ask(worker, "turn", batch_size=batch_size, seconds=TURN_SECONDS)))
        return float(np.median(np.concatenate(spent))) / 1000


def _run_tool(command: Sequence[str], threads: int, stdin: str = "") -> str:
    """Run a tool in a worker's environment and give what it printed.

    Raises
    ------
    CheckFailed
        It failed; the message holds the last line of its output.
    """
    name = Path(command[0]).name if command[0] != sys.executable else command[-1]
    try:
        completed = subprocess.run(
            command, input=stdin, capture_output=True, text=True, encoding="utf-8", errors="replace",
            env=environment(threads), timeout=TOOL_TIMEOUT,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CheckFailed(f"{name} can't be run: {one_line(exc)}") from exc
    if completed.returncode:
        last_line = (completed.stderr or completed.stdout).strip().splitlines()[-1:]
        raise CheckFailed(f"{name} ended with exit code {completed.returncode}: {' '.join(last_line)}")
    return completed.stdout


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
    command = [sys.executable, "-P", "-m", "digitbench.measure.tools", name]
    answer: Mapping[str, Any] = json.loads(_run_tool(command, job["threads"], json.dumps(job) + "\n").splitlines()[-1])
    return answer


# --- the tools -----------------------------------------------------------------------------------------------------

_OPENVINO_PRINTS = re.compile(
    r"Count:\s+(?P<count>\d+) iterations.*Duration:\s+(?P<duration>[\d.]+) ms"
    r".*Median:\s+(?P<median>[\d.]+) (?P<unit>us|ms)",
    re.DOTALL,
)


def _openvino(job: Job, batch_size: int, images: Path) -> NativeToolRun:
    tool = _installed_tool("benchmark_app")
    model = job.artifact / "model.xml" if job.artifact.is_dir() else job.artifact
    command = [
        tool, "-m", str(model), "-d", "CPU", "-hint", "none", "-api", "sync", "-nstreams", "1",
        "-nthreads", str(job.threads), "-inference_only", "false", "-infer_precision", "f32", "-pin", "NO",
        "-shape", f"[{batch_size},28,28]", "-t", str(max(1, round(SECONDS))),
    ]  # fmt: skip

    def measure() -> Mapping[str, float]:
        printed = _OPENVINO_PRINTS.search(_run_tool(command, job.threads))
        if not printed:
            raise CheckFailed("benchmark_app printed no count, duration or median")
        return {
            "benchmark_app median": float(printed["median"]) * (1000 if printed["unit"] == "ms" else 1),
            "benchmark_app time per iteration": float(printed["duration"]) * 1000 / int(printed["count"]),
        }

    notes = {
        "benchmark_app median": "a timer inside OpenVINO, which leaves the Python call out",
        "benchmark_app time per iteration": "1 / throughput: with the Python call",
    }
    return NativeToolRun(batch_size, measure, notes)


def _onnx(job: Job, batch_size: int, images: Path) -> NativeToolRun:
    request = {
        "artifact": str(job.artifact), "images": str(images), "threads": job.threads, "batch_size": batch_size,
        "seconds": SECONDS,
    }  # fmt: skip
    loadgen = batch_size == 1 and find_spec("mlperf_loadgen") is not None

    def measure() -> Mapping[str, float]:
        latencies = {"bare IOBinding loop": float(_script("ort_loop", request)["median_us"])}
        if loadgen:
            latencies["LoadGen SingleStream p50"] = float(_script("ort_loadgen", request)["median_us"])
        return latencies

    notes = {
        "bare IOBinding loop": "only run_with_iobinding is timed, not the copies in and out",
        "LoadGen SingleStream p50": "around the same loop with the input's copy; LoadGen's own call is in it",
    }
    if not loadgen and batch_size == 1:
        notes["bare IOBinding loop"] += f"; for LoadGen too: {install_command('digitbench', 'native-tools')}"
    return NativeToolRun(batch_size, measure, notes)


def _tflite(job: Job, batch_size: int, images: Path) -> NativeToolRun:
    tool = _installed_tool("litert-benchmark")
    size = batch_size
    while (call := time_worker(job, size, images, SECONDS / 5)) * ROUNDING_SHARE < ROUNDING_US and size < LARGEST_BATCH:
        # By the largest power of two that this latency allows, at least 2; latency grows no faster than the batch.
        size = min(LARGEST_BATCH, size * max(2, 1 << int(np.log2(ROUNDING_US / ROUNDING_SHARE / call))))
    fixed, printed = images.with_name(f"batch-{size}.tflite"), images.with_name("litert.json")
    request = {"artifact": str(job.artifact), "target": str(fixed), "batch_size": size, "threads": job.threads}
    _script("tflite_batch", request)
    runs = max(20, round(SECONDS * 1e6 / call))
    command = [tool, "--model", str(fixed), "--num_threads", str(job.threads), "--num_runs", str(runs),
               "--warmup_runs", str(max(5, runs // 3)), "--result_json", str(printed)]  # fmt: skip

    def measure() -> Mapping[str, float]:
        _run_tool(command, job.threads)
        report = json.loads(printed.read_text(encoding="utf-8"))
        return {"litert-benchmark median": float(report["latency"]["median_ms"]) * 1000}

    note = f"it rounds to 10 µs, hence the batch of {size}; set in a copy of the model (the tool has no option)"
    return NativeToolRun(size, measure, {"litert-benchmark median": note})


TOOLS: dict[str, Tool] = {
    "bare IOBinding loop": _onnx, "benchmark_app": _openvino, "litert-benchmark": _tflite,
}  # fmt: skip
"""By what `digitbench.backend.Backend.native_tool` says."""
