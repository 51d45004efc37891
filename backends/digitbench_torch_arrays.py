"""What the adapters of PyTorch's tensors share: sharing memory with NumPy's arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np


def from_numpy(torch: Any) -> Callable[[Any], Any]:
    """Give `torch.from_numpy`, which shares memory with an array, read-only ones too.

    PyTorch warns, once a process, that it could write into an array that is read-only. Nothing here does: what it has
    to say is said now, and not heard.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(np.frombuffer(bytes(4), np.float32))
    function: Callable[[Any], Any] = torch.from_numpy
    return function
