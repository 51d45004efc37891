"""Results are saved, and no results that are worth more are lost by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from core.helpers import Recorder, one_printable_line
from core.test_outputs import RESULTS, TIMED
from digitbench.commands import saving
from digitbench.commands.outputs import Outputs
from digitbench.commands.saving import Saver, worth
from digitbench.errors import UsageError
from digitbench.records.results import Accuracy, Results, Row
from digitbench.records.settings import Settings
from digitbench.report import pytest_benchmark, tables

NOTHING = replace(RESULTS, rows=(Row("numpy", "fp32", 1, 1, error="it died"),), digitbench="nothing timed")
NEW = replace(RESULTS, created="2026-11-22T00:00:00+00:00", digitbench="new")


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def partial(results: Results = NEW, generations: int = 1) -> Results:
    """The results of a run that isn't complete, with so many timed generations."""
    rows = (replace(results.rows[0], generations=(TIMED,) * generations),)
    return replace(results, rows=rows, complete=False, digitbench=f"partial {generations}")


def write(path: str, results: Results) -> Path:
    Path(path).write_text(results.dumps(), encoding="utf-8")
    return Path(path)


def saved() -> dict[str, str]:
    """Each file in this folder, hidden ones too, with the name of the results that it holds."""
    return {path.name: Results.read(path).digitbench for path in Path().iterdir()}


def keep(saver: Saver, results: Results) -> None:
    saver.keep(results, Recorder())


# --- a new file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_results_are_saved_while_they_come_in_and_in_the_end(named: bool) -> None:
    saver = Saver(Path("found.json"), named=named)
    keep(saver, partial(generations=0))
    assert saved() == {}, "nothing was timed yet"
    keep(saver, partial())
    assert saved() == {"found.json": "partial 1"}
    saver.finish(NEW)
    assert saved() == {"found.json": "new"}
    assert str(saver) == "Saved as found.json"


@pytest.mark.parametrize("named", [True, False])
def test_a_run_that_timed_nothing_leaves_no_file(named: bool) -> None:
    saver = Saver(Path("found.json"), named=named)
    keep(saver, partial(generations=0))
    saver.finish(partial(generations=0))
    assert (saved(), str(saver)) == ({}, "")


def test_a_whole_run_of_failures_is_saved_only_where_a_person_named_a_file() -> None:
    Saver(Path("default.json")).finish(NOTHING)
    Saver(Path("named.json"), named=True).finish(NOTHING)
    assert saved() == {"named.json": "nothing timed"}


@pytest.mark.parametrize("named", [True, False])
def test_two_runs_of_one_new_file_both_keep_their_results(named: bool) -> None:
    first, second = (Saver(Path("found.json"), named=named) for _ in range(2))
    keep(first, partial(RESULTS))
    keep(second, partial(generations=2))
    assert saved() == {"found.json": "partial 1", "found-2.json": "partial 2"}
    second.finish(NEW)
    first.finish(RESULTS)
    assert saved() == {"found.json": "0.1.0", "found-2.json": "new"}
    note = " (found.json was written by another run meanwhile)" if named else ""
    assert str(second) == f"Saved as found-2.json{note}"


def test_a_partial_that_a_whole_run_replaced_stays_replaced() -> None:
    first = Saver(Path("found.json"), named=True)
    keep(first, partial(RESULTS))
    second = Saver(Path("found.json"), named=True)
    second.finish(NEW)
    assert saved() == {"found.json": "new"}, "what is complete betters what isn't"
    keep(first, partial(RESULTS, 2))
    assert saved() == {"found.json": "new", "found-2.json": "partial 2"}
    first.finish(RESULTS)
    assert saved() == {"found.json": "new", "found-2.json": "0.1.0"}
    assert str(first) == "Saved as found-2.json (found.json was written by another run meanwhile)"


def test_a_full_disk_ends_nothing_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    saver, progress = Saver(Path("found.json"), named=True), Recorder()
    saver.keep(partial(), progress)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        for _ in range(2):
            saver.keep(partial(generations=2), progress)
    assert progress.lines == ["found.json: can't be written: No space left on device"]
    assert saved() == {"found.json": "partial 1"}
    saver.finish(NEW)
    assert saved() == {"found.json": "new"}


def test_many_at_once_lose_nothing() -> None:
    count = 8
    barrier = Barrier(count)

    def run(number: int) -> None:
        saver = Saver(Path("found.json"))
        barrier.wait()
        saver.finish(replace(NEW, digitbench=str(number)))

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))
    assert sorted(saved().values()) == [str(number) for number in range(count)]


def test_a_default_file_that_is_there_is_never_replaced() -> None:
    write("found.json", RESULTS)
    saver = Saver(Path("found.json"))
    saver.finish(NEW)
    assert saved() == {"found.json": "0.1.0", "found-2.json": "new"}


# --- a file that is there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generations", [0, 1, 5])
def test_complete_results_are_not_replaced_by_incomplete_ones(generations: int) -> None:
    write("found.json", RESULTS)
    saver = Saver(Path("found.json"), named=True)
    keep(saver, partial(generations=generations))
    saver.finish(partial(generations=generations))
    partial_file = {"found.partial.json": f"partial {generations}"} if generations else {}
    assert saved() == {"found.json": "0.1.0", **partial_file}
    assert str(saver) == ("Saved as found.partial.json (found.json is unchanged)" if generations else "")


def test_complete_results_replace_what_was_there_in_the_end_alone() -> None:
    write("found.json", RESULTS)
    saver = Saver(Path("found.json"), named=True)
    keep(saver, partial())
    assert saved() == {"found.json": "0.1.0", "found.partial.json": "partial 1"}
    saver.finish(NEW)
    assert saved() == {"found.json": "new"}
    assert str(saver) == "Saved as found.json"


def test_a_run_that_timed_nothing_replaces_nothing_that_did() -> None:
    write("found.json", RESULTS)
    saver = Saver(Path("found.json"), named=True)
    saver.finish(NOTHING)
    assert saved() == {"found.json": "0.1.0"}
    assert str(saver) == "Not saved: nothing was timed: found.json is unchanged"


def test_what_was_written_when_ctrl_c_came_is_this_runs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    write("found.json", RESULTS)
    saver = Saver(Path("found.json"), named=True)
    keep(saver, partial())
    original = saving.write_text

    def interrupted(target: Path, text: str) -> None:
        original(target, text)
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keep(saver, partial(generations=2))
    monkeypatch.setattr(saving, "write_text", original)
    saver.finish(partial(generations=3))
    assert saved() == {"found.json": "0.1.0", "found.partial.json": "partial 3"}


def test_an_evaluation_replaces_no_times() -> None:
    """It is complete, but holds less."""
    write("found.json", RESULTS)
    accuracy = Accuracy(1.0, 1, 1, (0.2, 1.0))
    evaluation = replace(NEW, settings=Settings(), rows=(Row("numpy", "fp32", None, 1, accuracy=accuracy),))
    assert worth(evaluation)
    saver = Saver(Path("found.json"), named=True)
    saver.finish(evaluation)
    assert saved() == {"found.json": "0.1.0", "found-2.json": "new"}
    assert str(saver) == "Saved as found-2.json (found.json holds times, and is unchanged)"
    saver = Saver(Path("found-2.json"), named=True)
    saver.finish(RESULTS)
    assert saved()["found-2.json"] == "0.1.0", "times better an evaluation"


def test_failures_replace_failures() -> None:
    write("found.json", NOTHING)
    Saver(Path("found.json"), named=True).finish(replace(NOTHING, digitbench="again"))
    assert saved() == {"found.json": "again"}


@pytest.mark.parametrize(
    ("before", "after", "replaced"),
    [
        (partial(generations=2), partial(generations=3), True),
        (partial(generations=2), partial(generations=1), False),
        (partial(RESULTS, 2), partial(NEW, 3), False),
    ],
    ids=["it has more", "it has less", "of another run"],
)
def test_a_partial_is_replaced_by_one_that_goes_on_from_it_alone(
    before: Results, after: Results, replaced: bool
) -> None:
    write("found.json", before)
    saver = Saver(Path("found.json"), named=True)
    saver.finish(after)
    both_files = {"found.json": before.digitbench, "found.partial.json": after.digitbench}
    assert saved() == ({"found.json": after.digitbench} if replaced else both_files)


def test_partials_of_two_runs_lie_beside_each_other() -> None:
    write("found.json", RESULTS)
    for generations in (1, 2):
        Saver(Path("found.json"), named=True).finish(partial(generations=generations))
    assert saved() == {
        "found.json": "0.1.0", "found.partial.json": "partial 1", "found.partial-2.json": "partial 2",
    }  # fmt: skip


def test_a_file_that_changed_meanwhile_stays() -> None:
    write("found.json", RESULTS)
    first, second = (Saver(Path("found.json"), named=True) for _ in range(2))
    keep(second, partial())
    first.finish(replace(NEW, digitbench="first"))
    second.finish(replace(NEW, digitbench="second"))
    assert saved() == {"found.json": "first", "found-2.json": "second"}
    assert str(second) == "Saved as found-2.json (found.json was changed by another run meanwhile)"


@pytest.mark.parametrize("text", ["", '{"schema": "digitbench.results/99", "rows": []}'], ids=["empty", "newer"])
def test_what_holds_no_results_that_can_be_read_is_replaced_by_complete_ones(text: str) -> None:
    Path("found.json").write_text(text)
    Saver(Path("found.json"), named=True).finish(NEW)
    assert saved() == {"found.json": "new"}


def test_an_empty_file_is_filled_by_what_there_is() -> None:
    Path("found.json").touch()
    saver = Saver(Path("found.json"), named=True)
    keep(saver, partial())
    saver.finish(partial(generations=2))
    assert saved() == {"found.json": "partial 2"}


def test_a_file_that_was_removed_meanwhile_is_written_again() -> None:
    write("found.json", RESULTS)
    saver = Saver(Path("found.json"), named=True)
    Path("found.json").unlink()
    saver.finish(NEW)
    assert saved() == {"found.json": "new"}
    assert str(saver) == "Saved as found.json"


def test_of_an_evaluation_scored_candidates_count() -> None:
    scored: Any = object()
    rows = (Row("numpy", "fp32", None, 1, accuracy=scored), Row("onnx", "fp32", None, 1, error="it died"))
    assert worth(replace(RESULTS, settings=Settings(), rows=rows)) == 1
    assert worth(replace(RESULTS, rows=rows)) == 0


# --- files of another kind -----------------------------------------------------------------------------------------


OTHER_FILES = {
    "a model": b"\x08\x07\x12\x07pytorch",
    "an archive": b"PK\x03\x04\x14\x00",
    "text": b"Dear reader,\n",
    "other JSON": b'{"name": "app"}',
    "a list": b"[1, 2]",
    "a number": b"1",
    "a manifest": b'{"schema": "digitbench.bundle/3"}',
    "a choice": b'{"schema": "digitbench.choice/1"}',
    "pixels": b"label,1x1,1x2\n5,0,0\n",
    "a page": b"# Read me\n\n| a | b |\n",
}


def content(file_kind: str) -> bytes:
    """A file as digitbench writes it, or another."""
    match file_kind:
        case "--json":
            return RESULTS.dumps().encode()
        case "--csv":
            return tables.to_csv(RESULTS).encode()
        case "--markdown":
            return tables.to_markdown(RESULTS).encode()
        case "--pytest-benchmark-json":
            return json.dumps(pytest_benchmark.to_pytest_benchmark(RESULTS)).encode()
    return OTHER_FILES[file_kind]


OPTIONS = ("--json", "--csv", "--markdown", "--pytest-benchmark-json")


def output_option(option: str, path: str) -> dict[str, Any]:
    return {option[2:].replace("-", "_"): path}


@pytest.mark.parametrize("file_kind", [*OTHER_FILES, *OPTIONS])
@pytest.mark.parametrize("option", OPTIONS)
def test_only_a_file_of_the_same_kind_is_replaced(option: str, file_kind: str) -> None:
    path = Path("there")
    path.write_bytes(content(file_kind))
    if file_kind == option:
        Outputs(**output_option(option, "there"))
    else:
        with pytest.raises(UsageError) as caught:
            Outputs(**output_option(option, "there"))
        message = str(caught.value)
        assert one_printable_line(message)
        assert message.startswith(f"{option} there: it holds something else, which would be lost")
    assert path.read_bytes() == content(file_kind)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_empty_file_is_replaced_and_what_is_no_file_is_not(option: str) -> None:
    Path("empty").touch()
    Outputs(**output_option(option, "empty"))
    with pytest.raises(UsageError, match="/dev/null: it holds something else"):
        Outputs(**output_option(option, "/dev/null"))


def test_a_choice_replaces_a_choice_and_no_results() -> None:
    Path("choice.json").write_bytes(OTHER_FILES["a choice"])
    Outputs(json="choice.json", format="digitbench.choice")
    write("found.json", RESULTS)
    with pytest.raises(UsageError, match="it holds something else"):
        Outputs(json="found.json", format="digitbench.choice")


# --- the lock ------------------------------------------------------------------------------------------------------

COUNT_UP = """
import sys
from pathlib import Path

from digitbench.system.files import locked

path = Path("number")
for _ in range(50):
    with locked(path), locked(path):
        path.write_text(str(int(path.read_text()) + 1))
"""


def test_processes_change_a_file_one_after_the_other() -> None:
    Path("number").write_text("0")
    running = [subprocess.Popen([sys.executable, "-c", COUNT_UP]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert Path("number").read_text() == "150"
    assert [path.name for path in Path().iterdir()] == ["number"]


HOLD = """
from pathlib import Path

from digitbench.system.files import locked

with locked(Path("number")):
    print(flush=True)
    input()
"""


def test_a_killed_process_holds_no_lock() -> None:
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        assert process.stdout.readline(), "it has the lock"
        assert Path(".number.lock").exists()
        process.kill()
        process.communicate()
