"""Progress as people see it: bars, a table that fills in, or plain lines."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from core.helpers import Recorder
from core.rows import FLOOR, compared, results_of
from core.test_terminal import a_run
from digitbench.measure.plan import RunProgress
from digitbench.records.results import Ratio, Results, Row
from digitbench.records.settings import Settings
from digitbench.report import live as live_module
from digitbench.report.live import LiveProgress
from digitbench.report.live_table import render_live_table
from digitbench.system.progress import Silent


def progress(terminal: bool, width: int = 80) -> tuple[LiveProgress, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    return LiveProgress(console, animate=False), stream


def test_elsewhere_than_on_a_terminal_each_task_that_ends_is_one_line() -> None:
    live, stream = progress(terminal=False)
    with live:
        for i in range(11):
            live.update("training", i, 10, f"loss {i}")
        live.update("onnx", 0.5, 1)
        live.update("training", 10, 10, "again")
        live.update("export", 1, 1)
        live.say("a [notice]")
    assert stream.getvalue().splitlines() == ["training: loss 10", "export: done", "a [notice]"]


def test_elsewhere_a_long_line_stays_one_line() -> None:
    live, stream = progress(terminal=False, width=80)
    with live:
        live.update("training", 1, 1, "word " * 40 + "end")
        live.say("word " * 40 + "end")
    assert stream.getvalue().splitlines() == ["training: " + "word " * 40 + "end", "word " * 40 + "end"]


def test_on_a_terminal_tasks_are_drawn_with_their_notes() -> None:
    live, stream = progress(terminal=True)
    with live:
        live.update("training", 5, 10, "half [way]")
        live.update("training", 10, 10, "loss 0.1")
        live.say("a [notice]")
    text = stream.getvalue()
    assert "half [way]" in text
    assert "loss 0.1" in text
    assert "✓" in text
    assert "a [notice]" in text


def test_a_long_note_wraps_and_leaves_the_bar_on_a_narrow_terminal() -> None:
    bars, stream = progress(terminal=True, width=80)
    note = "loss 0.2711, accuracy 92.17% | validation loss 0.1168, accuracy 96.85%"
    with bars:
        bars.update("exporting savedmodel", 1, 2, note)
    assert "━" in stream.getvalue()
    assert "96.85%" in stream.getvalue()


# --- the table that fills in ---------------------------------------------------------------------------------------


class Clock:
    """Stands in for `time.monotonic`."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live_module, "monotonic", clock)
    return clock


def half_measured() -> Results:
    rows, changes = a_run()
    rows = (*rows[:2], replace(rows[2], latency_us=None, ratio=None, rank=None, generations=()), *rows[3:])
    return results_of(*rows, Row("savedmodel", "fp32", 1, 1, error="it died"), complete=False, **changes)


def frames(stream: io.StringIO) -> list[str]:
    """What was drawn, one text for each time."""
    return stream.getvalue().split("p50 in µs")[1:]


def cells(frame: str, name: str) -> list[str]:
    (line,) = (line for line in frame.splitlines() if line.split()[:1] == [name])
    return line.split()[1:]


def test_the_table_shows_what_is_measured_so_far(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        live.table(half_measured(), 15, 60)
    (frame,) = frames(stream)
    assert cells(frame, "tflite") == ["18.8", "×1.00", "3", "of", "3"]
    assert cells(frame, "onnx") == ["16.9", "×0.90", "3", "of", "3"]
    assert cells(frame, "numpy") == ["·", "0", "of", "3"]
    assert cells(frame, "savedmodel") == ["failed"]
    (bar,) = (line for line in frame.splitlines() if line.startswith("measuring"))
    assert "━" in bar
    assert "25 %" in bar
    assert "0:45 left" in bar


def test_it_is_drawn_once_a_second_at_most_and_says_who_is_at_work(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        for i in range(100):
            live.table(half_measured(), i, 100)
            live.update("onnx batch 1", i, 100, "generation [1]")
            clock.now += 0.035
        live.update("onnx batch 1", 100, 100)
    assert len(frames(stream)) == 4, "at 0, 0.9, 1.8 and 2.7 seconds"
    assert "onnx batch 1: generation [1]" in frames(stream)[-1]


def test_the_last_table_is_drawn_at_once(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        for done in (1, 2, 3):
            live.table(half_measured(), done, 3)
    assert [re.findall(r"\d+ %", frame) for frame in frames(stream)] == [["33 %"], ["100 %"]]


def test_a_step_is_a_note_on_a_terminal_and_a_line_elsewhere(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        live.step("starting 6 [processes]")
        assert "starting 6 [processes]" in stream.getvalue()
        live.table(half_measured(), 1, 100)
        clock.now += 1
        live.step("generation 1 of 5")
    assert "generation 1 of 5" in frames(stream)[-1].rsplit("left", 1)[1]
    assert "generation 1 of 5" not in stream.getvalue().rsplit("generation 1 of 5", 1)[1]
    live, stream = progress(terminal=False)
    with live:
        live.step("starting 6 [processes]")
    assert stream.getvalue() == "starting 6 [processes]\n"


def test_the_time_left_is_the_plan_until_there_is_a_pace(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        for done in (0, 4, 50, 100):
            live.table(half_measured(), done, 100)
            clock.now += 2 * 50  # twice as long as planned, or more
    left = [next(word for word in frame.split() if ":" in word) for frame in frames(stream)]
    assert left == ["1:40", "1:36", "3:20", "0:00"]


def test_bars_drawn_before_stay_and_the_table_goes_at_the_end(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        live.update("downloading", 1, 1, "12 MB")
        live.table(half_measured(), 15, 60)
        live.say("a [notice]")
    before, frame = stream.getvalue().rsplit("p50 in µs", 1)
    assert "downloading" in before
    last = frame.rsplit("left", 1)[1]
    assert "downloading" in last
    assert "tflite" not in last
    assert "a [notice]" in stream.getvalue()


def test_elsewhere_than_on_a_terminal_the_table_is_nothing() -> None:
    live, stream = progress(terminal=False)
    with live:
        live.table(half_measured(), 15, 60)
        live.update("onnx batch 1", 1, 1, "p50 16.9 µs")
    assert stream.getvalue() == "onnx batch 1: p50 16.9 µs\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_draws_nothing_and_sends_notices_to_standard_error(
    terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    with LiveProgress(Console(file=stream, force_terminal=terminal, color_system=None), quiet=True) as live:
        live.update("training", 1, 1, "loss 0.1")
        live.table(half_measured(), 15, 60)
        live.step("starting")
        live.say("no MNIST: digits instead")
    assert stream.getvalue() == ""
    assert capsys.readouterr() == ("", "no MNIST: digits instead\n")


def drawn(results: Results, width: int = 80, height: int = 24) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200, color_system=None).print(render_live_table(results, width, height))
    return stream.getvalue()


def many(sizes: int, backends: int = 3) -> Results:
    rows = [
        compared(f"b{i}", 2**size, 10.0, 1, Ratio(1.5, (1.4, 1.6))) for i in range(backends) for size in range(sizes)
    ]
    return results_of(*rows, settings=Settings(generations=3))


def test_a_narrow_live_table_gives_up_ratios_and_then_batch_sizes() -> None:
    assert "×1.50" in drawn(many(3))
    assert drawn(many(5)).splitlines()[-2].count("×1.50") == 1, "the smallest batch size keeps it longest"
    assert "×1.50" not in drawn(many(5), width=70)
    assert "batch 16" in drawn(many(5))
    assert "batch 16" not in drawn(many(5), width=60)
    assert max(len(line.rstrip()) for line in drawn(many(12)).splitlines()) <= 80


def test_a_low_terminal_gets_as_many_lines_as_it_has_room_for() -> None:
    text = drawn(many(1, backends=30), height=20)
    assert len(text.splitlines()) <= 20
    assert "and 15 more" in text
    assert "more" not in drawn(many(1, backends=16), height=20)


def test_a_tie_and_the_last_generation_of_several_sizes() -> None:
    rows = (
        compared("onnx", 1, 10, None, Ratio(1.01, (0.98, 1.04))),
        compared("onnx", 8, 80, None, Ratio(1.2, (1.1, 1.3)), generations=()),
    )
    text = drawn(results_of(*rows, settings=Settings(generations=3), floors=(FLOOR,)))
    assert cells(text, "onnx") == ["10.0", "tie", "80.0", "×1.20", "0", "of", "3"]


def listeners() -> Iterator[RunProgress]:
    yield Silent()
    yield Recorder()
    yield LiveProgress(Console(file=io.StringIO()))


@pytest.mark.parametrize("listener", list(listeners()), ids=lambda listener: type(listener).__name__)
def test_every_listener_takes_every_call(listener: RunProgress) -> None:
    listener.update("a", 0, 1)
    listener.say("b")
    listener.step("c")
    listener.table(half_measured(), 1, 2)
    if isinstance(listener, Recorder):
        assert listener.tables == [(half_measured(), 1, 2)]
