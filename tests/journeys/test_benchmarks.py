"""`pytest benchmarks`, as a user runs it: pytest-benchmark's report carries accuracy beside latency."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Finished, environment
from contract.makers import MAKERS, MadeModel

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.commands.renamed import PYTEST_OPTIONS
from digitbench.importing import import_model
from journeys.helpers import artifact_of, copied, rewrite_manifest

ROOT = Path(__file__).parents[2]
OPENED = {("numpy", "fp32"), ("onnx", "fp32"), ("onnx", "int8")}
QUICK = ("--benchmark-max-time", "0.01", "--benchmark-min-rounds", "2", "-p", "no:cacheprovider")


def benchmarks(home: Path, *options: object) -> Finished:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks", *QUICK, *map(str, options)],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.fixture(scope="module")
def report(trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    home = tmp_path_factory.mktemp("benchmarks")
    done = benchmarks(
        home, "--bundle", trained.path, "--backend", "numpy,onnx", "--precision", "int8,fp32", "--batch-size", "1,8",
        "--benchmark-json", home / "found.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done, home / "found.json"


def test_each_entry_carries_accuracy_beside_latency(report: tuple[Finished, Path], trained: Bundle) -> None:
    entries = json.loads(report[1].read_text())["benchmarks"]
    predicting = [entry for entry in entries if entry["group"].startswith("predict, batch size")]
    facts_of = [entry["extra_info"] for entry in predicting]
    assert sorted((facts["backend"], facts["precision"], facts["batch_size"]) for facts in facts_of) == sorted(
        (*opened, size) for opened in OPENED for size in (1, 8)
    )
    for entry, facts in zip(predicting, facts_of, strict=True):
        artifact = artifact_of(trained, facts["backend"], facts["precision"])
        assert entry["group"] == f"predict, batch size {facts['batch_size']}"
        assert facts["flips"] == artifact.flips
        assert facts["top1"] == pytest.approx(trained.stored["metrics"]["test_accuracy"] - artifact.accuracy_drop)
        assert facts["threads"] == 1
        assert facts["runtime"]
        assert facts["version"]
        assert facts["artifact_bytes"] == artifact.bytes
        assert facts["images_per_second"] == pytest.approx(facts["batch_size"] / entry["stats"]["mean"])


def test_loading_and_the_first_prediction_have_groups_of_their_own(report: tuple[Finished, Path]) -> None:
    entries = json.loads(report[1].read_text())["benchmarks"]
    for group in ("load", "first prediction"):
        facts_of = [entry["extra_info"] for entry in entries if entry["group"] == group]
        assert {(facts["backend"], facts["precision"]) for facts in facts_of} == OPENED


def test_the_summary_shows_accuracy_and_latency_side_by_side(report: tuple[Finished, Path], trained: Bundle) -> None:
    _, _, summary = report[0].stdout.partition("accuracy and latency")
    share = f"{trained.stored['metrics']['test_accuracy']:.2%}"
    rows = [line.split() for line in summary.splitlines() if line.startswith(("numpy ", "onnx "))]
    assert {(row[0], row[1]) for row in rows} == OPENED
    assert len(rows) == 2 * len(OPENED)
    assert all(share in row for row in rows if row[1] == "fp32")
    for row in rows:
        batch_size, median, rate = (float(row[place].replace(",", "")) for place in (-5, -2, -1))
        assert rate == pytest.approx(batch_size * 1e6 / median, rel=0.02), "of the median that stands beside it"


def test_pytest_benchmark_compares_such_reports(report: tuple[Finished, Path]) -> None:
    compared = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", report[1]], capture_output=True, text=True, cwd=ROOT
    )
    assert compared.returncode == 0, compared.stderr
    assert "test_predict[onnx-fp32-threads1-batch8]" in compared.stdout
    assert "test_predict[onnx-int8-threads1-batch8]" in compared.stdout


PARAMETERS = ("backend", "precision", "threads", "batch_size")


def test_every_entry_has_the_same_parameters(report: tuple[Finished, Path]) -> None:
    entries = json.loads(report[1].read_text())["benchmarks"]
    predicted = {
        tuple(entry["params"][name] for name in PARAMETERS) for entry in entries if "predict[" in entry["name"]
    }
    assert predicted == {(*opened, 1, size) for opened in OPENED for size in (1, 8)}
    assert {tuple(entry["params"]) for entry in entries} == {PARAMETERS}
    assert any("test_prepare" in entry["name"] for entry in entries)


@pytest.mark.parametrize("name", PARAMETERS)
def test_reports_are_grouped_by_each_parameter(report: tuple[Finished, Path], name: str) -> None:
    compared = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", report[1], f"--group-by=param:{name}"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert compared.returncode == 0, compared.stderr
    last = {"backend": "onnx", "precision": "int8", "threads": "1", "batch_size": "8"}[name]
    assert f"benchmark '{name}={last}'" in compared.stdout


def test_the_suite_groups_and_selects_by_parts_of_its_ids(trained: Bundle, tmp_path: Path) -> None:
    done = benchmarks(
        tmp_path, "--bundle", trained.path, "--batch-size", "1,32",
        "-k", "onnx and int8", "--benchmark-group-by=param:backend,param:batch_size", "-v",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ran = {line.split("::")[1].split()[0] for line in done.stdout.splitlines() if "PASSED" in line}
    assert ran == {
        "test_load[onnx-int8-threads1]", "test_first_prediction[onnx-int8-threads1-batch1]",
        "test_predict[onnx-int8-threads1-batch1]", "test_predict[onnx-int8-threads1-batch32]",
    }  # fmt: skip
    assert "benchmark 'backend=onnx batch_size=32': 1 tests" in done.stdout


@pytest.fixture(
    scope="module",
    params=[
        "onnx-zoo-nchw-0..255-logits-opset8-batch1",
        pytest.param("onnx-quantised-nchw-mean-std-inverted-logits", marks=pytest.mark.slow),
    ],
)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeModel, Bundle]:
    """A model that somebody else made: 0 to 255 and one image a call; or int8, black on white."""
    folder = tmp_path_factory.mktemp("imported")
    model = MAKERS[request.param](folder)
    return model, import_model(model.path, data.load("digits"), folder / "bundle")


@pytest.mark.slow
def test_an_imported_model_is_given_images_in_its_own_form(imported: tuple[MadeModel, Bundle], tmp_path: Path) -> None:
    model, bundle = imported
    done = benchmarks(
        tmp_path, "--bundle", bundle.path, "--batch-size", "1,4", "--benchmark-json", tmp_path / "found.json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    entries = json.loads((tmp_path / "found.json").read_text())["benchmarks"]
    extras = [entry["extra_info"] for entry in entries if "top1" in entry["extra_info"]]
    opening = {"onnx", "openvino", *(["tract"] if not bundle.attempts["tract"].why else [])}
    assert {entry["backend"] for entry in extras} == opening
    assert {entry["precision"] for entry in extras} == {bundle.artifacts[0].precision}
    for extra in extras:
        if extra["backend"] == "onnx":
            assert (extra["top1"], extra["flips"], extra["reference"]) == (model.accuracy, 0, "onnx")
        assert extra["top1"] == pytest.approx(model.accuracy, abs=0.01)
    fixed = bundle.model_io.batch
    sizes = {entry["batch_size"] for entry in extras}
    assert sizes == {None, 1} if fixed else {None, 1, 4}
    assert ("left out: onnx-fp32-threads1-batch4: n/a (fixed batch 1)" in done.stdout) is (fixed == 1)
    (rest,) = [line for line in done.stdout.splitlines() if line.startswith("left out: ") and "holds nothing" in line]
    names = rest.removeprefix("left out: ").removesuffix(": the bundle holds nothing that they open").split(", ")
    assert {"keras", "numpy", "savedmodel", "tflite"} <= {*names}
    assert not opening & {*names}


def test_a_named_backend_without_artifact_is_told_in_a_line(imported: tuple[MadeModel, Bundle], tmp_path: Path) -> None:
    done = benchmarks(tmp_path, "--bundle", imported[1].path, "--backend", "tflite")
    assert done.returncode == 4, done.stdout
    assert re.search(r"ERROR: .* has no \S+ artifact of format 'tflite'", done.stderr)
    assert "Traceback" not in done.stdout + done.stderr


def test_batch_sizes_that_a_model_never_takes_are_told_with_the_one_that_it_does(
    imported: tuple[MadeModel, Bundle], tmp_path: Path
) -> None:
    if imported[1].model_io.batch:
        done = benchmarks(tmp_path, "--bundle", imported[1].path, "--batch-size", "32,256")
        assert done.returncode == 4, done.stdout
        assert "ERROR: nothing to measure: n/a (fixed batch 1); give --batch-size 1\n" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backend", "onx"), "unknown backend 'onx': did you mean 'onnx'?"),
        (("--batch-size", "0"), "--batch-size 0: 0 is not 1 or more"),
        (("--threads", "1,2"), "--threads 1,2: all runtimes are in one process here; give one number"),
        (("--precision", "int4"), "unknown precision 'int4': did you mean 'int8'?"),
        (("--bundle", "nowhere"), "nowhere: no such model"),
    ],
)
def test_bad_options_are_told_in_a_line(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    done = benchmarks(tmp_path, *options)
    assert done.returncode == 4, done.stdout
    assert f"ERROR: {message}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("old", "value", "message"), [
    ("--backends", "onx", "unknown backend 'onx'"), ("--precisions", "int4", "unknown precision 'int4'"),
    ("--batch-sizes", "0", "--batch-size 0: 0 is not"),
])  # fmt: skip
def test_an_old_option_prints_the_new_one(tmp_path: Path, old: str, value: str, message: str) -> None:
    done = benchmarks(tmp_path, old, value)
    assert f"note: `{old}` is now `{PYTEST_OPTIONS[old]}`; " in done.stderr
    assert f"ERROR: {message}" in done.stderr


def test_each_old_option_of_the_suite_is_tried() -> None:
    assert list(PYTEST_OPTIONS) == ["--backends", "--precisions", "--batch-sizes"]


def test_a_run_without_a_bundle_or_a_place_for_one_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = benchmarks(tmp_path)
    assert done.returncode == 2, done.stdout
    assert (
        "no --bundle given, and pytest's cache, where one would be trained, is off; give --bundle MODEL" in done.stdout
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "conftest.py" not in done.stdout


@pytest.mark.slow
def test_data_that_is_not_at_hand_is_told_in_a_line(trained: Bundle, tmp_path: Path) -> None:
    bundle = copied(trained, tmp_path)
    rewrite_manifest(bundle, {**bundle.stored, "dataset": {**bundle.stored["dataset"], "fingerprint": "another"}})
    done = benchmarks(tmp_path, "--bundle", bundle.path, "--backend", "numpy", "benchmarks/test_runtimes.py")
    assert done.returncode == 4, done.stdout
    assert "but the data at hand is digits" in done.stdout + done.stderr
    assert "conftest.py" not in done.stdout
