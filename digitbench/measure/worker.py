"""One candidate in one fresh process: loads it, scores the test images, times it, and tells its parent.

Started by `digitbench.measure.process`; reads one job from standard input and writes one JSON event a line.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from digitbench import machine, plugins
from digitbench.backend import Backend, Images, Scores
from digitbench.errors import DigitbenchError, one_line
from digitbench.measure.loop import time_block

Emit = Callable[..., None]

SCORING_BATCH = 256
BLOCK_SECONDS = 0.05
BLOCKS_AT_LEAST = 30  # in a budget: a short one has shorter blocks, of which the warm-up takes a third
STEADY_SPREAD = 1.05  # the last three blocks' medians within 5 %
WARM_UP_CALLS = 20
TELL_SECONDS = 0.5


def main() -> None:
    """Do the one job that standard input holds."""
    # What a runtime prints must not get between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(event: str, **facts: Any) -> None:
        events.write(json.dumps({"event": event, **facts}) + "\n")

    try:
        work(json.loads(sys.stdin.readline()), emit)
    except (DigitbenchError, FileNotFoundError) as exc:
        emit("failed", message=one_line(exc))
    except Exception as exc:  # noqa: BLE001 - whatever a runtime throws ends up in its row
        traceback.print_exc()
        emit("failed", message=f"{type(exc).__name__}: {one_line(exc)}")
    else:
        emit("done")


def work(job: dict[str, Any], emit: Emit) -> None:
    """Load, score, time; see `digitbench.measure.process.Job` for the job's fields."""
    plugin = plugins.find(job["backend"])
    images: Images = np.asarray(np.load(job["images"], mmap_mode="r"))
    began = perf_counter()
    with plugin.explain_missing():
        backend = plugin.load()(Path(job["artifact"]), threads=job["threads"])
    emit("loaded", seconds=perf_counter() - began)
    with backend:
        size = job["batch_size"] or SCORING_BATCH
        batches = cut(images, size)
        began = perf_counter()
        backend.predict(batches[0])
        emit("predicted", microseconds=(perf_counter() - began) * 1e6, runtime=asdict(backend.runtime))
        np.save(job["scores"], score(backend, images))
        emit("scored")
        if job["batch_size"]:
            spent, warm_up = measure(backend, batches, job["seconds"], emit)
            peak = machine.peak_rss_bytes()
            np.save(job["spent"], np.frombuffer(spent, np.int64))
            emit("timed", warm_up=warm_up, peak_rss_bytes=peak)
        else:
            emit("peak", peak_rss_bytes=machine.peak_rss_bytes())


def score(backend: Backend, images: Images) -> Scores:
    """Score all images, and refuse what can't be scores.

    Raises
    ------
    ValueError
        The backend gave another shape or dtype than (n, 10) float32, or values that aren't finite.
    """
    parts = []
    for batch in (images[i : i + SCORING_BATCH] for i in range(0, len(images), SCORING_BATCH)):
        scores = backend.predict(batch)
        if scores.shape != (len(batch), 10) or scores.dtype != np.float32:
            raise ValueError(f"predict gave {scores.dtype} of shape {scores.shape}, not float32 ({len(batch)}, 10)")
        if not np.isfinite(scores).all():
            raise ValueError("predict gave scores that are not finite numbers")
        parts.append(scores)
    return np.concatenate(parts)


def cut(images: Images, size: int) -> list[Images]:
    """Cut images into whole batches; where they are too few for one, they are repeated."""
    if len(images) < size:
        return [np.resize(images, (size, 28, 28))]
    return [images[i : i + size] for i in range(0, len(images) - size + 1, size)]


def measure(backend: Backend, batches: list[Images], seconds: float, emit: Emit) -> tuple[array[int], dict[str, Any]]:
    """Warm up until steady, then time blocks of calls until the timed calls add up to `seconds`.

    Returns
    -------
    spent, warm_up
        Nanoseconds of each call, and the fields of `digitbench.results.WarmUp`.
    """
    supply = chain.from_iterable(repeat(batches))
    block, warm_up = _warm_up(backend, supply, min(BLOCK_SECONDS, seconds / BLOCKS_AT_LEAST), seconds / 3)
    spent, total, told = array("q"), 0.0, perf_counter()
    while total < seconds:
        fresh = time_block(backend.predict, list(islice(supply, block)))
        spent.extend(fresh)
        total += sum(fresh) / 1e9
        if perf_counter() - told > TELL_SECONDS:
            emit("timing", seconds=total)
            told = perf_counter()
    return spent, warm_up


def _warm_up(
    backend: Backend, supply: Iterator[Images], block_seconds: float, budget: float
) -> tuple[int, dict[str, Any]]:
    """Give the number of calls that make a block, and how the warm-up went."""
    began, calls, block = perf_counter(), 0, 1
    medians: list[float] = []  # of the blocks since they reached their length: shorter ones say little
    grown = settled = False
    while not settled and (calls < WARM_UP_CALLS or perf_counter() - began < budget):
        spent = time_block(backend.predict, list(islice(supply, block)))
        calls += block
        middle = median(spent) / 1e9
        if grown:
            medians.append(middle)
        last = medians[-3:]
        settled = calls >= WARM_UP_CALLS and len(last) == 3 and max(last) < STEADY_SPREAD * min(last)
        wanted = max(1, round(block_seconds / max(middle, 1e-9)))
        grown = grown or wanted <= 4 * block
        block = min(wanted, 4 * block)
    return block, {"calls": calls, "seconds": perf_counter() - began, "settled": settled}


if __name__ == "__main__":
    main()
