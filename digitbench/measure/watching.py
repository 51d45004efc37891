"""How a run tells of what it has measured so far."""

from __future__ import annotations

from typing import Protocol

from digitbench.records.results import Results
from digitbench.system.progress import Progress


class RunProgress(Progress, Protocol):
    """Somebody who watches a run, and sees its table fill."""

    def table(self, results: Results, done: float, total: float) -> None:
        """Show what is measured so far.

        Parameters
        ----------
        results
            Every row, also those that nothing is known of yet.
        done, total
            Seconds of the whole run.
        """
