"""Limits of `digitbench choose`: units, and one line for what isn't a limit."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.helpers import one_printable_line
from digitbench.errors import UsageError
from digitbench.judge.limits import parse_limit, parse_limits

NAMES = ("accuracy", "flips", "memory", "p50", "p99", "size", "throughput")


@pytest.mark.parametrize(
    ("name", "text", "bound"),
    [
        ("p99", "200us", 200.0),
        ("p99", "200µs", 200.0),
        ("p99", "200μs", 200.0),  # the Greek letter, not the sign
        ("p99", "0.2ms", 200.0),
        ("p50", " 1.5 ms ", 1500.0),
        ("p50", "2s", 2e6),
        ("p50", "200ns", 0.2),
        ("accuracy", "97.5%", 0.975),
        ("accuracy", "0.975", 0.975),
        ("accuracy", "97.5 %", 0.975),
        ("accuracy", "1", 1.0),
        ("accuracy", "100%", 1.0),
        ("memory", "150MB", 150e6),
        ("memory", "150MiB", 150 * 2**20),
        ("memory", "1.5GB", 1.5e9),
        ("memory", "2 GiB", 2 * 2**30),
        ("size", "500kB", 500e3),
        ("size", "500KB", 500e3),
        ("size", "1kib", 1024.0),
        ("size", "12B", 12.0),
        ("flips", "0", 0.0),
        ("flips", "12", 12.0),
        ("throughput", "20000", 20000.0),
        ("throughput", "2.5/s", 2.5),
        ("throughput", "20000 images/s", 20000.0),
    ],
)
def test_a_limit_is_read_in_its_unit(name: str, text: str, bound: float) -> None:
    assert parse_limit(name, text).bound == bound


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p99", "200", "--max-p99 '200': give a time with its unit, such as 200us or 0.2ms"),
        ("p99", "-200us", "give a time"),
        ("p99", "200MB", "give a time"),
        ("p99", "0us", "nothing is as small as 0"),
        ("p50", "", "--max-p50 '': give a time"),
        ("p50", "1e3us", "give a time"),
        ("p50", "nanus", "give a time"),
        ("p50", "1,5ms", "give a time"),
        ("accuracy", "97.5", "--min-accuracy '97.5': no share is above 100%"),
        ("accuracy", "101%", "no share is above 100%"),
        ("accuracy", "0", "everything keeps a limit of 0"),
        ("accuracy", "97.5pp", "give a share, such as 97.5% or 0.975"),
        ("memory", "150", "--max-memory '150': give a size with its unit"),
        ("memory", "150us", "give a size"),
        ("size", "0kB", "nothing is as small as 0"),
        ("flips", "1.5", "--max-flips '1.5': give a whole number of images"),
        ("flips", "2%", "give a whole number"),
        ("throughput", "fast", "--min-throughput 'fast': give a number of images per second"),
        ("throughput", "0", "everything keeps a limit of 0"),
        ("size", "9" * 400 + "kB", "…': give a size"),
    ],
)
def test_what_is_no_limit_is_refused_in_one_line(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_limit(name, text)
    assert message in str(refused.value)
    assert one_printable_line(str(refused.value))


@given(st.sampled_from(NAMES), st.text(max_size=20))
@example("p99", "1\x00us")
@example("p99", "١us")  # a digit, in Arabic
def test_anything_else_is_a_limit_or_one_line(name: str, text: str) -> None:
    refusal, bound = "", 0.0
    try:
        bound = parse_limit(name, text).bound
    except UsageError as exc:
        refusal = str(exc)
    if refusal:
        assert one_printable_line(refusal)
    else:
        assert bound >= 0
        assert text.strip()[0] in "0123456789"


@given(st.integers(1, 10_000))
def test_an_accuracy_keeps_the_percentage_that_it_is_exactly(correct: int) -> None:
    limit = parse_limit("accuracy", f"{correct // 100}.{correct % 100:02d}%")
    assert limit.kept_by(correct / 10_000)
    assert not limit.kept_by((correct - 1) / 10_000)


@given(st.sampled_from(["p99", "memory", "size", "flips"]), st.integers(1, 10**9), st.integers(0, 10**9))
def test_at_most_means_the_bound_too(name: str, bound: int, value: int) -> None:
    unit = {"p99": "us", "memory": "B", "size": "B", "flips": ""}[name]
    limit = parse_limit(name, f"{bound}{unit}")
    assert limit.kept_by(value) == (value <= bound)
    assert (limit.excess(value) > 0) == (value > bound)


@pytest.mark.parametrize(
    ("name", "text", "value", "message"),
    [
        ("p99", "200us", 231.04, "p99 231.0 µs is above 200 µs"),
        ("p99", "0.2ms", 200.004, "p99 200.004 µs is above 200 µs"),
        ("accuracy", "97.5%", 0.9743, "top-1 97.43% is below 97.5%"),
        ("accuracy", "97.5%", 0.974999, "top-1 97.4999% is below 97.5%"),
        ("memory", "150MB", 151.26e6, "peak memory 151 MB is above 150 MB"),
        ("size", "500kB", 817_392, "size 817 kB is above 500 kB"),
        ("size", "500kB", 500_001, "size 500.001 kB is above 500 kB"),
        ("flips", "3", 12, "flips: 12, more than 3"),
        ("throughput", "20000", 12_345.6, "throughput 12,346 images/s is below 20,000 images/s"),
    ],
)
def test_a_broken_limit_is_told_with_values_that_differ(name: str, text: str, value: float, message: str) -> None:
    assert parse_limit(name, text).broken_by(value) == message


def test_only_what_was_given_is_a_limit() -> None:
    limits = parse_limits({"p99": "200us", "p50": None, "flips": "0"})
    assert [(limit.metric.name, limit.text) for limit in limits] == [("p99", "200us"), ("flips", "0")]
    assert [str(limit) for limit in limits] == ["p99 of at most 200 µs", "flips of at most 0"]
