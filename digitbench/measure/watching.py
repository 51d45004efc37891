"""How a run reports what it has measured so far."""

from __future__ import annotations

from typing import Protocol

from digitbench.records.results import Results
from digitbench.system.progress import Progress


class RunProgress(Progress, Protocol):
    """Progress of a run, which shows its table as it fills."""

    def table(self, results: Results, done: float, total: float) -> None:
        """Show what is measured so far.

        Parameters
        ----------
        results
            Every row, also those of which nothing is known yet.
        done, total
            Seconds that have passed, and seconds of the whole run.
        """
