"""Every timed call as text, so that a results file holds all that was measured.

Nanoseconds as little-endian 64-bit integers, their bytes sorted by place (first all lowest bytes, and so on, which
makes the empty high ones cheap), zlib, base64.
"""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np
import numpy.typing as npt

from digitbench.errors import ResultsError

Nanoseconds = npt.NDArray[np.int64]


def encode(nanoseconds: Nanoseconds) -> str:
    """Encode int64 (n,) nanoseconds."""
    planes = np.ascontiguousarray(nanoseconds, "<i8").view(np.uint8).reshape(-1, 8).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")


def decode(text: str) -> Nanoseconds:
    """Decode what `encode` gave: int64 (n,) nanoseconds.

    Raises
    ------
    ResultsError
        It is something else.
    """
    try:
        planes = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), np.uint8).reshape(8, -1)
    except (binascii.Error, zlib.error, ValueError) as exc:
        raise ResultsError(f"samples that can't be decoded: {exc}") from exc
    return np.ascontiguousarray(planes.T).view("<i8").reshape(-1).astype(np.int64)
