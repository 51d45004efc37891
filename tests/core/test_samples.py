"""Every timed call survives the results file, and what isn't one is refused."""

from __future__ import annotations

import base64
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitbench.errors import ResultsError
from digitbench.records.samples import decode, encode

calls = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=300)


@given(calls)
def test_what_is_encoded_comes_back(values: list[int]) -> None:
    nanoseconds = np.array(values, np.int64)
    decoded = decode(encode(nanoseconds))
    assert decoded.dtype == np.int64
    assert decoded.shape == nanoseconds.shape
    assert decoded.tolist() == values


@given(calls)
def test_the_text_is_ascii_and_holds_for_any_memory_layout(values: list[int]) -> None:
    nanoseconds = np.array(values, np.int64)
    text = encode(nanoseconds)
    assert text.isascii()
    assert text.isprintable()
    assert encode(np.repeat(nanoseconds, 2)[::2]) == encode(nanoseconds.astype(">i8")) == text


def test_decoded_samples_are_the_callers_own() -> None:
    decoded = decode(encode(np.array([5, 3, 4], np.int64)))
    decoded.sort()
    assert decoded.tolist() == [3, 4, 5]


def test_a_latency_takes_about_two_bytes() -> None:
    noisy = np.random.default_rng(1).normal(50_000, 2_000, 10_000).astype(np.int64)
    assert len(encode(noisy)) < 2.6 * len(noisy)


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        "µs",
        "AAAA",
        packed(b"seven b"),
        packed(bytes(9)),
        encode(np.arange(100))[:-8],
        encode(np.arange(100))[8:],
        "!" + encode(np.arange(100)),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ResultsError, match="samples that can't be decoded"):
        decode(text)


@given(st.text(max_size=40))
def test_any_text_is_refused_or_read(text: str) -> None:
    with suppress(ResultsError):
        assert decode(text).ndim == 1
