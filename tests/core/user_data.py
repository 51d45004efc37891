"""Digits as a user brings them: the images and labels, and checks of what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.helpers import one_printable_line
from digitbench import data
from digitbench.errors import DataError

Array = npt.NDArray[Any]
DIGITS = data.load("digits")
PIXELS, LABELS = DIGITS.test.pixels[:12], DIGITS.test.labels[:12].astype(np.uint8)
FLAT = PIXELS.reshape(12, 784)


def save(place: Path, **arrays: Array) -> Path:
    np.savez(place, **arrays)  # type: ignore[arg-type]
    return place


def refusal(place: Path, name: str = "auto") -> str:
    with pytest.raises(DataError) as caught:
        data.load(name, place)
    message = str(caught.value)
    assert one_printable_line(message)
    assert str(place) in message
    return message


def is_sound(found: data.Dataset) -> bool:
    return found.own and all(
        part.pixels.dtype == np.uint8 and part.pixels.shape == (len(part), 28, 28) and part.labels.dtype == np.int64
        and set(part.labels.tolist()) <= set(range(10)) and part.images.shape == part.pixels.shape
        for part in (found.train, found.test)
    ) and len(found.test) > 0 and one_printable_line(found.notice)  # fmt: skip
