"""Model files whose code their user allows to run, remembered by content.

In the user's own data folder, and in no bundle, since a bundle comes from somebody else too.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from digitbench.errors import UsageError
from digitbench.system.files import faults_as, locked, sha256, write_json


def list_path() -> Path:
    """Where they are remembered."""
    import platformdirs

    return Path(platformdirs.user_data_dir("digitbench", appauthor=False)) / "trusted.json"


def holds(artifact: Path) -> bool:
    """Has the user said ``--trust`` of this very content."""
    return sha256(artifact) in _trusted_digests()


def remember(artifact: Path) -> None:
    """Trust a file, or folder, from now on, as it is.

    Raises
    ------
    UsageError
        It can't be remembered.
    """
    path = list_path()
    with faults_as(UsageError, f"--trust: {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            write_json(path, {"sha256": sorted({*_trusted_digests(), sha256(artifact)})})


def _trusted_digests() -> set[str]:
    try:
        return set(msgspec.json.decode(list_path().read_bytes(), type=dict[str, list[str]])["sha256"])
    except (OSError, ValueError, KeyError, RecursionError):  # nothing trusted is the safe reading
        return set()
