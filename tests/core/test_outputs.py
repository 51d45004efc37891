"""Where results go: a file is written whole or not at all, and if it can't be, results go to another folder."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.helpers import one_printable_line
from digitbench.commands.outputs import Outputs, raise_failures
from digitbench.commands.saving import Saver, write_text
from digitbench.errors import CheckFailed, ResultsError, UsageError
from digitbench.records.results import Results, Row
from digitbench.records.settings import Settings
from digitbench.records.timing import Busy, Generation, WarmUp
from digitbench.system import files

TIMED = Generation(0, 10, 0.01, 1.0, 2.0, 3.0, 4.0, 0.1, 500.0, 10**8, WarmUp(20, 0.1, True), Busy(1.0))
RESULTS = Results(
    {"cpu": "made up", "cores": {"available": 2}, "system": "Linux 6"},
    {"name": "run", "recipe": "dense-16", "dataset": {"name": "digits", "fingerprint": "ab"}, "test_images": 1},
    (Row("numpy", "fp32", 1, 1, generations=(TIMED,)),), "2026-11-21T00:00:00+00:00", "0.1.0",
    settings=Settings(seconds=1.0),
)  # fmt: skip


@pytest.fixture
def fallback_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A temporary folder and a home folder."""
    folders = tmp_path / "tmp", tmp_path / "home"
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folders[0]))
    monkeypatch.setenv("HOME", str(folders[1]))
    return folders


def make_full(monkeypatch: pytest.MonkeyPatch, *full: Path) -> None:
    """Let every write into these folders fail, as on a full disk."""
    original = files.written_beside

    @contextmanager
    def written_beside(target: Path) -> Iterator[Path]:
        if target.parent in full:
            raise OSError(errno.ENOSPC, "No space left on device")
        with original(target) as draft:
            yield draft

    monkeypatch.setattr(files, "written_beside", written_beside)


# --- writing -------------------------------------------------------------------------------------------------------


def test_text_is_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "found.md", "µ ×\n")
    assert (tmp_path / "new" / "found.md").read_text(encoding="utf-8") == "µ ×\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["found.md"]


def test_text_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "found.json"
    target.write_text("before")

    def torn(self: Path, text: str, **options: str) -> int:
        with self.open("w") as stream:
            stream.write(text[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", torn)
    with pytest.raises(ResultsError) as caught:
        write_text(target, "after and more")
    assert str(caught.value) == f"{target}: can't be written: No space left on device"
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_whatever_stops_it_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    target = tmp_path / "found.json"
    target.write_text("before")

    def stopped(self: Path, text: str, **options: str) -> int:
        raise stop

    monkeypatch.setattr(Path, "write_text", stopped)
    with pytest.raises(stop):
        write_text(target, "after")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "before"


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    """A draft is written into a private folder, which must not make the file private."""
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "found.json", "{}")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "found.json")}
    assert len(modes) == 1


# --- if it can't be written ----------------------------------------------------------------------------------------


def test_results_that_cannot_be_saved_go_to_the_temporary_folder(
    tmp_path: Path, fallback_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_full(monkeypatch, tmp_path)
    with pytest.raises(ResultsError) as caught:
        Saver(tmp_path / "found.json").finish(RESULTS)
    saved = fallback_folders[0] / "digitbench-found.json"
    message = str(caught.value)
    assert one_printable_line(message)
    assert message.startswith(f"{tmp_path / 'found.json'}: can't be written: No space left on device; ")
    assert message.endswith(f"saved as {saved} instead")
    assert Results.read(saved) == RESULTS
    assert caught.value.exit_code == 2


def test_if_that_is_full_too_they_go_home(
    tmp_path: Path, fallback_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_full(monkeypatch, tmp_path, fallback_folders[0])
    with pytest.raises(ResultsError, match=r"saved as .*home.digitbench-found\.json instead"):
        Saver(tmp_path / "found.json").finish(RESULTS)
    assert Results.read(fallback_folders[1] / "digitbench-found.json") == RESULTS


def test_if_nothing_can_be_written_the_first_reason_is_told(
    tmp_path: Path, fallback_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_full(monkeypatch, tmp_path, *fallback_folders)
    with pytest.raises(ResultsError) as caught:
        Saver(tmp_path / "found.json").finish(RESULTS)
    assert str(caught.value) == f"{tmp_path / 'found.json'}: can't be written: No space left on device"


def test_rescued_results_replace_no_earlier_ones(
    tmp_path: Path, fallback_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (fallback_folders[0] / "digitbench-found.json").write_text("rescued before")
    make_full(monkeypatch, tmp_path)
    with pytest.raises(ResultsError, match="saved as"):
        Saver(tmp_path / "found.json").finish(RESULTS)
    assert (fallback_folders[0] / "digitbench-found.json").read_text() == "rescued before"


def test_a_place_that_is_full_costs_the_other_outputs_nothing(
    tmp_path: Path,
    fallback_folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Standard output isn't full, and neither is the table's folder."""
    full = tmp_path / "full"
    full.mkdir()
    outputs = Outputs(json="-", markdown=str(tmp_path / "found.md"), kept=full / "bench.json")
    make_full(monkeypatch, full)
    with pytest.raises(ResultsError, match="saved as"):
        outputs.write(RESULTS)
    assert json.loads(capsys.readouterr().out)["rows"]
    assert (tmp_path / "found.md").exists()


def test_a_table_that_cannot_be_written_costs_the_results_nothing(
    tmp_path: Path, fallback_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    outputs = Outputs(json=str(tmp_path / "found.json"), csv=str(full / "found.csv"))
    make_full(monkeypatch, full)
    with pytest.raises(ResultsError, match=r"found\.csv: can't be written"):
        outputs.write(RESULTS)
    assert Results.read(tmp_path / "found.json") == RESULTS


# --- what is asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "conflict"),
    [
        ({"json": "-", "csv": "-"}, "--json and --csv"),
        ({"markdown": "-", "csv": "-"}, "--csv and --markdown"),
        ({"json": "-", "pytest_benchmark_json": "-"}, "--json and --pytest-benchmark-json"),
    ],
)
def test_standard_output_is_for_one(options: dict[str, str], conflict: str) -> None:
    with pytest.raises(UsageError, match=f"^{conflict} can't both be standard output; name another file$"):
        Outputs(**options)  # type: ignore[arg-type]


def test_one_file_is_for_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--json and --csv"):
        Outputs(json=str(tmp_path / "found"), csv=str(tmp_path / "found"))


@pytest.mark.parametrize("option", ["json", "csv", "markdown", "pytest_benchmark_json"])
def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path, option: str) -> None:
    with pytest.raises(UsageError, match="is a folder; name a file"):
        Outputs(**{option: str(tmp_path)})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["json", "csv", "markdown", "pytest_benchmark_json"])
def test_people_read_standard_error_where_standard_output_holds_data(option: str) -> None:
    assert Outputs(**{option: "-"}).console.stderr  # type: ignore[arg-type]
    assert not Outputs(**{option: "found.txt"}).console.stderr  # type: ignore[arg-type]


def test_results_are_kept_in_the_bundle_unless_a_file_is_named(tmp_path: Path) -> None:
    default = tmp_path / "bench.json"
    for outputs, path in (
        (Outputs(kept=default), default), (Outputs(json="-", kept=default), tmp_path / "bench-2.json"),
        (Outputs(), None),
        (Outputs(json=str(tmp_path / "found.json"), kept=default), tmp_path / "found.json"),
    ):  # fmt: skip
        outputs.saver.finish(RESULTS)
        assert outputs.saver.path == path


def test_failed_rows_are_exit_code_1_and_what_only_lacks_a_runtime_is_none() -> None:
    good, bad = Row("numpy", "fp32", 1, 1), Row("onnx", "fp32", 1, 1, error="it died")
    lacking = Row("keras", "fp32", None, 1, error="keras is not installed", mend="pip install keras")
    raise_failures(Results({}, {}, (good, lacking), "", ""))
    with pytest.raises(CheckFailed, match=r"^1 of 3 rows failed: onnx: it died$") as caught:
        raise_failures(Results({}, {}, (good, bad, lacking), "", ""))
    assert caught.value.exit_code == 1
