"""How long each runtime takes: to predict a batch, to load, and to predict for the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from digitbench.backend import Backend, Images
from digitbench.measure.worker import cut

WARM_UP_CALLS = 20
START_ROUNDS = 5

Make = Callable[[], Backend]


@pytest.fixture
def make(open_backend: Make) -> Iterator[Make]:
    """Opens the candidate, closing the backend that it opened before."""
    alive: list[Backend] = []

    def reopen() -> Backend:
        while alive:
            alive.pop().close()
        alive.append(open_backend())
        return alive[0]

    yield reopen
    for backend in alive:
        backend.close()


def test_load(benchmark: Any, make: Make, facts: dict[str, Any]) -> None:
    """Closing one and constructing the next: the runtime's import is behind it, a process imports only once."""
    benchmark.group = "load"
    benchmark.extra_info.update(facts, batch_size=None)
    benchmark.pedantic(make, rounds=START_ROUNDS, warmup_rounds=1)


@pytest.mark.smallest_batch
def test_first_prediction(benchmark: Any, make: Make, facts: dict[str, Any], images: Images, batch_size: int) -> None:
    """The first `predict` of a backend that was just constructed."""
    benchmark.group = "first prediction"
    benchmark.extra_info.update(facts, batch_size=batch_size)
    batch = cut(images, batch_size)[0]
    scores = benchmark.pedantic(
        lambda backend: backend.predict(batch), setup=lambda: ((make(),), {}), rounds=START_ROUNDS
    )
    assert np.isfinite(scores).all()


def test_predict(benchmark: Any, backend: Backend, facts: dict[str, Any], images: Images, batch_size: int) -> None:
    """A different batch each call, as `digitbench bench` does; taking it costs under 0.1 µs."""
    batches = cycle(cut(images, batch_size))
    for _ in range(WARM_UP_CALLS):
        backend.predict(next(batches))
    benchmark.group = f"predict, batch size {batch_size}"
    benchmark.extra_info.update(facts, batch_size=batch_size)
    scores = benchmark(lambda: backend.predict(next(batches)))
    assert scores.shape == (batch_size, 10)
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["images_per_second"] = batch_size / benchmark.stats.stats.mean
