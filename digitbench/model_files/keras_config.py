"""What a file of Keras says of itself, read without Keras: which version wrote it, and which layers it has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile


@dataclass(frozen=True)
class Saved:
    """A ``.keras`` file, or HDF5, whatever its name.

    Attributes
    ----------
    path
        The file.
    is_hdf5
        It is HDF5; else a zip.
    version
        Of the Keras that wrote it; empty where it doesn't say.
    config
        The network as Keras describes it; empty in a file that holds weights alone.
    """

    path: Path
    is_hdf5: bool
    version: str
    config: dict[str, Any]

    @property
    def by_keras2(self) -> bool:
        """Did Keras 2, or an older one, write it."""
        return bool(self.version) and int(self.version.partition(".")[0]) < 3

    @property
    def writer(self) -> str:
        """What wrote it: ``"Keras 2.15.0"``."""
        return f"Keras {self.version}".strip()


def read(source: Path) -> Saved:
    """Read what a file of Keras says of itself.

    Raises
    ------
    ValueError
        It is no such file, or a broken one.
    """
    is_zip = is_zipfile(source)
    try:
        version, text = _in_zip(source) if is_zip else _in_hdf5(source)
        config = json.loads(text or "{}")
        saved = Saved(source, not is_zip, str(version), config if isinstance(config, dict) else {})
        _ = saved.by_keras2  # the version is a number
    except (OSError, KeyError, BadZipFile, RecursionError) as exc:
        raise ValueError(str(exc)) from exc
    return saved


def _in_zip(source: Path) -> tuple[str, bytes]:
    with ZipFile(source) as archive:
        metadata = json.loads(archive.read("metadata.json"))
        return metadata["keras_version"], archive.read("config.json")


def _in_hdf5(source: Path) -> tuple[str, str]:
    import h5py  # Keras needs it too

    with h5py.File(source) as file:
        version, text = (_text(file.attrs.get(name, "")) for name in ("keras_version", "model_config"))
        return version, text


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
