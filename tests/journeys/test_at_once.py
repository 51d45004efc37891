"""Several commands at the same time, with the same targets: nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import complaint, environment, run_cli

from digitbench.bundle import Bundle
from digitbench.records.results import Results
from journeys.helpers import contents, copied, interrupted

QUICK = ("-b", "numpy", "--batch-size", "1", "--seconds", "0.1", "--generations", "1")
TINY = ("train", "--dataset", "digits", "--hidden", "8", "--epochs", "1", "--no-export", "--no-plots")


def at_once(folder: Path, *commands: Sequence[object]) -> list[str]:
    """Start commands together; give what each printed, after all have ended well."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "digitbench", *map(str, command)], cwd=folder, env=environment(folder),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        )
        for command in commands
    ]  # fmt: skip
    printed = [process.communicate(timeout=240)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), printed
    return printed


@pytest.mark.slow
def test_trainings_get_a_bundle_each(tmp_path: Path) -> None:
    printed = at_once(tmp_path, *[(*TINY, "--seed", seed) for seed in range(3)])
    assert {Bundle(path).stored["recipe"]["seed"] for path in (tmp_path / "runs").glob("dense*")} == {0, 1, 2}
    for text in printed:
        name = text.splitlines()[-2].partition(":")[0]
        assert Bundle(tmp_path / name).artifacts
    assert Bundle(tmp_path / "runs" / "latest")
    assert not list((tmp_path / "runs").glob(".*"))


@pytest.mark.slow
def test_a_training_puts_its_bundle_beside_what_came_meanwhile(tmp_path: Path, trained: Bundle) -> None:
    command = [sys.executable, "-m", "digitbench", *TINY, "--output", "mine"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as done:
        assert done.stdout
        printed = [done.stdout.readline()]
        assert (tmp_path / "mine").is_dir(), "it is claimed before the long work"
        (tmp_path / "mine").rmdir()
        shutil.copytree(trained.path, tmp_path / "mine")
        before = contents(tmp_path / "mine")
        printed += done.stdout.readlines()
    assert done.returncode == 0
    assert "mine was taken meanwhile; the model is in mine-2\n" in printed
    assert contents(tmp_path / "mine") == before
    assert Bundle(tmp_path / "mine-2").stored["recipe"]["hidden"] == [8]
    assert os.readlink(tmp_path / "runs" / "latest") == "../mine-2"


@pytest.mark.slow
def test_exports_of_one_bundle_are_all_recorded(tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    manifest = {**bundle.stored, "artifacts": bundle.stored["artifacts"][:1]}
    (bundle.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    shutil.rmtree(bundle.path / "artifacts")
    formats = ("savedmodel,npz", "npz,savedmodel", "tflite", "savedmodel")
    at_once(tmp_path, *[("export", bundle.path, "-f", names, "-p", "fp32") for names in formats])
    exported = Bundle(bundle.path)
    assert {artifact.format for artifact in exported.artifacts} == {"keras", "savedmodel", "npz", "tflite"}
    for artifact in exported.artifacts:
        assert exported.open(artifact), "the file is the one that was recorded"
    assert not list(bundle.path.rglob(".*"))


@pytest.mark.slow
def test_benches_that_name_no_file_save_one_each(tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    printed = at_once(tmp_path, *[("bench", bundle.path, *QUICK)] * 3)
    files = list((bundle.path / "results").iterdir())
    assert all(Results.read(path).complete for path in files)
    assert len(files) == 3
    assert {path.name for path in files} == {Path(text.split("Saved as ")[1].splitlines()[0]).name for text in printed}


@pytest.mark.slow
def test_benches_that_name_one_file_lose_no_results(tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    for existing in (0, 2):
        printed = at_once(tmp_path, *[("bench", bundle.path, *QUICK, "--json", "found.json")] * 2)
        saved = [Results.read(path) for path in tmp_path.glob("found*.json")]
        assert len(saved) == (2 if not existing else 3), "what is there is replaced once"
        assert all(results.complete for results in saved)
        assert sum("by another run meanwhile" in text for text in printed) == 1
    assert not (bundle.path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "trigger", ["generation 1 of 4, batch 1", pytest.param("generation 2 of 4, batch 8", marks=pytest.mark.slow)]
)
def test_ctrl_c_leaves_complete_results_as_they_are(tmp_path: Path, untrained: Bundle, trigger: str) -> None:
    bundle = copied(untrained, tmp_path)
    arguments = ("bench", bundle.path, "-b", "numpy", "--json", "found.json")
    assert run_cli(*arguments, *QUICK[2:], cwd=tmp_path).returncode == 0
    before = (tmp_path / "found.json").read_bytes()
    longer = ("--batch-size", "1,8", "--seconds", "0.8", "--generations", "4")
    done = interrupted(*arguments, *longer, cwd=tmp_path, trigger=trigger)
    assert complaint(done, 130)
    assert (tmp_path / "found.json").read_bytes() == before
    partial = tmp_path / "found.partial.json"
    assert Results.read(partial).complete is False
    assert (
        "Saved as found.partial.json (found.json is unchanged); continue with: digitbench bench --resume" in done.stdout
    )
    resumed = run_cli("bench", bundle.path, "--resume", partial, "--json", "found.json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert Results.read(tmp_path / "found.json").complete
    assert (tmp_path / "found.json").read_bytes() != before
