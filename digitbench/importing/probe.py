"""In a worker process: open somebody else's artifact, say what it takes, and score images with each guessed I/O."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from digitbench import plugins
from digitbench.backend import Backend, IOSpec
from digitbench.errors import is_verbose, reason
from digitbench.importing import formats
from digitbench.plugins.model_io import ModelIO, adapted
from digitbench.plugins.scoring import score
from digitbench.records.arrays import scaled
from digitbench.system import trusted_files
from digitbench.workers.protocol import Emit, answer, encoded_scores

ADDRESS_SPACE = 24 * 2**30  # TensorFlow reserves several; a corrupt file asks for terabytes


def serve(lines: Iterable[str], emit: Emit) -> None:
    """Answer the first line with an artifact's signature, and each further one with scores, or why there are none.

    The first line is a job. A command has a model I/O, the images' indices in order, how many of them make a call, and
    the artifact or a copy of it.

    Raises
    ------
    ArtifactError
        The runtime can't open it.
    """
    _limit_memory()
    commands = (json.loads(line) for line in lines)
    job = next(commands)
    plugin, source = plugins.find(job["backend"]), Path(job["artifact"])
    trusted = trusted_files.holds(source)
    with plugin.explain_missing(), ExitStack() as exit_stack:
        backend_class = plugin.load()
        artifact, known = formats.opened(source, job["backend"], Path(job["images"]).parent)
        signature = backend_class.signature(artifact, trusted=trusted)
        emit("ready", signature=asdict(signature), artifact=str(artifact), known=known)
        current: tuple[tuple[str, IOSpec], Backend] | None = None
        for command in commands:
            model_io = ModelIO.from_json(command["model_io"])
            try:
                opened = command["artifact"], model_io.io_spec
                if current is None or current[0] != opened:
                    exit_stack.close()
                    guess, precision = replace(model_io, code=trusted), job["precision"]
                    backend = plugin.open(Path(opened[0]), threads=1, precision=precision, model_io=guess, trial=True)
                    current = opened, exit_stack.enter_context(backend)
                pixels = np.load(job["images"], mmap_mode="r")  # which may not be there before
                requested, size = scaled(pixels[command["order"]]), command["size"]
                calls = [requested[i : i + size] for i in range(0, len(requested), size)]
                scores = np.concatenate([score(adapted(current[1], model_io), call) for call in calls])
            except Exception as exc:  # noqa: BLE001 - an I/O that the runtime refuses is not the model's
                if not (isinstance(exc, ValueError) and str(exc).startswith("predict gave")):
                    current = None  # it may be out of order; one that only gave the wrong thing isn't
                if is_verbose():
                    traceback.print_exc()
                emit("attempt", error=reason(exc, artifact))
                continue
            emit("attempt", **encoded_scores(scores))


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limit; a lower one may be set already
        import resource

        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        soft_limit = ADDRESS_SPACE if hard_limit == resource.RLIM_INFINITY else min(hard_limit, ADDRESS_SPACE)
        resource.setrlimit(resource.RLIMIT_AS, (soft_limit, hard_limit))


if __name__ == "__main__":
    answer(serve)
