"""What a notebook shows: whole HTML, nothing that runs, and no colour that a dark page would swallow."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from journeys.helpers import rewrite_manifest

from core.test_choice import limits, row
from digitbench.bundle import Bundle
from digitbench.judge.choice import judge
from digitbench.records.results import Results

FORMATS = Path(__file__).parent / "formats"
FILES = sorted(FORMATS.glob("results-*.json"))
NASTY = "<script>alert('x')</script>&\"\n<img src=x>"


SVG = {"svg", "title", "defs", "clippath", "g", "path", "rect", "line", "text", "image"}


class Page(HTMLParser):
    """The cells and texts of a page, after checking that what is opened is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.styles: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in {"src", "href"}]
        self.styles += [value or "" for name, value in attrs if name == "style"]
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


def check(html: str) -> Page:
    """Check that a page is well-formed, runs nothing and leaves colours to the notebook; return it."""
    page = Page(html)
    assert page.seen <= {"div", "table", "thead", "tbody", "tr", "th", "td", *SVG}, "tables, text and a picture alone"
    assert not [style for style in page.styles if re.search(r"(?<![-\w])color:|background:(?!none)|url\(", style)]
    assert len({len(cells) for cells in page.rows}) <= 1, "every row has a cell for each head"
    return page


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_results_of_every_format_are_a_table(file: Path) -> None:
    results = Results.read(file)
    page = check(results._repr_html_())
    head, *body = page.rows
    assert "backend" in head
    shown = [row for row in results.rows if row.latency_us or row.accuracy or row.error]
    assert len(body) == len([row for row in shown if not row.mend])
    assert str(results.bundle["name"]) in page.text


def test_results_say_who_is_fastest_and_that_they_were_stopped() -> None:
    results = replace(Results.read(FORMATS / "results-2.json"), complete=False)
    page = check(results._repr_html_())
    assert "Fastest, " in page.text
    assert "Stopped early" in page.text
    assert "▸" not in page.text
    assert "font-weight:bold" in " ".join(page.styles[3:])


def test_other_peoples_words_are_only_words() -> None:
    results = Results.read(FORMATS / "results-2.json")
    bundle = {**results.bundle, "name": NASTY, "recipe": NASTY}
    first, *other_rows = results.rows
    nasty = replace(first, backend=NASTY, error=NASTY)
    page = check(replace(results, bundle=bundle, rows=(nasty, *other_rows))._repr_html_())
    assert "<script>alert('x')</script>&\"" in page.text, "it is shown as it is spelt"


@pytest.fixture
def bundle(untrained: Bundle, tmp_path: Path) -> Bundle:
    """A copy of a bundle, which a test may change."""
    return Bundle(Path(shutil.copytree(untrained.path, tmp_path / "mine")))


def test_a_bundle_shows_its_metrics_its_artifacts_and_its_training(bundle: Bundle) -> None:
    history = {"loss": [2.0, 1.0], "val_loss": [1.5, 1.75], "accuracy": [0.5, 1.0], "val_accuracy": [0.5, 0.75]}
    (bundle.path / "history.json").write_text(json.dumps(history), encoding="utf-8")
    rewrite_manifest(bundle, bundle.stored | {"layers": [{"name": "dense", "kind": "Dense", "parameters": 5}]})
    bundle = Bundle(bundle.path)
    page = check(bundle._repr_html_())
    assert page.rows[1][:2] == ["npz", "fp32"]
    assert "random on digits" in page.text
    assert "5 parameters" in page.text
    assert page.seen >= {"svg", "path"}, "the curves are drawn, too"
    for curve in ("█▁  2.0000 → 1.0000", "▅▆  1.5000 → 1.7500", "▁█  50.00% → 100.00%", "▁▅  50.00% → 75.00%"):
        assert curve in page.text


def test_a_training_that_diverged_is_drawn_up_to_there_and_said(bundle: Bundle) -> None:
    history = '{"loss": [2.0, 1.0, NaN], "accuracy": [0.5, 0.75, 0.1]}'
    (bundle.path / "history.json").write_text(history, encoding="utf-8")
    page = check(bundle._repr_html_())
    assert "Its training diverged: not all values are numbers from epoch 3 on" in page.text
    assert "█▁?  2.0000 → nan (best 1.0000 after epoch 2)" in page.text


@pytest.mark.parametrize("history", ["{", "{}"])
def test_a_bundle_is_shown_without_a_curve_where_there_is_none(bundle: Bundle, history: str) -> None:
    (bundle.path / "history.json").write_text(history, encoding="utf-8")
    page = check(bundle._repr_html_())
    assert "→" not in page.text
    assert "not the history of a training" in page.text


def test_a_bundles_words_are_only_words_too(bundle: Bundle) -> None:
    bundle.stored["recipe"]["name"] = bundle.stored["artifacts"][0]["checked_by"] = NASTY
    bundle.stored["imported"] = {"source": NASTY, "format": "onnx"}
    rewrite_manifest(bundle, bundle.stored)
    assert check(bundle._repr_html_()).text.count("<script>") == 3


def test_a_choice_shows_what_became_of_each() -> None:
    rows = [row("quick", [1.0, 1.0]), row("slow", [2.0, 2.1])]
    choice = judge(rows, limits(p50="1000s"))
    page = check(choice._repr_html_())
    assert [cells[0] for cells in page.rows] == ["backend", "quick", "slow"]
    assert page.rows[1][-1] == "chosen"
    assert "Chosen: quick fp32" in page.text
    page_without_choice = check(judge(rows, limits(p50="0.001us"))._repr_html_())
    assert page_without_choice.text.startswith("No candidate keeps the limits; nearest is quick fp32: p50 ")


def test_a_core_record_loads_no_report_until_it_is_shown() -> None:
    code = "import digitbench.bundle, digitbench.judge.choice, sys; print('digitbench.report' in sys.modules)"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "False"
