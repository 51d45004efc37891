"""`digitbench bench --resume`: only what is missing is measured."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Finished, complaint, run_cli
from core.helpers import announce

from digitbench.bundle import Bundle
from journeys.helpers import copied, first_on_path, interrupted, rewrite_manifest

PLUGIN = """
    import os

    from digitbench_numpy import NumpyBackend


    class Noted(NumpyBackend):
        # Notes each of its starts, and can't start at all where HOME holds a file of its name.

        def __init__(self, artifact, *, threads):
            super().__init__(artifact, threads=threads)
            name = type(self).__name__.lower()
            with open(os.environ["HOME"] + "/starts", "a") as starts:
                print(name, file=starts)
            if os.path.exists(os.environ["HOME"] + "/" + name):
                os._exit(9)


    class Other(Noted):
        pass
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which they are installed."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "noted_plugin", PLUGIN, names={"noted": "Noted", "other": "Other"})
    return first_on_path(folder)


def starts(folder: Path) -> Counter[str]:
    """How often each was started since last asked."""
    file = folder / "starts"
    counts = Counter(file.read_text().split()) if file.exists() else Counter[str]()
    file.unlink(missing_ok=True)
    return counts


def results_of(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return results


def generations(results: dict[str, Any]) -> dict[tuple[str, int], list[Any]]:
    return {(row["backend"], row["batch_size"]): row.get("generations", []) for row in results["rows"]}


def test_a_run_stopped_by_ctrl_c_is_completed(
    tmp_path: Path, cli: Cli, untrained: Bundle, site: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in site.items():
        monkeypatch.setenv(name, value)
    done = interrupted(
        "bench", untrained.path, "-b", "noted", "-b", "other", "--baseline", "noted", "--batch-size", "1,8",
        "--seconds", "0.4", "--generations", "2", "--json", "found.json", cwd=tmp_path,
        trigger="generation 2 of 2, batch 1",
    )  # fmt: skip
    assert complaint(done, 130)
    before = results_of(tmp_path)
    assert before["complete"] is False
    assert starts(tmp_path) == {"noted": 4, "other": 2}

    done = cli("bench", untrained.path, "--resume", "found.json", env=site)
    assert done.returncode == 0, done.stderr
    after = results_of(tmp_path)
    assert after["complete"] is True
    assert starts(tmp_path) == {"noted": 2, "other": 1}, "one generation of both, and of the baseline's twin"
    assert {key: [generation["index"] for generation in measured] for key, measured in generations(after).items()} == {
        (name, size): [0, 1] for name in ("noted", "other") for size in (1, 8)
    }
    for key, measured in generations(before).items():
        if key[1] == 1:
            assert generations(after)[key] == measured, "what was whole is as it was"
    assert all(generation["seconds"] >= 0.1999 for measured in generations(after).values() for generation in measured)
    assert [len(floor["generations"]) for floor in after["floors"]] == [2, 2]
    assert all("ledger" in row for row in after["rows"])

    again = cli("bench", untrained.path, "--resume", "found.json", env=site)
    assert again.returncode == 0, again.stderr
    assert starts(tmp_path) == {}
    last = results_of(tmp_path)
    assert (last["rows"], last["floors"]) == (after["rows"], after["floors"])
    assert last["settings"]["baseline"] == ["noted", "fp32"]


def test_a_run_stopped_before_anything_was_measured_is_completed(tmp_path: Path, cli: Cli, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("bench", bundle.path, "-b", "numpy", "--baseline", "numpy", "--batch-size", "1", "--seconds", "0.1",
               "--generations", "1", "--json", "found.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = results_of(tmp_path)
    results["settings"]["baseline"] = "numpy"  # as asked for: nobody was chosen yet
    results["complete"], results["floors"] = False, []
    results["rows"] = [{key: results["rows"][0][key] for key in ("backend", "precision", "threads", "batch_size")}]
    (tmp_path / "found.json").write_text(json.dumps(results))
    done = cli("bench", bundle.path, "--resume", "found.json")
    assert done.returncode == 0, done.stderr
    assert results_of(tmp_path)["complete"] is True


@pytest.mark.slow
def test_failed_rows_are_tried_again_and_the_rest_is_left_alone(
    tmp_path: Path, cli: Cli, untrained: Bundle, site: dict[str, str]
) -> None:
    (tmp_path / "other").write_text("it shall not start")
    arguments = ("-b", "noted", "-b", "other", "--batch-size", "8", "--seconds", "0.1", "--generations", "2")
    done = cli("bench", untrained.path, *arguments, "--json", "found.json", env=site)
    assert "other: the worker ended with exit code 9" in complaint(done, 1)
    before = results_of(tmp_path)
    (tmp_path / "other").unlink()
    starts(tmp_path)

    done = cli("bench", untrained.path, "--resume", "found.json", env=site)
    assert done.returncode == 0, done.stderr
    after = results_of(tmp_path)
    assert starts(tmp_path)["other"] == 2
    assert generations(after)["noted", 8] == generations(before)["noted", 8]
    assert [("error" in row, len(row["generations"])) for row in after["rows"]] == [(False, 2)] * 2
    assert all(generation.get("ratio") for generation in generations(after)["other", 8])


@pytest.mark.slow
def test_each_backend_goes_on_in_the_precisions_that_it_had(tmp_path: Path, cli: Cli, trained: Bundle) -> None:
    """Which aren't the same for all: an export may have been refused."""
    bundle = copied(trained, tmp_path)
    held = {("npz", "fp32"), ("onnx", "fp32"), ("tflite", "int8")}
    kept = [artifact for artifact in bundle.stored["artifacts"] if (artifact["format"], artifact["precision"]) in held]
    rewrite_manifest(bundle, {**bundle.stored, "artifacts": kept})
    done = cli("bench", bundle.path, "-b", "numpy", "-b", "onnx", "-b", "tflite", "--baseline", "tflite:int8",
               "--batch-size", "8", "--seconds", "0.2", "--generations", "2", "--json", "found.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    before = results_of(tmp_path)
    assert [(row["backend"], row["precision"]) for row in before["rows"]] == [
        ("numpy", "fp32"), ("onnx", "fp32"), ("tflite", "int8"),
    ]  # fmt: skip
    before["complete"] = False
    for row in before["rows"]:
        del row["generations"][1]
    (tmp_path / "found.json").write_text(json.dumps(before))

    done = cli("bench", bundle.path, "--resume", "found.json")
    assert done.returncode == 0, done.stderr
    after = results_of(tmp_path)
    assert after["complete"] is True
    assert after["settings"]["baseline"] == ["tflite", "int8"]
    for row, old_row in zip(after["rows"], before["rows"], strict=True):
        assert (row["backend"], row["precision"]) == (old_row["backend"], old_row["precision"])
        assert len(row["generations"]) == 2
        assert row["generations"][0] == old_row["generations"][0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, untrained: Bundle) -> tuple[Path, Finished]:
    """A folder with a bundle in ``runs`` and results of it."""
    folder = tmp_path_factory.mktemp("finished")
    bundle = copied(untrained, folder)
    done = run_cli("bench", bundle.path, "-b", "numpy", "--batch-size", "8", "--seconds", "0.05", "--generations", "1",
                   "--json", "found.json", cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--seconds", "9"], "--resume takes --seconds from the file; leave it out"),
        (["--backend", "numpy"], "--resume takes --backend from the file"),
        (["--quick"], "--resume takes --quick"),
        (["--seed", "1", "--threads", "2"], "--resume takes --seed, --threads from the file"),
    ],
    ids=" ".join,
)
def test_what_the_file_says_is_not_asked_again(
    cli: Cli, untrained: Bundle, finished: tuple[Path, Finished], option: list[str], message: str
) -> None:
    done = cli("bench", untrained.path, "--resume", finished[0] / "found.json", *option)
    assert message in complaint(done)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda results: results["machine"].update(cpu="Z80"), "cpu was Z80 and is"),
        (lambda results: results["bundle"].update(reference_sha256="ab"), "reference_sha256 was ab"),
        (lambda results: results.update(settings={}), "hold no timed rows of this version"),
        (
            lambda results: results.update(schema="digitbench.results/99"),
            "its schema is 'digitbench.results/99'",
        ),
    ],
    ids=["another machine", "another bundle", "an evaluation", "a newer version"],
)
def test_results_of_something_else_are_refused_and_left_alone(
    tmp_path: Path, cli: Cli, untrained: Bundle, finished: tuple[Path, Finished], change: Any, message: str
) -> None:
    shutil.copy(finished[0] / "found.json", tmp_path / "other.json")
    results = json.loads((tmp_path / "other.json").read_text())
    change(results)
    (tmp_path / "other.json").write_text(json.dumps(results))
    done = cli("bench", untrained.path, "--resume", "other.json")
    assert message in complaint(done)
    assert json.loads((tmp_path / "other.json").read_text()) == results
