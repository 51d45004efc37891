"""The name of a new bundle: claimed at the start, given at the end, and nothing of others is replaced."""

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
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(folder: Path = Path()) -> list[str]:
    """Every path below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def make(claimed: Path | None = None, *, text: str = "mine", meanwhile: object = None) -> tuple[Path, list[str]]:
    """Make a bundle as `train` does; give its folder, and what was said."""
    progress = Recorder()
    with claim(claimed, "dense-1") as held, written(held, progress) as draft:
        (draft / "manifest.json").write_text(text)
        if callable(meanwhile):
            meanwhile(held.path)
    return held.path, progress.lines


def test_a_bundle_gets_the_name_that_was_claimed_and_is_the_latest() -> None:
    path, said = make()
    assert (path, said) == (Path("runs/dense-1"), [])
    assert os.readlink("runs/latest") == "dense-1"
    assert listed() == ["runs", "runs/dense-1", "runs/dense-1/manifest.json", "runs/latest"]


def test_the_name_is_taken_from_the_start_on() -> None:
    with claim(None, "dense-1") as first, claim(None, "dense-1") as second, claim(None, "dense-1") as third:
        assert [one.path.name for one in (first, second, third)] == ["dense-1", "dense-1-2", "dense-1-3"]
        assert all(one.path.is_dir() for one in (first, second, third))
        with pytest.raises(BundleError, match=r"^runs/dense-1 exists already and is empty: a bundle"):
            claim(Path("runs/dense-1"), "")
    assert listed() == [], "empty claims are gone, and the folder that was made for them"


def test_a_name_with_a_dot_is_numbered_at_its_end() -> None:
    with claim(None, "net.v2"), claim(None, "net.v2") as second:
        assert second.path == Path("runs/net.v2-2")


@pytest.mark.parametrize("there", ["folder", "file", "dangling link"])
def test_an_output_that_exists_is_refused_and_kept(there: str) -> None:
    target = Path("mine")
    match there:
        case "folder":
            target.mkdir()
            (target / "notes.txt").touch()
        case "file":
            target.touch()
        case _:
            target.symlink_to("gone")
    before = listed()
    with pytest.raises(BundleError, match=r"^mine exists already; choose another --output or remove it$"):
        claim(target, "")
    assert listed() == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("broken")], ids=repr)
def test_whatever_stops_it_leaves_no_claim(stop: BaseException) -> None:
    def end(_: Path) -> None:
        raise stop

    with pytest.raises(type(stop)):
        make(meanwhile=end)
    assert listed() == []


@pytest.mark.parametrize("stop", [True, False], ids=["stopped", "finished"])
@pytest.mark.parametrize("how", ["into it", "in its place", "a file in its place", "an empty folder in its place"])
def test_what_came_to_the_name_meanwhile_stays_and_the_bundle_is_put_beside_it(how: str, stop: bool) -> None:
    def come(path: Path) -> None:
        other = Path("other")
        other.mkdir()  # before the claim is removed, so that it can't get the same number
        if how != "into it":
            path.rmdir()
        if how == "a file in its place":
            path.write_text("theirs")
        elif how == "an empty folder in its place":
            other.rename(path)
        else:
            path.mkdir(exist_ok=True)
            (path / "manifest.json").write_text("theirs")
        if stop:
            raise KeyboardInterrupt

    if stop:
        with pytest.raises(KeyboardInterrupt):
            make(meanwhile=come)
        assert not Path("runs/latest").exists()
    else:
        path, said = make(meanwhile=come)
        assert path == Path("runs/dense-1-2")
        assert (path / "manifest.json").read_text() == "mine"
        assert said == ["runs/dense-1 was taken meanwhile; the bundle is runs/dense-1-2"]
        assert os.readlink("runs/latest") == "dense-1-2"
    theirs = Path("runs/dense-1")
    if how == "an empty folder in its place":
        assert theirs.is_dir()
    else:
        assert (theirs if theirs.is_file() else theirs / "manifest.json").read_text() == "theirs"
    assert not [name for name in listed() if "/." in name], "no draft is left"


def test_a_claim_that_was_removed_meanwhile_is_made_again() -> None:
    path, said = make(meanwhile=Path.rmdir)
    assert (path, said) == (Path("runs/dense-1"), [])
    assert (path / "manifest.json").read_text() == "mine"


def test_a_failed_rename_leaves_neither_claim_nor_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "disk on fire")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="disk on fire"):
        make()
    assert listed() == []


def test_what_a_killed_run_left_is_passed_over_and_left_alone() -> None:
    Path("runs/dense-1").mkdir(parents=True)
    assert make()[0] == Path("runs/dense-1-2")
    assert listed(Path("runs/dense-1")) == []


def test_many_at_once_each_get_a_bundle_of_their_own() -> None:
    count = 8
    together = Barrier(count)

    def run(number: int) -> Path:
        together.wait()
        return make(text=str(number))[0]

    with ThreadPoolExecutor(count) as pool:
        paths = list(pool.map(run, range(count)))
    assert len(set(paths)) == count
    assert [(path / "manifest.json").read_text() for path in paths] == list(map(str, range(count)))
    assert Path("runs/latest").resolve() in {path.resolve() for path in paths}


def test_a_folder_named_latest_is_told_and_the_bundle_is_kept() -> None:
    Path("runs/latest").mkdir(parents=True)
    (Path("runs/latest") / "manifest.json").touch()
    told = r"^runs/latest is a folder .*rename it \(the bundle is whole: runs/dense-1\)$"
    with pytest.raises(BundleError, match=told):
        make()
    assert (Path("runs/dense-1") / "manifest.json").read_text() == "mine"
    shutil.rmtree("runs/latest")
    make()
    assert os.readlink("runs/latest") == "dense-1-2"
