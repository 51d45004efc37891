"""The null backend: it answers without computing, so that what is timed is the timed loop itself."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from digitbench.backend import Backend, Images, Runtime, Scores


class NullBackend(Backend):
    """Gives the same array each time; not announced as a plugin, since it breaks the contract on purpose."""

    format: ClassVar[str] = "null"

    def __init__(self, artifact: Path | None = None, *, threads: int = 1) -> None:
        self._scores = np.zeros((1, 10), np.float32)

    @property
    def runtime(self) -> Runtime:
        """Nothing."""
        return Runtime("nothing", "", "none", 1)

    def predict(self, images: Images) -> Scores:
        """Answer at once."""
        return self._scores

    def close(self) -> None:
        """Nothing to free."""
