"""A page of results that one can hand on: a single HTML file that opens offline, or Markdown. Never measures."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.charts.groups import timed
from digitbench.errors import ResultsError
from digitbench.judge.sorting import Group
from digitbench.records.metrics import read
from digitbench.records.results import Results, Row
from digitbench.system import packages

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.data import Dataset

PACKAGES = {"jinja2": "jinja2", "altair": "altair", "vl_convert": "vl-convert-python"}
REQUIRED = ("bundle.name", "bundle.recipe", "bundle.dataset.name", "bundle.dataset.fingerprint", "bundle.test_images",
            "machine.cpu", "machine.system", "machine.cores.available")  # fmt: skip
WHOLE_NUMBERS = ("bundle.test_images", "machine.cores.available")


@dataclass(frozen=True)
class Source:
    """What a report is made of.

    Attributes
    ----------
    place
        The results' file.
    bundle
        The bundle that they are of, where it lies beside them or was named.
    data, no_data
        The dataset that they are of; or None, and why it can't be had, where the bundle is there.
    """

    path: Path
    results: Results
    bundle: Bundle | None = None
    data: Dataset | None = None
    no_data: str = ""


def check_packages() -> None:
    """Find out before any work whether an HTML page can be made.

    Raises
    ------
    MissingRuntimeError
        Jinja2, Altair or vl-convert is not installed.
    """
    packages.check_packages("an HTML report needs", PACKAGES, "report", " (--markdown needs none of them)")


def check_usable(results: Results, path: Path) -> None:
    """Refuse results that don't say what was measured on what.

    Raises
    ------
    ResultsError
        The bundle or the machine is described by less than every command writes.
    """
    values = {name: _value_at(results, name) for name in REQUIRED}
    if lacking := [name for name, value in values.items() if value is None]:
        raise ResultsError(f"{path}: not whole: it lacks {', '.join(lacking)}; measure again")
    for name in WHOLE_NUMBERS:
        if not isinstance(values[name], int):
            raise ResultsError(f"{path}: {name} is no whole number; measure again")
    if results.confusion and {*map(len, results.confusion)} != {len(results.confusion)}:
        raise ResultsError(f"{path}: confusion has not as many lines as columns; measure again")


def _value_at(results: Results, name: str) -> Any:
    with suppress(AttributeError):  # a value that isn't a mapping stands where one should be
        return read(results, name)


def groups(results: Results) -> list[Group]:
    """Give the threads and batch sizes at which something was timed, sorted; none of an evaluation."""
    return sorted({(row.threads, row.batch_size or 0) for row in timed(results)})


def setups(rows: tuple[Row, ...]) -> list[Row]:
    """Give one row of each backend and precision: what it says of the images is the same at every batch size."""
    row_by_setup: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.accuracy:
            row_by_setup.setdefault((row.backend, row.precision), row)
    return list(row_by_setup.values())
