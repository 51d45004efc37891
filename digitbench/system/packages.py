"""Whether what a feature needs is installed, and the command that installs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from digitbench.errors import MissingRuntimeError


def check_packages(message_start: str, packages: Mapping[str, str], extra: str, message_end: str = "") -> None:
    """Find out before long work whether packages are installed, without importing them.

    Parameters
    ----------
    message_start
        Begins the message: ``"pictures need"``.
    packages
        Each module, and the package that brings it.
    extra
        Of digitbench, which installs them: ``"plot"``.
    message_end
        Ends the message.

    Raises
    ------
    MissingRuntimeError
        Some of them are not installed.
    """
    missing = [package for module, package in packages.items() if find_spec(module) is None]
    if missing:
        install = install_command("digitbench", extra)
        message = f"{message_start} {' and '.join(missing)}, not installed here; run: {install}{message_end}"
        raise MissingRuntimeError(message, mend=install)


def install_command(distribution: str, extra: str = "") -> str:
    """Give the command that installs a distribution with an extra, from where it was installed itself.

    That may be a folder or a file (PEP 610), where pip would not find it by its name.
    """
    try:
        origin = json.loads(metadata.distribution(distribution).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        origin = {}
    path = unquote(urlsplit(origin.get("url", "")).path)
    local = path if path and Path(path).exists() else ""
    editable = "-e " if local and origin.get("dir_info", {}).get("editable") else ""
    name = f'"{local or distribution}[{extra}]"' if extra else f'"{local}"' if local else distribution
    return f"pip install {editable}{name}"
