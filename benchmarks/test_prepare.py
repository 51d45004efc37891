"""How long it takes to bring a photograph into MNIST's format, per megapixel, on one thread."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from camera import photograph
from PIL import Image

from digitbench import data
from digitbench.images.centring import prepare
from digitbench.images.reading import read_photograph


@pytest.mark.benchmark(group="prepare")
@pytest.mark.parametrize("side", [500, 1000, 2000, 3000])
def test_prepare(benchmark: Any, side: int) -> None:
    digit = data.load("digits").test.pixels[3]
    photo = photograph(digit, np.random.default_rng(side), longest=side)
    with Image.open(io.BytesIO(photo)) as image:
        megapixels = image.width * image.height / 1e6
    prepared = benchmark(lambda: prepare(read_photograph(photo)))
    assert prepared.shape == (28, 28)
    benchmark.extra_info |= {
        "megapixels": round(megapixels, 2),
        "ms_per_megapixel": round(benchmark.stats.stats.median * 1e3 / megapixels, 2),
    }
