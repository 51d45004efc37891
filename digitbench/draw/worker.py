"""One candidate in one process: it says which digit is drawn, picture by picture, until its standard input ends.

Started by `digitbench.draw.processes`. The first line of standard input is the job; each further one is a picture,
28 × 28 bytes in base64, and the answer to it is one JSON event in a line.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import asdict
from time import perf_counter_ns

import numpy as np

from digitbench import plugins
from digitbench.backend import Backend, Images, Scores
from digitbench.data import to_images
from digitbench.errors import reason
from digitbench.workers.protocol import Emit, answer

WARM_UP_CALLS = 5  # the first call of a runtime may compile


def serve(lines: Iterable[str], emit: Emit) -> None:
    """Load what the first line says, and score the picture of each further line."""
    lines = iter(lines)
    with plugins.opener(json.loads(next(lines)))() as backend:
        blank = np.zeros((1, 28, 28), np.float32)
        for _ in range(WARM_UP_CALLS):
            backend.predict(blank)
        emit("ready", runtime=asdict(backend.runtime))
        for line in lines:
            pixels = np.frombuffer(b64decode(line), np.uint8).reshape(28, 28)
            try:
                scores, elapsed = _scored(backend, to_images(pixels))
            except Exception as exc:  # noqa: BLE001 - it may do better with the next picture
                emit("refused", message=f"{type(exc).__name__}: {reason(exc)}")
            else:
                emit("answer", scores=scores[0].tolist(), nanoseconds=elapsed)


def _scored(backend: Backend, images: Images) -> tuple[Scores, int]:
    """Score one image, and count the nanoseconds that the call took.

    Raises
    ------
    ValueError
        The backend gave no scores, or such as aren't numbers.
    """
    began = perf_counter_ns()
    scores = backend.predict(images)
    elapsed = perf_counter_ns() - began
    if scores.shape != (1, 10) or not np.isfinite(scores).all():
        raise ValueError(f"predict gave {scores.dtype} of shape {scores.shape}, not ten finite scores")
    return scores, elapsed


if __name__ == "__main__":
    answer(serve)
