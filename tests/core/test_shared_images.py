"""The file of images that every worker maps: gone afterwards, and one line where there is no room for it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.helpers import one_printable_line
from digitbench.backend import Images
from digitbench.errors import UsageError
from digitbench.workers.pool import shared_images


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def images() -> Images:
    """Five images."""
    return np.random.default_rng(0).random((5, 28, 28), np.float32)


def test_the_images_file_is_gone_after(images: Images) -> None:
    with shared_images(images) as path:
        np.testing.assert_array_equal(np.load(path), images)
    assert not path.parent.exists()


def test_a_full_temporary_folder_is_one_line(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UsageError) as caught, shared_images(images):
        pass
    message = str(caught.value)
    assert one_printable_line(message)
    assert message.startswith(f"{tmp_path}: can't hold the test images (0 MB): No space left on device")
    assert "TMPDIR" in message
    assert not list(tmp_path.glob("digitbench-*"))


def test_a_temporary_folder_that_cannot_be_written_is_one_line(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"nowhere: can't be written: No such file.*TMPDIR"), shared_images(images):
        pass
