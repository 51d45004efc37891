"""What all charts share: how they look, the sheet that they stand on, and how they become files and pages.

A chart is one Altair (Vega-Lite) definition. vl-convert draws it as PNG or SVG without a browser, a page shows its
`spec`, and a notebook the chart itself. Lengths are in pixels, 96 to the inch.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from digitbench.charts.altair_later import ChartType, alt
from digitbench.charts.palette import BLACK, GREY, WHITE

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The first is part of vl-convert, so that a picture is the same everywhere; the others are as wide."""
SMALL, PLAIN, HEAD = 11, 12, 15
"""Sizes of text."""
LINE = 1.35
"""Distance of two lines of text, as a multiple of its size."""
LETTER = 0.54
"""A letter's width as a share of its size: texts that are mostly letters are narrower."""
SCALE = 2
"""Pixels of a PNG for each of the chart's."""
DPI = 96 * SCALE
SMALLEST = 1000
"""Bytes of a PNG or SVG: with less there is nothing in it."""
CONVERT = """
import json, sys, vl_convert
answer = getattr(vl_convert, sys.argv[1])(sys.stdin.buffer.read().decode(), **json.loads(sys.argv[2]))
sys.stdout.buffer.write(answer if isinstance(answer, bytes) else answer.encode())
"""
GRID = "#e5e5e5"
STEPS = (range(10, 100, 5), (10, 15, 20, 30, 40, 50, 60, 80), (10, 20, 50), (10, 30), (10,))
"""Round numbers of a decade, in tenths, of which an axis takes as many as there is room for."""
_AXIS = {"labelColor": BLACK, "titleColor": BLACK, "domainColor": GREY, "tickColor": GREY, "gridColor": GRID,
         "labelFontSize": PLAIN, "titleFontSize": PLAIN, "titleFontWeight": "normal"}  # fmt: skip
CONFIG: dict[str, Any] = {
    "font": FONT, "background": WHITE, "view": {"stroke": None}, "aria": False, "mark": {"aria": False}, "axis": _AXIS,
    "header": {"labelColor": BLACK, "labelFontSize": PLAIN, "labelFontWeight": "bold", "labelAnchor": "start",
               "labelOrient": "top", "labelLimit": 280, "title": None},
    "legend": {"labelColor": BLACK, "labelFontSize": PLAIN, "labelLimit": 250, "title": None, "titleColor": BLACK,
               "titleFontSize": PLAIN, "titleLimit": 400},
    "title": {"color": BLACK, "fontSize": HEAD, "subtitleColor": GREY, "subtitleFontSize": PLAIN, "anchor": "start",
              "frame": "group", "subtitlePadding": 5, "offset": 12},
    "text": {"color": BLACK, "fontSize": PLAIN}, "rule": {"color": BLACK}, "concat": {"spacing": 12},
}  # fmt: skip
"""The look of every chart. A dark page swaps its colours: see `digitbench.charts.palette.ON_DARK`."""


# --- parts of a chart ----------------------------------------------------------------------------------------------


def data(rows: Iterable[Mapping[str, object]]) -> alt.InlineData:
    """Give rows to a chart, as many as there are. A list in a row saves space: see Vega-Lite's ``flatten``."""
    return alt.InlineData(values=tuple(dict(row) for row in rows))  # a list is copied whenever Altair copies the chart


def scale(values: Mapping[str, Any]) -> alt.Scale:
    """Give the scale that turns each name into its colour, shape or dashes."""
    return alt.Scale(domain=list(values), range=list(values.values()))


def log_scale(low: float, high: float, margin: float = 1.0) -> alt.Scale:
    """Give a logarithmic scale from `low` to `high`, each moved outwards by the factor `margin`."""
    return alt.Scale(type="log", domain=[low / margin, high * margin], nice=False)


def log_axis(
    low: float, high: float, title: str | None, most: int = 8, format: str = ",.4~r", **options: Any
) -> alt.Axis:
    """Give a logarithmic axis with round numbers, written out; about `most` of them."""
    values = ticks(low, high, most)
    return alt.Axis(title=title, values=values, format=format, labelFlush=False, labelSeparation=4, **options)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Give round numbers between two ends of a logarithmic axis: powers of ten, and some between if there is room."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in STEPS:
        values = [float(f"{step}e{exponent - 1}") for exponent in exponents for step in steps]
        fitting = [value for value in values if low <= value <= high]
        if len(fitting) <= most:
            break
    return fitting


# --- text ----------------------------------------------------------------------------------------------------------


def text_width(text: str, size: float = PLAIN) -> float:
    """Estimate the width of a line of text, rather too much than too little."""
    return len(text) * size * LETTER


def wrapped(text: str, width: float, size: float = SMALL, letter: float = LETTER) -> list[str]:
    """Break a text between words into lines of some width; a longer word is broken too."""
    letters = max(1, int(width / (size * letter)))
    return [part for line in text.splitlines() for part in textwrap.wrap(line, letters, break_on_hyphens=False)]


def sheet(
    chart: ChartType, width: float, title: str, *, subtitle: str = "", notes: Sequence[str] = (),
    about: str = "",
) -> alt.VConcatChart:  # fmt: skip
    """Put a chart on a sheet: its title above, and below it how to read it and what it was made of.

    Parameters
    ----------
    width
        Of the sheet: longer lines of text are broken.
    title
        What it shows; a line each.
    subtitle
        In grey, below the title.
    notes
        How to read it, and what is wrong with what it shows: each begins a line.
    about
        What it was made of, in grey. Names of files and of user data may be in it.
    """
    head = alt.Title(wrapped(title, width, HEAD))
    if subtitle:
        head.subtitle = wrapped(subtitle, width, PLAIN)
    texts = [(BLACK, [line for note in notes for line in wrapped(note, width)]), (GREY, wrapped(about, width))]
    below = [_lines(lines, width, colour) for colour, lines in texts if lines]
    whole: alt.VConcatChart = alt.vconcat(chart, *below, title=head, config=CONFIG).resolve_scale(
        color="independent", shape="independent"
    )
    return whole


def _lines(lines: Sequence[str], width: float, colour: str) -> alt.Chart:
    style: dict[str, Any] = {"align": "left", "baseline": "top", "fontSize": SMALL, "lineHeight": SMALL * LINE}
    shown = [line.replace("✗", "×") for line in lines]  # which the font has
    chart = alt.Chart(data([{"text": shown}]), width=width, height=len(lines) * SMALL * LINE)
    text: alt.Chart = chart.mark_text(**style, color=colour, limit=width).encode(
        x=alt.value(0), y=alt.value(0), text="text:N"
    )
    return text


def title_of(chart: ChartType) -> str:
    """Give what `sheet` wrote above a chart, in one line."""
    return " ".join(chart.title.text)


# --- files and pages -----------------------------------------------------------------------------------------------


def spec(chart: ChartType) -> dict[str, Any]:
    """Give a chart's Vega-Lite definition as JSON has it: numbers that JSON hasn't become null, NumPy's plain ones."""
    definition: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(chart.to_dict(validate=False), enc_hook=float))
    definition["config"] = CONFIG
    return definition


def svg(chart: ChartType, title: str) -> str:
    """Draw a chart as SVG; the same text for the same chart.

    Parameters
    ----------
    title
        Kept in it, for those who can't see it and for those who find it later.
    """
    text = _checked(converted("vegalite_to_svg", json.dumps(spec(chart)))).decode()
    numbers: dict[str, int] = {}  # Vega numbers its parts on and on, whichever chart they are of
    text = re.sub(
        r'(id="|url\(#)(clip|gradient_)(\d+)',
        lambda part: f"{part[1]}{part[2]}{numbers.setdefault(part[3], len(numbers))}", text,
    )  # fmt: skip
    return re.sub("<svg [^>]*>", lambda tag: f"{tag[0]}<title>{escape(title)}</title>", text, count=1)


def write(chart: ChartType, target: Path, title: str) -> None:
    """Write a chart as SVG or PNG; an SVG has its title in it."""
    if target.suffix.lower() == ".svg":
        target.write_text(svg(chart, title), encoding="utf-8")
    else:
        target.write_bytes(_checked(converted("vegalite_to_png", json.dumps(spec(chart)), scale=SCALE)))


def converted(function: str, text: str, **how: float) -> bytes:
    """Call vl-convert in a process of its own: in this one it would stop every thread, also progress, for seconds.

    What goes wrong is written to standard error; then the answer is empty.
    """
    command = [sys.executable, "-P", *["-B"] * sys.dont_write_bytecode, "-c", CONVERT, function, json.dumps(how)]
    return subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, start_new_session=True).stdout


def _checked(picture: bytes) -> bytes:
    """Refuse what vl-convert gives where a chart fails while it is drawn: an empty picture, and no exception."""
    if len(picture) < SMALLEST:
        raise RuntimeError("a chart failed while it was drawn, and is empty; why stands above, as vl-convert wrote it")
    return picture
