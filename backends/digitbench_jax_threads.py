"""What the two adapters of JAX share: its threads, which it takes when it starts and keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from digitbench.errors import ThreadsError

VARIABLE = "NPROC"
"""How many processors XLA believes that there are: it starts as many threads. No option of JAX says that."""

POOL = "tf_XLAEigen"
"""What the system calls the threads that compute."""


def take_threads(jax: Any, threads: int) -> int | None:
    """Start JAX on the CPU with so many threads; give how many the system shows, None where it doesn't say.

    Raises
    ------
    ThreadsError
        It already runs with another number.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(threads)
    try:
        jax.config.update("jax_platforms", "cpu")
        # Else each call goes through another thread, which costs more than a small network.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        jax.devices("cpu")  # the client starts here, or was started before
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
    started = _pool_threads()
    if started not in (threads, None):
        raise ThreadsError(f"JAX runs {started} threads in this process, and can't change to {threads}")
    return started


def _pool_threads() -> int | None:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return None
    return sum((task / "comm").read_text().startswith(POOL) for task in tasks.iterdir())
