"""In a worker of its own: open a stranger's artifact, say what it takes, and score images in one form after another."""

from __future__ import annotations

import json
import traceback
from base64 import b64encode
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitbench import plugins
from digitbench.backend import Backend, Images
from digitbench.errors import is_verbose, reason
from digitbench.plugins.model_io import ModelIO, adapted
from digitbench.plugins.scoring import score
from digitbench.system import trusted_files
from digitbench.workers.protocol import Emit, answer

ADDRESS_SPACE = 24 * 2**30  # TensorFlow reserves several; a corrupt file asks for terabytes


def serve(lines: Iterable[str], emit: Emit) -> None:
    """Answer the first line with an artifact's signature, and each further one with scores, or why there are none.

    The first line is a job. A command has a form, the images' numbers in order, and how many of them make one call.

    Raises
    ------
    ArtifactError
        The runtime can't open it.
    """
    _limit_memory()
    commands = (json.loads(line) for line in lines)
    job = next(commands)
    plugin, artifact = plugins.find(job["backend"]), Path(job["artifact"])
    images: Images = np.asarray(np.load(job["images"], mmap_mode="r"))
    trusted = trusted_files.holds(artifact)
    with plugin.explain_missing(), ExitStack() as opened:
        kind = plugin.load()
        emit("ready", signature=asdict(kind.signature(artifact, trusted=trusted)))
        current: tuple[Any, Backend] | None = None
        for command in commands:
            model_io = ModelIO.from_json(command["model_io"])
            try:
                if current is None or current[0] != model_io.io_spec:
                    opened.close()
                    guess, precision = replace(model_io, code=trusted), job["precision"]
                    backend = plugin.open(artifact, threads=1, precision=precision, model_io=guess, trial=True)
                    current = model_io.io_spec, opened.enter_context(backend)
                asked, size = images[command["order"]], command["size"]
                calls = [asked[i : i + size] for i in range(0, len(asked), size)]
                scores = np.concatenate([score(adapted(current[1], model_io), call) for call in calls])
            except Exception as exc:  # noqa: BLE001 - a form that the runtime refuses is one that it hasn't
                if not (isinstance(exc, ValueError) and str(exc).startswith("predict gave")):
                    current = None  # it may be out of order; one that only gave the wrong thing isn't
                if is_verbose():
                    traceback.print_exc()
                emit("attempt", error=reason(exc, artifact))
                continue
            emit("attempt", scores=b64encode(scores.tobytes()).decode("ascii"))


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limit; a lower one may be set already
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        least = ADDRESS_SPACE if most == resource.RLIM_INFINITY else min(most, ADDRESS_SPACE)
        resource.setrlimit(resource.RLIMIT_AS, (least, most))


if __name__ == "__main__":
    answer(serve)
