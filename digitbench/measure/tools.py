"""Programs that `digitbench.measure.native_tools` runs: each reads a job from standard input, and prints its answer.

They are processes of their own, so that what they load is in nobody's way.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

LOADGEN_SAMPLES = 1024
LOADGEN_P50 = re.compile(r"^50\.00 percentile latency \(ns\)\s*:\s*(\d+)", re.MULTILINE)


def _bound(job: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Open the artifact as the adapter does; give its session's run, its binding, the input's and output's buffers."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(job["artifact"], options, providers=["CPUExecutionProvider"])
    images = np.empty((job["batch_size"], 28, 28), np.float32)
    scores = np.empty((job["batch_size"], 10), np.float32)
    binding = session.io_binding()
    binding.bind_input(session.get_inputs()[0].name, "cpu", 0, np.float32, images.shape, images.ctypes.data)
    binding.bind_output(session.get_outputs()[0].name, "cpu", 0, np.float32, scores.shape, scores.ctypes.data)
    return session.run_with_iobinding, binding, images, scores


def ort_loop(job: Mapping[str, Any]) -> dict[str, float]:
    """Time a bare ONNX Runtime loop: `run_with_iobinding` on bound buffers, as quick as Python can call it.

    It warms up for a third of the time; the input changes outside the timed part.
    """
    run, binding, buffer, _scores = _bound(job)
    images, size = np.load(job["images"], mmap_mode="r"), job["batch_size"]
    starts = range(0, len(images) - size + 1, size)
    batches = [images[i : i + size] for i in starts] or [np.resize(images, buffer.shape)]
    for seconds in (job["seconds"] / 3, job["seconds"]):
        spent: list[int] = []
        deadline = perf_counter() + seconds
        for batch in cycle(batches):
            buffer[...] = batch
            start = perf_counter_ns()
            run(binding)
            spent.append(perf_counter_ns() - start)
            if perf_counter() >= deadline:
                break
    return {"median_us": float(np.median(spent)) / 1000}


def ort_loadgen(job: Mapping[str, Any]) -> dict[str, float]:
    """Let MLPerf LoadGen's SingleStream scenario time the same loop: one image a query, one at a time.

    Needs mlcommons-loadgen (extra ``native-tools``); returns the 50th percentile that it reports.
    """
    import mlperf_loadgen as loadgen

    run, binding, buffer, scores = _bound(job)
    images = np.load(job["images"], mmap_mode="r")
    batches = [images[i : i + 1] for i in range(min(LOADGEN_SAMPLES, len(images)))]

    def issue(queries: list[Any]) -> None:
        for query in queries:
            buffer[...] = batches[query.index]
            run(binding)
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, scores.ctypes.data, scores.nbytes)])

    def nothing(*_: Any) -> None:
        return

    for batch in batches:
        buffer[...] = batch
        run(binding)
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = round(job["seconds"] * 1000)
    settings.min_query_count = 1
    system = loadgen.ConstructSUT(issue, nothing)
    library = loadgen.ConstructQSL(len(batches), len(batches), nothing, nothing)
    with tempfile.TemporaryDirectory(prefix="digitbench-loadgen-") as folder:
        log = loadgen.LogSettings()
        log.enable_trace = False
        log.log_output.outdir = folder
        log.log_output.copy_summary_to_stdout = False
        loadgen.StartTestWithLogSettings(system, library, settings, log)
        summary = (Path(folder) / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(system)
    match = LOADGEN_P50.search(summary)
    if not match:
        sys.exit("LoadGen's summary holds no 50th percentile")
    return {"median_us": int(match[1]) / 1000}


def tflite_batch(job: Mapping[str, Any]) -> dict[str, float]:
    """Write a copy of a TFLite model with every open dimension set to the batch size, for which LiteRT's tool asks.

    Needs LiteRT (extra ``tflite``).
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    source = Path(job["artifact"]).read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source, 0))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.shapeSignature is not None:
                tensor.shape = [job["batch_size"] if length == -1 else int(length) for length in tensor.shapeSignature]
                tensor.shapeSignature = None
    builder = flatbuffers.Builder(len(source) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    Path(job["target"]).write_bytes(builder.Output())
    return {}


PROGRAMS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, float]]] = {
    "ort_loop": ort_loop, "ort_loadgen": ort_loadgen, "tflite_batch": tflite_batch,
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]](json.loads(sys.stdin.readline()))))
