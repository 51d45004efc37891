"""Results that were saved, and the bundle that they are of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from digitbench.errors import BundleError, DataError, ResultsError

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.records.results import Results
    from digitbench.system.progress import Progress


def results_file_of(source: Path | None) -> Path:
    """Find the results that are named: a file of them, or the newest of a bundle's folder; of runs/latest for None.

    The newest are the newest in which something was timed. Where there are none, it is the newest file: whoever reads
    it says what it lacks.

    Raises
    ------
    ResultsError
        The bundle holds none.
    BundleError
        There is no such file, and no such bundle.
    """
    from digitbench.bundle import RESULTS, Bundle, suggestion
    from digitbench.measure.earlier_results import saved_results

    if source is not None and source.is_file():
        return source
    if source is not None and not source.exists():
        hint = suggestion(source)
        raise BundleError(f"{source}: no such results file or model; {hint}name a .json that `bench` saved")
    bundle = Bundle(source)
    newest_first = bundle.results_files()
    if not newest_first:
        run = f" {source}" if source else ""
        raise ResultsError(f"{bundle.path / RESULTS} holds no results yet; run: digitbench bench{run}")
    timed = (path for path, results in saved_results(bundle) if any(row.latency_us for row in results.rows))
    return next(timed, newest_first[0])


def results_of(source: Path | None) -> tuple[Path, Results]:
    """Read the results that are named: a file of them, or the newest row of each candidate in a bundle's folder.

    Where the folder has none of this machine and these versions, they are those of `results_file_of`, which see for
    what is raised.

    Returns
    -------
    path, results
        The file, or the newest of several.
    """
    from digitbench.bundle import Bundle
    from digitbench.measure import earlier_results
    from digitbench.records.results import Results

    path = results_file_of(source)
    newest = None if source is not None and source.is_file() else earlier_results.newest(Bundle(source))
    return newest or (path, Results.read(path))


def bundle_of(results_path: Path, results: Results, run: Path | None = None) -> Bundle:
    """Find the bundle that results are of: the one that holds their file, or `run`.

    Raises
    ------
    BundleError
        Their file lies in no bundle's folder, or it is no bundle, or another one.
    """
    from digitbench.bundle import MANIFEST, Bundle

    holders = (parent for parent in results_path.resolve().parents[:2] if (parent / MANIFEST).is_file())
    folder = run or next(holders, None)
    if folder is None:
        raise BundleError(f"{results_path} is not in its model's folder; name the model with --bundle")
    bundle = Bundle(folder)
    if results.bundle.get("reference_sha256") in (None, bundle.manifest.reference.sha256):
        return bundle
    reason = f"{bundle.path} is not the model that {results_path} was measured with"
    raise BundleError(f"--bundle {run}: {reason}" if run else reason)


def data_of(bundle: Bundle, results: Results, data: Path | None, progress: Progress) -> Dataset:
    """Load the dataset that results are of: the bundle's, or `data`.

    Raises
    ------
    DataError
        It can't be read, or is another.
    """
    from digitbench.commands.options import bundle_data

    digits = bundle_data(bundle, data, progress, allow_other_data=True)
    expected_fingerprint = results.bundle.get("dataset", {}).get("fingerprint")
    if expected_fingerprint in (None, digits.fingerprint):
        return digits
    expected_dataset = f"{results.bundle['dataset'].get('name')} [{expected_fingerprint}]"
    reason = f"the results are of {expected_dataset}, not of {digits.name} [{digits.fingerprint}]"
    raise DataError(f"--data {data}: {reason}" if data else f"{reason}; give its place with --data PATH")
