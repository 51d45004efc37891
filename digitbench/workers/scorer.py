"""One backend in one fresh process that scores the images it is given, and measures nothing.

Started by `digitbench.workers.pool`; see `digitbench.workers.protocol`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable

import numpy as np

from digitbench import plugins
from digitbench.backend import Images, check_scores
from digitbench.plugins.scoring import score
from digitbench.workers.protocol import Emit, answer


def serve(lines: Iterable[str], emit: Emit) -> None:
    """Load what the first line says, and answer each further line with the scores of all images."""
    commands = (json.loads(line) for line in lines)
    job = next(commands)
    images: Images = np.asarray(np.load(job["images"], mmap_mode="r"))
    with plugins.opener(job)() as backend:
        first = images[:1]  # checked alone, since a batch of one may be what fails
        check_scores(backend.predict(first), first)
        emit("ready")
        for command in commands:
            scores = score(backend, images)
            emit(command["do"], scores=b64encode(np.ascontiguousarray(scores).tobytes()).decode("ascii"))


if __name__ == "__main__":
    answer(serve)
