from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.helpers import GOOD, Install, announce


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Announce plugins in a folder on `sys.path`, and forget their modules after."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def call(module: str, code: str = GOOD, **options: object) -> None:
        announce(tmp_path, module, code, **{"names": {"mine": "Good"}, **options})  # type: ignore[arg-type]

    yield call
    for name in set(sys.modules) - before:
        del sys.modules[name]
