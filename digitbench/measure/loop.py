"""The timed loop. Nothing else is in it, and nothing else may be."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter_ns

from digitbench.backend import Images, Scores

Nanoseconds = array  # of type "q": 64-bit


def time_block(predict: Callable[[Images], Scores], batches: Sequence[Images]) -> tuple[Nanoseconds[int], Scores]:
    """Time one `predict` call for each batch.

    Between two readings of the clock lies the call; between two calls, a store into memory that is already there.
    The garbage collector is off meanwhile.

    Parameters
    ----------
    predict
        What is timed.
    batches
        Its argument, a different one each call, each float32 (batch size, *image_shape); at least one.

    Returns
    -------
    spent
        Nanoseconds of each call, int64, in order.
    scores
        What the last call gave, so that it can be checked.
    """
    spent = array("q", bytes(8 * len(batches)))
    clock = perf_counter_ns
    i = 0
    was_on = gc.isenabled()
    gc.disable()
    try:
        for batch in batches:
            start = clock()
            scores = predict(batch)
            spent[i] = clock() - start
            i += 1
    finally:
        if was_on:
            gc.enable()
    return spent, scores
