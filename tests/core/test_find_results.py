"""Saved results: which file is meant, and to which bundle and data it belongs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest

from core.helpers import Recorder
from core.rows import results_of, timed
from digitbench.bundle import Bundle
from digitbench.commands.find_results import bundle_of, data_of, results_file_of
from digitbench.errors import BundleError, DataError, ResultsError
from digitbench.records.results import Results
from digitbench.records.settings import Settings


@pytest.fixture
def bundle(tmp_path: Path, untrained: Bundle) -> Bundle:
    return copied(untrained, tmp_path)


def saved(bundle: Bundle, name: str, age: int = 0, text: str | None = None) -> Path:
    """Write timed results, or another text, to a file in a bundle's folder, as if that was `age` seconds ago."""
    path = bundle.path / "results" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(results_of(timed("numpy", 1, 9.0)).dumps() if text is None else text, encoding="utf-8")
    os.utime(path, (10**9 - age, 10**9 - age))
    return path


def results_like(bundle: Bundle, **changes: Any) -> Results:
    """Results that say they are of that bundle."""
    results = results_of()
    bundle_entry = {
        "reference_sha256": bundle.stored["reference"]["sha256"],
        "dataset": bundle.stored["dataset"],
        **changes,
    }
    return replace(results, bundle={**results.bundle, **bundle_entry})


# --- which are meant -----------------------------------------------------------------------------------------------


def test_a_file_is_meant_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    path.touch()
    assert results_file_of(path) == path


def test_of_a_bundle_the_newest_are_meant(bundle: Bundle) -> None:
    newest = saved(bundle, "a.json")
    saved(bundle, "b.json", age=60)
    (bundle.path / "results" / "z.png").touch()
    (bundle.path / "results" / "folder.json").mkdir()
    assert results_file_of(bundle.path) == newest
    last = saved(bundle, "c.json")
    assert results_file_of(bundle.path) == last  # of two as old, the last by name


@pytest.mark.parametrize("case", ["an evaluation", "failures", "a broken file"])
def test_the_newest_are_the_newest_in_which_something_was_timed(bundle: Bundle, case: str) -> None:
    results = results_of(timed("numpy", 1, 9.0))
    untimed = tuple(replace(row, latency_us=None, generations=()) for row in results.rows)
    text = {
        "an evaluation": replace(results, rows=untimed, settings=Settings()).dumps(),
        "failures": replace(results, rows=tuple(row.failed("it died") for row in untimed)).dumps(),
        "a broken file": "{",
    }[case]
    newest = saved(bundle, "a.json", text=text)
    assert results_file_of(bundle.path) == newest, "there is nothing else"
    earlier = saved(bundle, "b.json", age=60)
    saved(bundle, "c.json", age=120)
    assert results_file_of(bundle.path) == earlier


def test_without_a_name_those_of_runs_latest_are_meant(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle.path.parent)
    Path("runs").mkdir()
    Path("runs/latest").symlink_to(bundle.path)
    path = saved(bundle, "a.json")
    assert results_file_of(None).samefile(path)


def test_a_bundle_without_results_says_what_to_run(bundle: Bundle) -> None:
    with pytest.raises(ResultsError, match=f"holds no results yet; run: digitbench bench {bundle.path}$"):
        results_file_of(bundle.path)


def test_what_is_not_there_or_no_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="gone: no such results file or model"):
        results_file_of(tmp_path / "gone")
    with pytest.raises(BundleError, match="not a model's folder"):
        results_file_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError):
        results_file_of(None)


# --- of which bundle -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["results/a.json", "a.json"])
def test_results_in_a_bundles_folder_are_of_that_bundle(bundle: Bundle, name: str) -> None:
    assert bundle_of(bundle.path / name, results_like(bundle)).path.samefile(bundle.path)


def test_results_elsewhere_need_their_bundle_named(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "else" / "where" / "a.json"
    with pytest.raises(BundleError) as caught:
        bundle_of(path, results_like(bundle))
    assert str(caught.value) == f"{path} is not in its model's folder; name the model with --bundle"
    assert bundle_of(path, results_like(bundle), bundle.path).path == bundle.path


def test_another_bundle_is_refused(bundle: Bundle) -> None:
    path, results = bundle.path / "results" / "a.json", results_like(bundle, reference_sha256="another")
    with pytest.raises(BundleError, match=f"^{bundle.path} is not the model that {path} was measured with$"):
        bundle_of(path, results)
    with pytest.raises(BundleError, match=f"^--bundle {bundle.path}: .* is not the model that"):
        bundle_of(path, results, bundle.path)


def test_a_broken_bundle_is_refused(bundle: Bundle) -> None:
    path, results = bundle.path / "results" / "a.json", results_like(bundle)
    (bundle.path / "manifest.json").write_text("{", encoding="utf-8")
    for run in (None, bundle.path):
        with pytest.raises(BundleError, match="can't be read"):
            bundle_of(path, results, run)


# --- what they were measured on ------------------------------------------------------------------------------------


def test_the_data_are_those_of_the_bundle(bundle: Bundle) -> None:
    digits = data_of(bundle, results_like(bundle), None, Recorder())
    assert digits.fingerprint == bundle.dataset.fingerprint


def test_other_data_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    results = results_like(bundle, dataset={"name": "photos", "fingerprint": "0123"})
    with pytest.raises(DataError) as caught:
        data_of(bundle, results, None, Recorder())
    assert str(caught.value).startswith("the results are of photos [0123], not of digits [")
    assert str(caught.value).endswith("; give its place with --data PATH")
    path = tmp_path / "mine.npz"
    np.savez(path, x_test=np.zeros((3, 28, 28), np.uint8), y_test=np.arange(3))
    with pytest.raises(DataError, match=rf"^--data {path}: the results are of photos \[0123\], not of mine"):
        data_of(bundle, results, path, Recorder())


def test_data_that_are_gone_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    bundle.stored["dataset"] |= {"name": "mine.npz", "source": str(tmp_path / "mine.npz")}
    rewrite_manifest(bundle, bundle.stored)
    with pytest.raises(DataError, match="is gone"):
        data_of(bundle, results_like(bundle), None, Recorder())
    with pytest.raises(DataError, match=r"gone\.npz"):
        data_of(bundle, results_like(bundle), tmp_path / "gone.npz", Recorder())
