"""A bare ONNX Runtime loop: `run_with_iobinding` on bound buffers and nothing else, as quick as Python can call it.

Run as a program by `digitbench.measure.native_tools`: reads a job from standard input, prints the calls' median.
"""

from __future__ import annotations

import json
import sys
from itertools import cycle
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np


def bound(job: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Open the artifact as the adapter does; give its session's run, its binding, and the input's buffer."""
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
    return session.run_with_iobinding, binding, (images, scores)


def main() -> None:
    """Warm up for a third of the time, then measure; the input changes outside the timed part."""
    job = json.loads(sys.stdin.readline())
    run, binding, (buffer, _scores) = bound(job)
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
    print(json.dumps({"median_us": float(np.median(spent)) / 1000}))


if __name__ == "__main__":
    main()
