"""One candidate in one process: it says what a picture shows, picture by picture, until its standard input ends.

Started by `digitbench.draw.processes`. A command holds a picture, a byte for each of its values in base64; see
`digitbench.workers.protocol`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import asdict
from time import perf_counter_ns

import numpy as np

from digitbench import plugins
from digitbench.backend import check_scores
from digitbench.errors import reason
from digitbench.records.arrays import scaled
from digitbench.workers.protocol import Emit, answer, encoded_scores, received

WARM_UP_CALLS = 5  # the first call of a runtime may compile


def serve(lines: Iterable[str], emit: Emit) -> None:
    """Load what the first line says, and score the picture of each further line."""
    job, blank, commands = received(lines)
    with plugins.opener(job)() as backend:
        for _ in range(WARM_UP_CALLS):
            backend.predict(blank)
        emit("ready", runtime=asdict(backend.runtime))
        for command in commands:
            images = scaled(np.frombuffer(b64decode(command["picture"]), np.uint8).reshape(blank.shape))
            try:
                began = perf_counter_ns()
                scores = backend.predict(images)
                elapsed = perf_counter_ns() - began
                check_scores(scores, images, classes=job.get("classes"))
                if not np.isfinite(scores).all():
                    raise ValueError("predict gave scores that are not finite numbers")
            except Exception as exc:  # noqa: BLE001 - it may do better with the next picture
                emit("score", problem=f"{type(exc).__name__}: {reason(exc)}")
            else:
                emit("score", **encoded_scores(scores), nanoseconds=elapsed)


if __name__ == "__main__":
    answer(serve)
