"""How a worker process answers its parent: one JSON event in a line."""

from __future__ import annotations

import json
import os
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.errors import DigitbenchError, is_verbose, reason
from digitbench.records.arrays import Array

Emit = Callable[..., None]
"""Takes an event's name, and its facts by keyword."""


def answer(serve: Callable[[Iterable[str], Emit], None]) -> None:
    """Let `serve` answer the lines of standard input, until it ends; a failure becomes an event, ``failed``."""
    # What a runtime prints goes to standard error, so that it doesn't get between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(event: str, **facts: Any) -> None:
        events.write(json.dumps({"event": event, **facts}) + "\n")

    try:
        serve(iter(sys.stdin.readline, ""), emit)
    except (DigitbenchError, FileNotFoundError) as exc:
        if is_verbose():
            traceback.print_exc()  # with what its runtime said, in full
        emit("failed", message=reason(exc))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as exc:  # noqa: BLE001 - whatever a runtime raises ends up in its row
        traceback.print_exc()
        emit("failed", message=f"{type(exc).__name__}: {reason(exc)}")


def received(lines: Iterable[str]) -> tuple[dict[str, Any], Array, Iterator[dict[str, Any]]]:
    """Take the job from the first line; give it, the images that it names, mapped, and the commands that follow."""
    commands = (json.loads(line) for line in lines)
    job = next(commands)
    return job, np.asarray(np.load(job["images"], mmap_mode="r")), commands


def encoded(values: npt.NDArray[Any]) -> str:
    """Write an array into an event, such as the nanoseconds of calls: int64 (n,)."""
    return b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def encoded_scores(scores: npt.NDArray[Any]) -> dict[str, Any]:
    """Give the facts of an event that carry scores: float32 (n, classes)."""
    return {"scores": encoded(scores), "shape": scores.shape}
