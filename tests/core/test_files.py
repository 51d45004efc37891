"""Files that are whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from digitbench.errors import UsageError
from digitbench.system.files import check_writable, measure_size, sha256, write_json, written_beside


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, with its content."""
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def make_folder(folder: Path, **content: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in content.items():
        (folder / name).write_text(text)
    return folder


def stop_half_way(target: Path, stop: BaseException, write: Callable[[Path], object]) -> None:
    with written_beside(target) as draft:
        write(draft)
        raise stop


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    with written_beside(tmp_path / "a" / "b" / "new.txt") as draft:
        draft.write_text("new")
        assert not (tmp_path / "a" / "b" / "new.txt").exists(), "it has no name before it is whole"
        assert draft.parent.parent == tmp_path / "a" / "b", "a rename must not cross file systems"
    assert tree(tmp_path) == {"a/b/new.txt": "new"}
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["new.txt"]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    with written_beside(tmp_path / "x") as draft:
        draft.write_text("new")
        assert (tmp_path / "x").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("existing", ["folder", "empty folder", "file"])
def test_a_folder_replaces_nothing_unasked(tmp_path: Path, existing: str) -> None:
    if existing == "file":
        (tmp_path / "model").write_text("old")
    else:
        make_folder(tmp_path / "model", **({"old": "1"} if existing == "folder" else {}))
    before = tree(tmp_path)
    with pytest.raises(FileExistsError), written_beside(tmp_path / "model") as draft:
        make_folder(draft, new="2")
    assert tree(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    make_folder(tmp_path / "model", old="1", both="1")
    with written_beside(tmp_path / "model", replace_folder=True) as draft:
        make_folder(draft, new="2", both="2")
        assert tree(tmp_path / "model") == {"old": "1", "both": "1"}
    assert tree(tmp_path) == {"model/new": "2", "model/both": "2"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_folder_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("old")
    with written_beside(tmp_path / "model", replace_folder=True) as draft:
        make_folder(draft, new="2")
    assert tree(tmp_path) == {"model/new": "2"}


@pytest.mark.parametrize("stop", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
@pytest.mark.parametrize("old", [True, False], ids=["over an old one", "new"])
def test_whatever_stops_a_file_leaves_everything_as_it_was(tmp_path: Path, stop: BaseException, old: bool) -> None:
    if old:
        (tmp_path / "x").write_text("old")
    with pytest.raises(type(stop)):
        stop_half_way(tmp_path / "x", stop, lambda draft: draft.write_text("half"))
    assert list(tmp_path.iterdir()) == ([tmp_path / "x"] if old else [])
    assert tree(tmp_path) == ({"x": "old"} if old else {})


@pytest.mark.parametrize("stop", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_whatever_stops_a_folder_leaves_everything_as_it_was(tmp_path: Path, stop: BaseException) -> None:
    make_folder(tmp_path / "model", old="1")
    with pytest.raises(type(stop)):
        stop_half_way(tmp_path / "model", stop, lambda draft: make_folder(draft, half="2"))
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
    assert tree(tmp_path) == {"model/old": "1"}


@pytest.mark.parametrize("stop", [OSError("disk on fire"), KeyboardInterrupt()], ids=repr)
def test_an_old_folder_comes_back_when_the_last_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    make_folder(tmp_path / "model", old="1")
    real = os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / "model" and (Path(source) / "new").exists():
            raise stop
        real(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(stop)), written_beside(tmp_path / "model", replace_folder=True) as draft:
        make_folder(draft, new="2")
    assert tree(tmp_path) == {"model/old": "1"}


def test_nothing_written_is_an_error_and_not_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    with pytest.raises(FileNotFoundError), written_beside(tmp_path / "x"):
        pass
    assert tree(tmp_path) == {"x": "old"}


def test_json_is_written_atomically_and_readably(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"µs": [1, 2.5], "none": None})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"µs": [1, 2.5], "none": None}
    assert "µs" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object()], ids=["nan", "inf", "object"])
def test_what_is_not_json_leaves_the_old_file(tmp_path: Path, bad: object) -> None:
    write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "x.json", {"new": bad})
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_sha256_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_sha256_of_a_folder_depends_on_names_and_content_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "deep", x="1")
    make_folder(tmp_path / "b" / "deep", x="1")
    (tmp_path / "a" / "y").write_text("2")
    (tmp_path / "b" / "y").write_text("2")
    os.utime(tmp_path / "b" / "y", (0, 0))
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


@pytest.mark.parametrize(
    "change", ["content", "name", "name in the same order", "place", "more", "less", "swapped", "split otherwise"]
)
def test_sha256_of_a_folder_changes_with(tmp_path: Path, change: str) -> None:
    folder = make_folder(tmp_path / "model", a="1", b="2")
    make_folder(folder / "deep")
    before = sha256(folder)
    match change:
        case "content":
            (folder / "a").write_text("9")
        case "name":
            (folder / "a").rename(folder / "c")
        case "name in the same order":
            (folder / "b").rename(folder / "c")
        case "place":
            (folder / "a").rename(folder / "deep" / "a")
        case "more":
            (folder / "c").write_text("")
        case "less":
            (folder / "a").unlink()
        case "swapped":
            (folder / "a").write_text("2")
            (folder / "b").write_text("1")
        case "split otherwise":
            (folder / "a").write_text("12")
            (folder / "b").write_text("")
    assert sha256(folder) != before


def test_size_is_the_sum_of_all_files(tmp_path: Path) -> None:
    make_folder(tmp_path / "model" / "deep", x="12345")
    (tmp_path / "model" / "y").write_text("123")
    assert measure_size(tmp_path / "model") == 8
    assert measure_size(tmp_path / "model" / "y") == 3


def test_a_writable_place_is_let_through_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "results.json")
    assert tree(tmp_path) == {}


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("old")
    check_writable(tmp_path / "results.json")
    assert tree(tmp_path) == {"results.json": "old"}


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name a file"):
        check_writable(tmp_path)


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"can't be written.*choose another folder"):
        check_writable(tmp_path / "file" / "results.json")


def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)  # root may write anywhere
    with pytest.raises(UsageError, match=f"{tmp_path}: can't be written: Permission denied"):
        check_writable(tmp_path / "results.json")
