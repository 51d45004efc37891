"""`digitbench bench` when something dies, hangs, fills up or is stopped: the rest completes, and nothing is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished, complaint, environment, run_cli
from core.helpers import announce

from digitbench.bundle import Bundle
from journeys.helpers import first_on_path, interrupted

PLUGIN = """
    import os
    import signal
    import sys

    from digitbench_numpy import NumpyBackend


    class Quick(NumpyBackend):
        # Dies at batch size 8, and nowhere else.

        def predict(self, images):
            if len(images) == 8:
                self.die()
            return super().predict(images)

    class Killed(Quick):
        def die(self):
            os.kill(os.getpid(), signal.SIGKILL)


    class Crashed(Quick):
        def die(self):
            print("double free or corruption", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)


    class Stopped(Quick):
        def die(self):
            os.kill(os.getpid(), signal.SIGSTOP)


    class Filler(NumpyBackend):
        # From its second process on, the disk that the results are on is full.

        def __init__(self, artifact, *, threads):
            super().__init__(artifact, threads=threads)
            with open(os.environ["HOME"] + "/starts", "a") as starts:
                print("start", file=starts)
            if os.path.getsize(os.environ["HOME"] + "/starts") > 6:
                try:
                    with open(os.environ["HOME"] + "/full/filler", "wb", buffering=0) as filler:
                        while True:
                            filler.write(bytes(4096))
                except OSError:
                    pass
"""
NAMES = {"killed": "Killed", "crashed": "Crashed", "stopped": "Stopped", "filler": "Filler"}
SHORT = ("--seconds", "0.2", "--generations", "2")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which those backends are installed."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "doomed_plugin", PLUGIN, names=NAMES)
    return first_on_path(folder)


def is_complete(row: dict[str, Any], generations: int = 2) -> bool:
    """Whether a row has all its values, of all its generations."""
    seconds = [generation["seconds"] for generation in row.get("generations", ())]
    return len(seconds) == generations and min(seconds) >= 0.0999 and row["latency_us"]["n"] > 0


# --- workers -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deaths(
    tmp_path_factory: pytest.TempPathFactory, untrained: Bundle, site: dict[str, str]
) -> tuple[Finished, dict[str, Any]]:
    """One is killed, one crashes, one is stopped, and one is well."""
    folder = tmp_path_factory.mktemp("deaths")
    done = run_cli(
        "bench", untrained.path, "-b", "killed", "-b", "crashed", "-b", "stopped", "-b", "numpy", "--baseline", "numpy",
        "--batch-size", "1,8,32", *SHORT, "--timeout", "3", "--json", "found.json", cwd=folder, env=site,
    )  # fmt: skip
    return done, json.loads((folder / "found.json").read_text())


def test_deaths_are_exit_code_1_and_one_line(deaths: tuple[Finished, dict[str, Any]]) -> None:
    message = complaint(deaths[0], 1)
    assert message.startswith("3 of 12 rows failed: killed: the worker was killed by SIGKILL")
    assert deaths[1]["complete"] is True


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("killed", "the worker was killed by SIGKILL"),
        ("crashed", "the worker was killed by SIGSEGV; its last output: double free or corruption"),
        ("stopped", "the worker did not answer for 3 s and was killed; see --timeout"),
    ],
)
def test_a_death_is_told_in_its_own_row(deaths: tuple[Finished, dict[str, Any]], name: str, message: str) -> None:
    (row,) = (row for row in deaths[1]["rows"] if (row["backend"], row["batch_size"]) == (name, 8))
    assert row["error"] == message
    assert "latency_us" not in row
    assert row["accuracy"]["total"] > 0
    assert message in deaths[0].stdout


def test_all_other_rows_are_whole(deaths: tuple[Finished, dict[str, Any]]) -> None:
    """Of the same backends too: at the batch size before, and at the one after."""
    good = [row for row in deaths[1]["rows"] if row["batch_size"] != 8 or row["backend"] == "numpy"]
    assert len(good) == 9
    for row in good:
        assert "error" not in row
        assert is_complete(row), (row["backend"], row["batch_size"])
        assert all("ratio" in generation for generation in row["generations"])
    assert [len(floor["generations"]) for floor in deaths[1]["floors"]] == [2, 2, 2]


def test_a_baseline_that_dies_leaves_the_others_their_figures(
    tmp_path: Path, untrained: Bundle, site: dict[str, str]
) -> None:
    done = run_cli(
        "bench", untrained.path, "-b", "crashed", "-b", "numpy", "--baseline", "crashed", "--batch-size", "8", *SHORT,
        "--json", "found.json", cwd=tmp_path, env=site,
    )  # fmt: skip
    assert "1 of 2 rows failed: crashed: the worker was killed by SIGSEGV" in complaint(done, 1)
    crashed, numpy = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert "error" in crashed
    assert is_complete(numpy)


# --- a full disk ---------------------------------------------------------------------------------------------------


def saved_elsewhere(done: Finished, folder: Path) -> list[dict[str, Any]]:
    """The rows that were saved in the temporary folder, after checking that the user was told where."""
    message = complaint(done)
    match = re.search(r"saved as (\S+) instead$", message)
    assert match, message
    assert Path(match[1]).parent == folder / "tmp"
    results = json.loads(Path(match[1]).read_text())
    assert results["complete"] is True
    rows: list[dict[str, Any]] = results["rows"]
    return rows


@pytest.mark.slow
def test_a_disk_that_fills_up_meanwhile_costs_nothing_measured(
    tmp_path: Path, untrained: Bundle, site: dict[str, str]
) -> None:
    """A real one, if this system lets us mount a small one in a namespace of our own."""
    (tmp_path / "full").mkdir()
    (tmp_path / "tmp").mkdir()
    mount = "mount -t tmpfs -o size=256k tmpfs full"
    probe = ["unshare", "-rm", "sh", "-c", mount]
    try:
        subprocess.run(probe, cwd=tmp_path, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"no mount in a namespace here: {exc}")
    command = [
        sys.executable, "-m", "digitbench", "bench", str(untrained.path), "-b", "filler", "-b", "numpy", "--baseline",
        "numpy", "--batch-size", "32", *SHORT, "--json", "full/found.json",
    ]  # fmt: skip
    script = f'{mount}; "$@"; code=$?; cp full/found.json kept.json; ls -A full > left; exit $code'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *command],
        cwd=tmp_path, env={**environment(tmp_path, TMPDIR=str(tmp_path / "tmp")), **site}, capture_output=True,
        text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    rows = saved_elsewhere(done, tmp_path)
    assert "No space left on device" in done.stderr
    assert [row["backend"] for row in rows] == ["filler", "numpy"]
    assert all(is_complete(row) for row in rows)
    assert "top-1" in done.stdout, "the table is printed"
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["complete"] is False
    assert all(is_complete(row, 1) for row in kept["rows"]), "what was saved before is still whole"
    assert (tmp_path / "left").read_text().split() == ["filler", "found.json"]


WITHOUT_CACHE = {"PYTHONDONTWRITEBYTECODE": "1"}  # else Python would cache half a module where no file may grow


def limit_file_size(size: int) -> Callable[[], None]:
    """Make every write beyond `size` fail, as on a full disk, with EFBIG."""
    import resource

    def act() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return act


@pytest.mark.slow
def test_where_nothing_can_be_saved_the_table_is_still_printed(tmp_path: Path, untrained: Bundle) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "digitbench", "bench", str(untrained.path), "-b", "numpy", "--batch-size", "1,8",
         "--limit", "1", *SHORT, "--json", "found.json"],
        cwd=tmp_path, env=environment(tmp_path, TMPDIR=str(tmp_path), **WITHOUT_CACHE), capture_output=True,
        text=True, encoding="utf-8", timeout=120, preexec_fn=limit_file_size(4000),
    )  # fmt: skip
    message = complaint(done)
    assert message.startswith("found.json: can't be written: File too large")
    assert done.stdout.count("NumPy") == 2
    assert not (tmp_path / "found.json").exists()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_temporary_folder_too_small_for_the_images_is_one_line(tmp_path: Path, untrained: Bundle) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "digitbench", "bench", str(untrained.path), "-b", "numpy", "--json", "found.json"],
        cwd=tmp_path, env=environment(tmp_path, TMPDIR=str(tmp_path), **WITHOUT_CACHE), capture_output=True,
        text=True, encoding="utf-8", timeout=120, preexec_fn=limit_file_size(100_000),
    )  # fmt: skip
    assert f"{tmp_path}: can't hold the test images (1 MB): " in complaint(done)
    assert "TMPDIR" in complaint(done)
    assert list(tmp_path.iterdir()) == []


# --- Ctrl-C --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole_group", [True, False], ids=["as a terminal does", "to the command alone"])
def test_ctrl_c_saves_and_prints_what_was_measured(tmp_path: Path, untrained: Bundle, whole_group: bool) -> None:
    done = interrupted(
        "bench", untrained.path, "-b", "numpy", "--batch-size", "1", "--seconds", "3", "--generations", "4",
        "--json", "found.json", cwd=tmp_path, trigger="generation 1 of 4, batch", whole_group=whole_group,
    )  # fmt: skip
    assert complaint(done, 130)
    assert done.stderr.count("\n") == 1
    results = json.loads((tmp_path / "found.json").read_text())
    assert results["complete"] is False
    (row,) = results["rows"]
    assert "error" not in row, "a worker that Ctrl-C ended is no failure"
    assert row["generations"][0]["seconds"] >= 0.7499
    assert len(row["generations"]) <= 2
    assert "Stopped early" in done.stdout
    assert "digitbench bench --resume found.json" in done.stdout
    assert sorted(os.listdir(tmp_path)) == ["found.json"], "the workers' folder is gone"
