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
from digitbench.train.log import describe


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


@pytest.mark.parametrize("width", [80, 120])
def test_a_running_task_is_one_line_and_no_word_of_it_is_broken(width: int) -> None:
    bars, stream = progress(terminal=True, width=width)
    note = "loss 0.2711, accuracy 92.17% and so on and so forth, which is more than there is room for in a line"
    with bars:
        bars.update("exporting savedmodel", 1, 2, note)
    line = re.sub(r"\x1b\[[?\w]*", "", stream.getvalue().splitlines()[0].rpartition("\r")[2])
    assert "━" in line
    assert len(line) <= width
    *words, last = line.partition("0:00:00 ")[2].split()
    assert last == "…"
    assert words == note.split()[: len(words)]
    assert len(words) > 3


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("task", ["epoch 10/10", "epoch 100/100"])
def test_an_epoch_is_one_line(task: str, width: int) -> None:
    metrics = {"loss": 0.27113, "accuracy": 0.92171, "val_loss": 0.11683, "val_accuracy": 0.96851}
    live, stream = progress(terminal=True, width=width)
    with live:
        live.update(task, 5, 10, describe({"loss": 0.3, "accuracy": 0.9}))
        live.update(task, 10, 10, describe(metrics))
        live.update(task, 10, 10, describe(metrics))
    lines = [line for line in stream.getvalue().splitlines() if "✓" in line]
    assert len(lines) == 1
    text = lines[0].rpartition("\x1b[2K")[2]
    assert text.startswith(f"✓ {task}: loss 0.2711, accuracy 92.17%; validation 0.1168, 96.85%")
    assert len(text.rstrip()) <= width


def test_what_ended_leaves_the_live_part_and_says_how_long_it_took(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        live.update("training", 5, 10)
        clock.now += 3
        live.update("training", 10, 10, "loss 0.1")
        live.update("exporting", 1, 2, "checking it")
    ended = stream.getvalue().index("✓ training: loss 0.1 (3 s)")
    drawn_last = stream.getvalue()[ended:].rpartition("\x1b[2K")[2]
    assert "exporting" in drawn_last
    assert "training" not in drawn_last
    live, stream = progress(terminal=True)
    with live:
        for done in (1, 2, 1, 2):
            live.update("training", done, 2)
    assert stream.getvalue().count("✓ training") == 2, "it may begin again"
    assert "training" not in stream.getvalue().rpartition("✓ training")[2]


# --- the table that fills in ---------------------------------------------------------------------------------------


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
    assert len(frames(stream)) == 5, "at 0, 0.9, 1.8 and 2.7 seconds; what is waited for at once, too"
    assert "onnx batch 1: generation [1]" in frames(stream)[1]
    assert "onnx batch 1: generation [1]" in frames(stream)[-1]


def test_the_last_table_is_drawn_at_once(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        for done in (1, 2, 2.4, 3):
            live.table(half_measured(), done, 3)
    assert [re.findall(r"\d+ %", frame) for frame in frames(stream)] == [["33 %"], ["67 %"], ["100 %"]]


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


def test_of_a_race_the_time_left_is_a_bound(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    results = half_measured()
    raced = replace(results, settings=replace(results.settings, race=True))
    with live:
        live.table(results, 10, 100)
        clock.now += 1
        live.table(raced, 30, 100)
    measured, race = (
        next(line for line in frame.splitlines() if line.startswith("measuring")) for frame in frames(stream)
    )
    assert measured.split("%")[1].strip() == "1:30 left"
    assert race.split("%")[1].strip() == "at most 1:10 left"


def test_a_race_that_goes_on_after_its_bound_takes_longer_than_planned(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    results = half_measured()
    raced = replace(results, settings=replace(results.settings, race=True))
    with live:
        for done, total in ((90, 100), (101, 100), (102, 100), (103, 103)):
            clock.now += 1
            live.table(raced, done, total)
    bars = [line.split() for line in stream.getvalue().splitlines() if line.startswith("measuring")]
    assert [" ".join(bar[1:2] + bar[3:]) for bar in bars] == [
        "1:30 90 % at most 0:10 left",
        "1:41 99 % longer than planned",
        "1:42 99 % longer than planned",
        "1:43 100 % at most 0:00 left",
    ]


def test_lines_printed_before_stay_and_the_table_goes_at_the_end(clock: Clock) -> None:
    live, stream = progress(terminal=True)
    with live:
        live.update("downloading", 1, 1, "12 MB")
        live.table(half_measured(), 15, 60)
        live.say("a [notice]")
    before, frame = stream.getvalue().rsplit("p50 in µs", 1)
    assert "✓ downloading: 12 MB" in before
    last = frame.rsplit("left", 1)[1]
    assert "downloading" not in last
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
