"""The batch size from which throughput no longer grows, and the chart of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.rows import generation, timed
from core.test_terminal import shown, table_of
from digitbench.judge.saturation import saturation
from digitbench.records.results import (
    Finding,
    Row,
)


def curve(**throughputs: float) -> dict[int, Row]:
    return {int(size[1:]): timed("onnx", int(size[1:]), 10, throughput_per_s=value) for size, value in
            throughputs.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "batch_size"),
    [
        (curve(b1=10, b8=95, b32=100), "8"),
        (curve(b1=10, b8=94.9, b32=100), "32 or more"),
        (curve(b1=10, b8=96, b32=90, b64=100), "8"),
        (curve(b1=96, b8=50, b32=100), "1"),
        (curve(b1=100, b8=50, b32=60), "1"),
        (curve(b1=10), "?"),
    ],
)
def test_saturation_is_the_smallest_size_that_reaches_95_percent_of_any_larger(
    rows: dict[int, Row], batch_size: str
) -> None:
    assert saturation(rows) == batch_size


def test_saturation_is_only_about_so_if_some_generation_says_otherwise() -> None:
    def row_of_size(size: int, *throughputs: float) -> Row:
        generations = tuple(generation(i, n=100, seconds=100 * size / value) for i, value in enumerate(throughputs))
        return timed("onnx", size, 10, throughput_per_s=throughputs[0], generations=generations)

    best = row_of_size(32, 100, 100, 100)
    assert saturation({1: row_of_size(1, 10, 10, 10), 8: row_of_size(8, 97, 96, 98), 32: best}) == "8"
    assert saturation({1: row_of_size(1, 10, 10, 10), 8: row_of_size(8, 97, 94, 98), 32: best}) == "~8"
    assert saturation({1: row_of_size(1, 10, 10, 10), 8: row_of_size(8, 97, 80, 98), 32: best}) == "32 or more"
    bad = replace(best, validity=(Finding("busy", ""),))
    assert saturation({1: row_of_size(1, 10, 10, 10), 8: row_of_size(8, 50, 50, 50), 32: bad}) == "8 or more"


def test_the_chart_comes_with_three_batch_sizes_and_all_bars_have_one_scale() -> None:
    rows = [timed(name, size, 10, throughput_per_s=value) for name, values in
            (("onnx", (53_100, 200_000, 1_204_000)), ("keras", (100, 602_000, 950_000))) for size, value in
            zip((1, 8, 32), values, strict=True)]  # fmt: skip
    assert "Throughput" not in shown(*(row for row in rows if row.batch_size != 8))
    text = shown(*rows).partition("Throughput against batch size, in images/s")[2]
    (onnx,) = table_of(text, "onnx")
    (keras,) = table_of(text, "keras")
    assert onnx.split() == ["onnx", "▌", "53.1k", "█▋", "200k", "██████████", "1.20M", "32", "or", "more"]
    assert keras.split() == ["keras", "▏", "100", "█████", "602k", "███████▉", "950k", "32", "or", "more"]
    assert text.index("onnx") < text.index("keras"), "best first"


def test_what_a_busy_machine_withholds_has_no_bar_and_does_not_count() -> None:
    rows = [timed("onnx", size, 10, throughput_per_s=value) for size, value in ((1, 100), (8, 950), (32, 400), (64, 1))]
    busy = replace(rows[2], throughput_per_s=9e9, doubts=(Finding("it waited for a CPU 14% of the time", ""),))
    assert saturation({row.batch_size or 0: row for row in (rows[0], rows[1], busy)}) == "8 or more"
    (line,) = table_of(shown(rows[0], rows[1], busy, rows[3]).partition("Throughput against")[2], "onnx")
    assert line.split() == ["onnx", "█", "100", "██████████", "950", "▏", "1", "8"]


def test_with_many_batch_sizes_a_narrow_terminal_gets_curves() -> None:
    rows = [timed("onnx", 2**i, 10, throughput_per_s=1000.0 * i + 1) for i in range(12)]
    (line,) = table_of(shown(*rows, width=60).partition("Throughput")[2], "onnx")
    assert line.split() == ["onnx", "▁▁▂▃▃▄▅▆▆▇██", "11.0k", "2048", "or", "more"]


def test_each_thread_count_has_a_chart_of_its_own() -> None:
    rows = [timed("onnx", size, 10, threads=threads, throughput_per_s=100.0 * threads) for threads in (1, 2)
            for size in (1, 8, 32)]  # fmt: skip
    _, one_thread, two_threads = shown(*rows).split("Throughput against batch size, ")
    assert one_thread.startswith("1 thread, in images/s")
    assert two_threads.startswith("2 threads, in images/s")
    assert [line.split().count("100") for line in table_of(one_thread, "onnx")] == [3]
    assert [line.split().count("200") for line in table_of(two_threads, "onnx")] == [3]


@pytest.mark.parametrize(("width", "longest"), [(100, 10), (74, 8), (62, 4), (56, 2)])
def test_bars_are_as_long_as_there_is_room_for(width: int, longest: int) -> None:
    rows = [timed("savedmodel", size, 10, throughput_per_s=100.0) for size in (1, 8, 32)]
    (line,) = table_of(shown(*rows, width=width).partition("Throughput")[2], "savedmodel")
    assert line.split()[1] == "█" * longest
