"""The name of a new bundle: claimed at the start, filled at the end, and no other run's files are replaced."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from core.helpers import Recorder
from digitbench.bundle.naming import claim, written
from digitbench.errors import BundleError


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths_in(folder: Path = Path()) -> list[str]:
    """Every path below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def make_bundle(output: Path | None = None, *, text: str = "mine", meanwhile: object = None) -> tuple[Path, list[str]]:
    """Make a bundle as `train` does; give its folder and the lines of its progress."""
    progress = Recorder()
    with claim(output, "dense-1") as claimed, written(claimed, progress) as draft:
        (draft / "manifest.json").write_text(text)
        if callable(meanwhile):
            meanwhile(claimed.path)
    return claimed.path, progress.lines


def test_a_bundle_gets_the_name_that_was_claimed_and_is_the_latest() -> None:
    path, messages = make_bundle()
    assert (path, messages) == (Path("runs/dense-1"), [])
    assert os.readlink("runs/latest") == "dense-1"
    assert paths_in() == ["runs", "runs/dense-1", "runs/dense-1/manifest.json", "runs/latest"]


def test_the_name_is_taken_from_the_start_on() -> None:
    with claim(None, "dense-1") as first, claim(None, "dense-1") as second, claim(None, "dense-1") as third:
        assert [claimed.path.name for claimed in (first, second, third)] == ["dense-1", "dense-1-2", "dense-1-3"]
        assert all(claimed.path.is_dir() for claimed in (first, second, third))
        with pytest.raises(BundleError, match=r"^runs/dense-1 exists already and is empty: a model"):
            claim(Path("runs/dense-1"), "")
    assert paths_in() == [], "empty claims are gone, and the folder that was made for them"


def test_a_name_with_a_dot_is_numbered_at_its_end() -> None:
    with claim(None, "net.v2"), claim(None, "net.v2") as second:
        assert second.path == Path("runs/net.v2-2")


@pytest.mark.parametrize("obstacle", ["folder", "file", "dangling link"])
def test_an_output_that_exists_is_refused_and_kept(obstacle: str) -> None:
    target = Path("mine")
    match obstacle:
        case "folder":
            target.mkdir()
            (target / "notes.txt").touch()
        case "file":
            target.touch()
        case _:
            target.symlink_to("gone")
    before = paths_in()
    with pytest.raises(BundleError, match=r"^mine exists already; choose another --output or remove it$"):
        claim(target, "")
    assert paths_in() == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("broken")], ids=repr)
def test_whatever_stops_it_leaves_no_claim(stop: BaseException) -> None:
    def end(_: Path) -> None:
        raise stop

    with pytest.raises(type(stop)):
        make_bundle(meanwhile=end)
    assert paths_in() == []


@pytest.mark.parametrize("stop", [True, False], ids=["stopped", "finished"])
@pytest.mark.parametrize("arrival", ["into it", "in its place", "a file in its place", "an empty folder in its place"])
def test_what_came_to_the_name_meanwhile_stays_and_the_bundle_is_put_beside_it(arrival: str, stop: bool) -> None:
    def occupy(path: Path) -> None:
        other_folder = Path("other")
        other_folder.mkdir()  # before the claim is removed, so that it can't get the same number
        if arrival != "into it":
            path.rmdir()
        if arrival == "a file in its place":
            path.write_text("theirs")
        elif arrival == "an empty folder in its place":
            other_folder.rename(path)
        else:
            path.mkdir(exist_ok=True)
            (path / "manifest.json").write_text("theirs")
        if stop:
            raise KeyboardInterrupt

    if stop:
        with pytest.raises(KeyboardInterrupt):
            make_bundle(meanwhile=occupy)
        assert not Path("runs/latest").exists()
    else:
        path, messages = make_bundle(meanwhile=occupy)
        assert path == Path("runs/dense-1-2")
        assert (path / "manifest.json").read_text() == "mine"
        assert messages == ["runs/dense-1 was taken meanwhile; the model is in runs/dense-1-2"]
        assert os.readlink("runs/latest") == "dense-1-2"
    occupied = Path("runs/dense-1")
    if arrival == "an empty folder in its place":
        assert occupied.is_dir()
    else:
        assert (occupied if occupied.is_file() else occupied / "manifest.json").read_text() == "theirs"
    assert not [name for name in paths_in() if "/." in name], "no draft is left"


def test_a_claim_that_was_removed_meanwhile_is_made_again() -> None:
    path, messages = make_bundle(meanwhile=Path.rmdir)
    assert (path, messages) == (Path("runs/dense-1"), [])
    assert (path / "manifest.json").read_text() == "mine"


def test_a_failed_rename_leaves_neither_claim_nor_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "disk on fire")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="disk on fire"):
        make_bundle()
    assert paths_in() == []


def test_what_a_killed_run_left_is_passed_over_and_left_alone() -> None:
    Path("runs/dense-1").mkdir(parents=True)
    assert make_bundle()[0] == Path("runs/dense-1-2")
    assert paths_in(Path("runs/dense-1")) == []


def test_many_at_once_each_get_a_bundle_of_their_own() -> None:
    count = 8
    barrier = Barrier(count)

    def run(number: int) -> Path:
        barrier.wait()
        return make_bundle(text=str(number))[0]

    with ThreadPoolExecutor(count) as pool:
        paths = list(pool.map(run, range(count)))
    assert len(set(paths)) == count
    assert [(path / "manifest.json").read_text() for path in paths] == list(map(str, range(count)))
    assert Path("runs/latest").resolve() in {path.resolve() for path in paths}


def test_a_folder_named_latest_is_told_and_the_bundle_is_kept() -> None:
    Path("runs/latest").mkdir(parents=True)
    (Path("runs/latest") / "manifest.json").touch()
    message = r"^runs/latest is a folder .*rename it \(the model itself is complete: runs/dense-1\)$"
    with pytest.raises(BundleError, match=message):
        make_bundle()
    assert (Path("runs/dense-1") / "manifest.json").read_text() == "mine"
    shutil.rmtree("runs/latest")
    make_bundle()
    assert os.readlink("runs/latest") == "dense-1-2"
