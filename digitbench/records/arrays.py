"""The arrays that pictures and labels come in, as everything passes them on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
"""Images as they are stored, 0 to 255: (n, *image_shape) of the task, or one of them."""

Labels = npt.NDArray[np.int64]
"""The class that each image shows, from 0: (n,)."""


def scaled(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Give float32 in [0, 1], C-contiguous, of the same shape: what models are trained on and backends are given."""
    return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255)
