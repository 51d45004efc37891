"""One backend in one fresh process that scores the images it is given, and measures nothing.

Started by `digitbench.workers.pool`; see `digitbench.workers.protocol`.
"""

from __future__ import annotations

from collections.abc import Iterable

from digitbench import plugins
from digitbench.backend import check_scores
from digitbench.plugins.scoring import score
from digitbench.workers.protocol import Emit, answer, encoded_scores, received


def serve(lines: Iterable[str], emit: Emit) -> None:
    """Load what the first line says, and answer each further line with the scores of all images."""
    job, images, commands = received(lines)
    with plugins.opener(job)() as backend:
        first = images[:1]  # checked alone, since a batch of one may be what fails
        check_scores(backend.predict(first), first, classes=job.get("classes"))
        emit("ready")
        for command in commands:
            emit(command["do"], **encoded_scores(score(backend, images, job.get("classes"))))


if __name__ == "__main__":
    answer(serve)
