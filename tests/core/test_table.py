"""Tables of columns: what a terminal, Markdown and a page draw alike."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from core.rows import results_of
from core.test_terminal import a_run
from digitbench.records.results import NativeToolResult, Ratio, SgemmRow
from digitbench.report import sections, sgemm
from digitbench.report.page import Source
from digitbench.report.page.html import render
from digitbench.report.table import ALWAYS, CHOSEN, Column, Section, Table, of_metric, text_table
from digitbench.report.terminal import print_results
from digitbench.report.terminal_table import print_rows, print_section


@dataclass(frozen=True)
class Planet:
    name: str
    moons: int | None


PLANETS = (Planet("Mars", 2), Planet("Venus | <b>", None), Planet("Jupiter", 97))
NAME = Column("planet", ALWAYS, attrgetter("name"), left=True)
MOONS = Column("moons\nknown", 5, lambda planet: str(planet.moons or ""), key=attrgetter("moons"))
SPACES = Column("nothing", 1, lambda _: "  ")
LONG = Column("end", 2, lambda planet: 9 * "x", shorter=Column("its end", 3, lambda _: "x"))


def printed(table: Table, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_rows(table, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_lines_hold_what_cells_say_without_what_aligns_them() -> None:
    padded = Column("", ALWAYS, lambda _: "  1   ±2 ")
    coloured = Column("", ALWAYS, lambda _: Text(" red ", "red"))
    table = Table([NAME, MOONS, padded, coloured], PLANETS[:1])
    assert table.heads == ("planet", "moons known", "", "")
    assert table.lines == (("Mars", "2", "1 ±2", "red"),)


def test_a_column_with_nothing_in_any_row_goes_where_asked() -> None:
    assert Table([NAME, SPACES, MOONS], PLANETS).without_empty().columns == [NAME, MOONS]


def test_markdown_escapes_marks_and_has_the_chosen_row_bold() -> None:
    table = Table([NAME, MOONS], PLANETS[1:], lambda planet: CHOSEN if planet.moons else "bold")
    assert table.to_markdown().splitlines() == [
        "| planet | moons known |", "| :-- | --: |", r"| Venus \| \<b\> |  |", "| **Jupiter** | **97** |",
    ]  # fmt: skip
    assert Table([NAME], ()).to_markdown() == ""


def test_a_page_sorts_by_numbers_where_there_are_and_else_by_text() -> None:
    assert [MOONS.sorted_by(planet) for planet in PLANETS] == [2, None, 97]
    assert [NAME.sorted_by(planet) for planet in PLANETS] == ["mars", "venus | <b>", "jupiter"]
    assert SPACES.sorted_by(PLANETS[0]) is None


def test_a_table_of_lines_aligns_its_first_columns_as_text() -> None:
    table = text_table(("a", "b", "c"), [("1", "2", "3")], 2)
    assert table.lines == (("1", "2", "3"),)
    assert [column.left for column in table.columns] == [True, True, False]


def test_on_a_narrow_terminal_the_least_worth_goes_first_and_what_is_always_there_never() -> None:
    table = Table([NAME, MOONS, LONG], PLANETS)
    assert "xxxxxxxxx" in printed(table)
    narrow = printed(Table([NAME, NAME, MOONS, LONG], PLANETS), width=38)
    assert "xxxxxxxxx" not in narrow
    assert "This terminal is too narrow for: its end." in " ".join(narrow.split())
    assert "narrow" not in printed(Table([NAME] * 5, PLANETS), width=20)


def test_what_could_harm_a_terminal_is_shown_as_escapes() -> None:
    assert r"\x1b[31mred" in printed(Table([NAME], [Planet("\x1b[31mred", 0)]))


def test_a_section_has_its_title_and_notes_and_may_lack_rows() -> None:
    for rows, expected in ((PLANETS, True), ((), False)):
        console = Console(file=io.StringIO(), width=80)
        print_section(Section("Planets", Table([NAME], rows), [("Of one sun.", "dim")]), console)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert (lines[0], lines[1], lines[-1]) == ("", "Planets", "Of one sun.")
        assert any("planet" in line for line in lines) is expected
    console = Console(file=io.StringIO())
    print_section(None, console)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(("interval", "text"), [(False, "16.9"), (True, "16.9 ±0.6")])
def test_the_column_of_a_metric_says_what_the_metric_says(interval: bool, text: str) -> None:
    row = a_run()[0][1]
    column = of_metric("p50", 7, interval=interval, left=True)
    assert (column.head, column.worth, column.timing, column.left) == ("p50 µs", 7, True, True)
    assert (column.text(row), column.sorted_by(row)) == (text, 16.9)


def test_a_page_shows_the_sections_that_a_terminal_shows_with_their_notes() -> None:
    rows, extras = a_run()
    sgemm_row = replace(rows[0], backend="sgemm")
    tool = NativeToolResult("onnx", "perf_test", 1, 1, ((10.0, 8.0), (10.5, 9.0)), Ratio(1.2, (1.1, 1.3)), "rounded")
    results = results_of(*rows, **{**extras, "roofs": (SgemmRow(sgemm_row, 200_000),), "referees": (tool,)})
    page = html.unescape(render([Source(Path("x.json"), results, no_data="none")]))
    stream = io.StringIO()
    print_results(results, Console(file=stream), ledger=True)
    shown = [sections.call_breakdowns(results), sections.native_tools(results), sgemm.section(results)]
    for section in filter(None, shown):
        assert section.title in stream.getvalue()
        assert f"<caption><span>{section.title}</span>" in page
        for line, _ in section.notes:
            assert line in stream.getvalue()
            assert f"<li>{line}</li>" in page
    assert ">1.10 6%</td>" in page, "a step with its share of the call"
    assert stream.getvalue().count("Slower than its own tool") == page.count("Slower than its own tool") == 1
