"""MLPerf LoadGen's SingleStream scenario around the same bare ONNX Runtime loop: one image a query, one at a time.

Run as a program by `digitbench.measure.native_tools`; needs mlcommons-loadgen (extra ``referee``).
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from digitbench.measure.tools.ort_loop import bound

SAMPLES = 1024
P50 = re.compile(r"^50\.00 percentile latency \(ns\)\s*:\s*(\d+)", re.MULTILINE)


def main() -> None:
    """Let LoadGen measure, and print the 50th percentile that it reports."""
    import mlperf_loadgen as loadgen

    job = json.loads(sys.stdin.readline())
    run, binding, (buffer, scores) = bound(job)
    images = np.load(job["images"], mmap_mode="r")
    batches = [images[i : i + 1] for i in range(min(SAMPLES, len(images)))]

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
    match = P50.search(summary)
    if not match:
        sys.exit("LoadGen's summary holds no 50th percentile")
    print(json.dumps({"median_us": int(match[1]) / 1000}))
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(system)


if __name__ == "__main__":
    main()
