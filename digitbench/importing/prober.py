"""The parent's end of a worker that tries guesses of the model I/O; where one kills it, the next gets a new worker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from digitbench.backend import Scores, Signature
from digitbench.errors import BundleError
from digitbench.plugins.model_io import ModelIO
from digitbench.plugins.scoring import SCORING_BATCH
from digitbench.workers.pool import Job, Pool, Worker, WorkerError, read_scores

PROBE = "digitbench.importing.probe"
MOST_DEATHS = 3
BROKEN_FRAGMENTS = ("Protobuf parsing failed", "not a valid Flatbuffer")
EXTERNAL_FRAGMENT = "external data"
CODE_FRAGMENTS = ("`Lambda` layer", "unsafe", "safe_mode")


class Prober:
    """Opens an artifact in a worker, and scores images there; `signatures` say what it takes and gives.

    `artifact` is what is opened there: the source, or what it was converted to; `known` what was found out meanwhile.
    All three are there after `wait`: until then the worker starts.

    Parameters
    ----------
    source, backend
        What is opened by what.
    pool
        Of no other workers; ends them.
    """

    def __init__(self, source: Path, backend: str, pool: Pool) -> None:
        self._source, self._job = source, Job(backend, source, threads=1, module=PROBE)
        self._pool = pool
        self._deaths = 0
        self._ran: set[ModelIO] = set()  # these are asked on, however often others killed a worker
        self.fault = "nothing was tried"
        self._worker: Worker | None = None
        with suppress(WorkerError):  # `wait` says why it can't be started
            self._worker = pool.begin(self._job)

    def wait(self) -> None:
        """Wait until the artifact is open.

        Raises
        ------
        BundleError
            Its runtime can't open it.
        """
        try:
            self._worker = self._worker or self._pool.begin(self._job)
            ready = self._pool.wait(self._worker)
        except WorkerError as exc:
            raise BundleError(_refusal(self._source, str(exc))) from exc
        signature: Signature = msgspec.convert(ready["signature"], Signature)
        self.signatures = (signature, *signature.others)
        self.artifact, self.known = Path(ready["artifact"]), ready["known"]

    def ask(
        self, model_io: ModelIO, order: Sequence[int], size: int = SCORING_BATCH, artifact: Path | None = None
    ) -> Scores | None:
        """Score the images of these numbers with a model I/O, in that order, `size` of them in each call.

        A copy of the artifact is opened instead of it, if given. Gives float32 (n, 10), or None where it can't be done;
        see `fault`.
        """
        model_io_key = replace(model_io, activation="", columns=())
        if self._deaths >= MOST_DEATHS and model_io_key not in self._ran:
            return None
        if self._worker is None:
            self.wait()
        assert self._worker is not None
        try:
            answer = self._pool.ask(
                self._worker, "attempt", model_io=model_io.to_json(), order=list(order), size=size,
                artifact=str(artifact or self.artifact),
            )  # fmt: skip
        except WorkerError as exc:
            self.fault, self._worker = str(exc), None
            self._deaths += 1
            return None
        if "error" in answer:
            self.fault = _without_path(answer["error"], self._source)
            return None
        self._ran.add(model_io_key)
        return read_scores(answer)


def _refusal(source: Path, message: str) -> str:
    message = _without_path(message, source)
    if any(fragment in message for fragment in CODE_FRAGMENTS):
        return f"{source}: it holds a Lambda layer or other code, which isn't run; add --trust if you trust its maker"
    if EXTERNAL_FRAGMENT in message.lower():
        return f"{source}: its weights are in another file, which isn't beside it; put that file there ({message})"
    if any(fragment in message for fragment in BROKEN_FRAGMENTS):
        return f"{source}: {message.rstrip('.')}: it is broken, cut short or of another kind; export it again"
    return f"{source}: {message}"


def _without_path(message: str, source: Path) -> str:
    return message.removeprefix(f"{source.resolve()}: ")
