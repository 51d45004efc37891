"""Files whose code the user allows to run: recognised by their content, which can't be forged."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.helpers import one_printable_line
from digitbench.errors import UsageError
from digitbench.system import trusted_files
from digitbench.system.files import sha256


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary data folder, so that the user's is never written."""
    folder = tmp_path / "data"
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in trusted_files.list_path().parents
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(b"a Lambda layer")
    return path


def test_nothing_is_trusted_before_it_is_said(model: Path) -> None:
    assert not trusted_files.holds(model)
    assert not trusted_files.list_path().parent.exists(), "asking leaves nothing behind"


def test_what_is_remembered_is_trusted_by_its_content(model: Path, tmp_path: Path) -> None:
    trusted_files.remember(model)
    assert trusted_files.holds(model)
    assert trusted_files.holds(Path(shutil.copy(model, tmp_path / "copy.h5")))
    assert json.loads(trusted_files.list_path().read_text(encoding="utf-8")) == {"sha256": [sha256(model)]}
    model.write_bytes(b"another Lambda layer")
    assert not trusted_files.holds(model)


def test_several_are_remembered_each_once(model: Path, tmp_path: Path) -> None:
    other_model = tmp_path / "other.keras"
    other_model.write_bytes(b"others")
    for path in (model, other_model, model):
        trusted_files.remember(path)
    assert trusted_files.holds(model)
    assert trusted_files.holds(other_model)
    assert len(json.loads(trusted_files.list_path().read_text(encoding="utf-8"))["sha256"]) == 2


def test_what_is_remembered_at_the_same_time_is_all_remembered(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.keras" for number in range(24)]
    for path in paths:
        path.write_text(path.name)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(trusted_files.remember, paths))
    assert all(trusted_files.holds(path) for path in paths)


def test_a_folder_is_trusted_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    trusted_files.remember(folder)
    assert trusted_files.holds(folder)
    (folder / "variables" / "more").write_bytes(b"")
    assert not trusted_files.holds(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[]", b"7", b"null", b'"sha256"', b"{}", b'{"sha256": 7}', b'{"sha256": null}',
     b'{"sha256": "MINE"}', b'{"sha256": {"a": 1}}', b'{"sha256": [1, null, ["a"]]}', b'{"trusted": ["MINE"]}',
     b'["MINE"]'],
)  # fmt: skip
def test_a_damaged_file_trusts_nothing_and_can_be_written_anew(model: Path, content: bytes) -> None:
    trusted_files.list_path().parent.mkdir(parents=True)
    trusted_files.list_path().write_bytes(content.replace(b"MINE", sha256(model).encode()))
    assert not trusted_files.holds(model)
    trusted_files.remember(model)
    assert trusted_files.holds(model)


def test_a_place_that_is_a_folder_trusts_nothing(model: Path) -> None:
    trusted_files.list_path().mkdir(parents=True)
    assert not trusted_files.holds(model)


@pytest.mark.parametrize("obstacle", ["a file where the folder would be", "no right to write"])
def test_a_place_that_cannot_be_written_is_told_in_a_line(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    if obstacle == "no right to write":

        def refuse(*_: object) -> None:
            raise PermissionError(13, os.strerror(13))

        monkeypatch.setattr("digitbench.system.files.os.replace", refuse)  # whoever runs the tests may write anywhere
    else:
        home.write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        trusted_files.remember(model)
    assert one_printable_line(str(caught.value))
    assert str(caught.value).startswith(f"--trust: {trusted_files.list_path()}: can't be written: ")
    assert [path for path in home.rglob("*") if path.is_file()] == [], "no incomplete file"
    assert not trusted_files.holds(model)
