"""A user's digits: images and labels for the tests, and checks of what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.helpers import one_printable_line
from digitbench import data
from digitbench.data import mnist
from digitbench.errors import DataError

Array = npt.NDArray[Any]
DIGITS = data.load("digits")
PIXELS, LABELS = DIGITS.test.pixels[:12], DIGITS.test.labels[:12].astype(np.uint8)
FLAT = PIXELS.reshape(12, 784)


def save(path: Path, **arrays: Array) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def refusal(path: Path, name: str = "auto") -> str:
    with pytest.raises(DataError) as caught:
        data.load(name, path, task=mnist.TASK if name == "auto" else None)
    message = str(caught.value)
    assert one_printable_line(message)
    assert str(path) in message
    return message


def is_sound(dataset: data.Dataset) -> bool:
    return dataset.own and all(
        split.pixels.dtype == np.uint8 and split.pixels.shape == (len(split), 28, 28) and split.labels.dtype == np.int64
        and set(split.labels.tolist()) <= set(range(10)) and split.images.shape == split.pixels.shape
        for split in (dataset.train, dataset.test)
    ) and len(dataset.test) > 0 and one_printable_line(dataset.notice)  # fmt: skip
