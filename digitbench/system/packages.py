"""Whether what a feature needs is installed, and the command that installs it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

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
        install = f'pip install "digitbench[{extra}]"'
        message = f"{message_start} {' and '.join(missing)}, not installed here; run: {install}{message_end}"
        raise MissingRuntimeError(message, mend=install)
