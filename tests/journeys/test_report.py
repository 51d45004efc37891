"""`digitbench report`: the page as a user makes it, and as a browser shows it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import page_of, serious_violations
from conftest import Cli, complaint, run_cli
from core.test_compare import BUNDLE
from core.test_page import candidate, fourteen_rows, results_of

from digitbench.bundle import Bundle
from digitbench.records.results import Results
from digitbench.records.timing import Finding
from digitbench.report.page import Source, html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NASTY = '</script><img src=x onerror="window.ran=1"><a href="javascript:window.ran=1">'


def results_for(bundle: Bundle) -> Results:
    """Fourteen candidates, of which one is INVALID and one failed, and two at another batch size."""
    images = bundle.stored["metrics"]["total"]
    rows = [*fourteen_rows(), *fourteen_rows(batch_sizes=(32,))[-2:]]
    rows[3] = replace(rows[3], validity=(Finding("a busy core", "wait"),))
    rows[5] = rows[5].failed("it died")
    about = BUNDLE | {
        "name": bundle.name, "dataset": bundle.stored["dataset"], "test_images": images,
        "reference_sha256": bundle.stored["reference"]["sha256"],
    }  # fmt: skip
    return results_of(*rows, bundle=about)


def write(results: Results, path: Path) -> Path:
    path.write_text(results.dumps(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory, untrained: Bundle) -> Path:
    """A page of results that lie outside their bundle, made by the command line in a process of its own."""
    folder = tmp_path_factory.mktemp("report")
    write(results_for(untrained), folder / "found.json")
    done = run_cli("report", "found.json", "--bundle", untrained.path, "--markdown", "found.md", "--output",
                   "page.html", cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.split() == ["page.html", "found.md"]
    assert {path.name for path in folder.iterdir()} == {"found.json", "found.md", "page.html"}
    return folder / "page.html"


# --- as a browser shows it -----------------------------------------------------------------------------------------


def column(page: Page, title: str) -> list[str]:
    """The cells of a column that are to be seen."""
    heads = page.locator("#full thead button").all_inner_texts()
    position = [head.partition(" ")[0] for head in heads].index(title) + 1
    return page.locator(f"#full tbody tr:not([hidden]) > :nth-child({position})").all_inner_texts()


def until(page: Page, expression: str) -> bool:
    """Wait for what comes a little later; the page's own policy forbids `wait_for_function`."""
    for _ in range(50):
        if page.evaluate(expression):
            return True
        page.wait_for_timeout(100)
    return False


def check_table(page: Page) -> None:
    head = page.locator("#full thead th", has_text="p50")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = [float(cell.partition(" ")[0].replace(",", "")) for cell in column(page, "p50")]
    assert values == sorted(values)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert float(column(page, "p50")[0].partition(" ")[0].replace(",", "")) == max(values)
    page.get_by_label("Find").fill("tflite int8")
    assert sorted(column(page, "candidate")) == ["tflite int8 batch 1", "tflite int8 batch 32"]
    filters = page.locator("#filters")
    filters.get_by_label("batch size").select_option("32")
    assert page.locator("#count").inner_text() == "1 of 16 rows"
    filters.get_by_label("batch size").select_option("")
    page.get_by_label("Find").fill("")
    filters.get_by_label("state").select_option("INVALID")
    assert column(page, "state") == column(page, "verdict") == ["INVALID"]
    filters.get_by_label("state").select_option("")


def check_what_is_in_view(page: Page) -> None:
    """What most people decide by is in view, and the name stays there while the table moves."""
    box, row = page.locator(".scroll:has(#full)"), page.locator("#full tbody tr").first
    place, verdict, name = box.bounding_box(), row.locator("td").nth(3).bounding_box(), row.locator("th")
    assert place
    assert verdict
    assert verdict["x"] + verdict["width"] <= place["x"] + place["width"] + 1
    assert box.evaluate("box => { box.scrollLeft = 600; return box.scrollLeft; }") > 100
    moved = name.bounding_box()
    assert moved
    assert moved["x"] == pytest.approx(place["x"], abs=1)
    box.evaluate("box => { box.scrollLeft = 0; }")


def check_hover(page: Page) -> None:
    plot = page.locator("#plot-front-t1-b1")
    plot.scroll_into_view_if_needed()
    plot.locator(".mark-symbol path").first.wait_for(state="attached")
    tooltip = page.locator("#vg-tooltip-element.visible")
    for mark in plot.locator(".mark-symbol path").all():
        box = mark.bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(60)
        if tooltip.count():
            break
    hover_text = tooltip.inner_text()
    assert re.search(r"p50 [\d.,]+ µs", hover_text)
    assert "\ntop-1" in hover_text


def test_the_page_sorts_filters_hovers_asks_for_nothing_and_is_for_everybody(page_path: Path, browser: Browser) -> None:
    with page_of(browser, viewport={"width": 1280, "height": 900}, color_scheme="light") as (page, seen):
        page.goto(page_path.as_uri())
        check_what_is_in_view(page)
        check_table(page)
        check_hover(page)
        shown = page.locator(".verdict:visible .sentence")
        assert "batch size 1, 1 thread" in shown.inner_text()
        page.get_by_label("Show").select_option("1-32")
        assert "batch size 32, 1 thread" in shown.inner_text()
        assert page.locator("#plot-front-t1-b1").is_hidden()
        page.locator("#plot-front-t1-b32 svg").wait_for()
        assert serious_violations(page) == []
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
        assert serious_violations(page) == []
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390  # wide charts scroll in their place
        check_what_is_in_view(page)
        chart = page.locator("#plot-front-t1-b32 svg")
        page.wait_for_timeout(500)  # it is drawn anew, with the table below the marks
        assert 390 < chart.evaluate("svg => svg.clientWidth") < 800
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
        assert page.locator("#filters").is_hidden()
        assert page.locator("#plot-tail-t1-b32 svg").is_visible()  # was out of sight until then
        page.wait_for_timeout(500)
        assert page.locator("svg.marks:visible").count() == page.locator(".plot:visible").count()
        assert (
            page.locator("svg.marks:visible").evaluate_all("all => Math.max(...all.map(one => one.clientWidth))") < 800
        )
    assert seen.errors == []
    assert seen.requests == [page_path.as_uri()]


def poisoned(value: Any, key: str = "") -> Any:
    """The same with a script after every text but those that must be read as what they are."""
    if isinstance(value, dict):
        return {name: poisoned(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, key) for item in value]
    return value + NASTY if isinstance(value, str) and key not in ("schema", "samples") else value


def test_text_in_results_is_text_and_never_runs(tmp_path: Path, browser: Browser) -> None:
    rows = (candidate("keras", 3.0, lost=2), candidate("tflite", validity=(Finding("busy", "wait"),)),
            candidate("onnx", lost=1), candidate("numpy", error="it died"))  # fmt: skip
    results = Results.from_json(poisoned(json.loads(results_of(*rows).dumps())), "poisoned")
    older = replace(results, created="1999")
    page_file = tmp_path / "page.html"
    page_file.write_text(html.render([Source(tmp_path / NASTY, run, no_data=NASTY) for run in (results, older)]),
                         encoding="utf-8")  # fmt: skip
    with page_of(browser) as (page, seen):
        page.goto(page_file.as_uri())
        page.evaluate("dispatchEvent(new Event('beforeprint'))")  # draws what is out of sight too
        assert until(
            page, "document.querySelectorAll('.plot svg').length === document.querySelectorAll('.plot').length"
        )
        assert page.locator(".plot svg").count() > 3
        assert page.evaluate("window.ran") is None
        assert page.locator("img, svg a, a[href^=javascript]").count() == 0
        assert NASTY in page.locator(".sentence").inner_text()
    assert seen.errors == []
    assert seen.requests == [page_file.as_uri()]


# --- as a user makes it --------------------------------------------------------------------------------------------


def test_the_page_draws_flips_and_confusion_and_says_what_it_lacks(page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    assert text.count('<img src="data:image/png;base64,') == 3
    assert 'id="plot-confusion" role="img" aria-label="Which digits the reference confuses: ' in text
    assert re.search(r"The training&#39;s curves can't be shown here: \S+ has no history to draw", text)
    assert "fingerprint" in text
    assert len(text.encode()) < 1_500_000


def test_the_newest_results_of_a_bundle_are_taken_and_the_page_lies_beside_them(
    cli: Cli, tmp_path: Path, untrained: Bundle
) -> None:
    folder = tmp_path / "mine"
    (folder / "results").mkdir(parents=True)
    for name in ("manifest.json", "reference_scores.npy"):
        (folder / name).write_bytes((untrained.path / name).read_bytes())
    write(results_for(untrained), folder / "results" / "bench.json")
    done = cli("report", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(Path("mine/results/bench.html"))
    assert (folder / "results" / "bench.html").is_file()


def test_markdown_goes_to_standard_output_alone_and_several_runs_are_compared(cli: Cli, tmp_path: Path) -> None:
    rows = fourteen_rows()[:3]
    older = write(results_of(*rows), tmp_path / "a.json")
    newer = write(results_of(*rows, created="2026-11-22T00:00:00+00:00"), tmp_path / "b.json")
    done = cli("report", newer, older, "--markdown", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("## mine: which to ship\n")
    assert "**mine, 2026-11-22 00:00 UTC** against the first: 0 worse and 0 better" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]
    (tmp_path / "comparison.md").write_text(done.stdout, encoding="utf-8")
    done = cli("report", newer, older, "--output", "comparison.html", "--markdown", "-")
    assert "comparison.html" not in done.stdout
    assert done.stderr.strip() == "comparison.html"
    done = cli("report", newer, older, "--output", "comparison.html", "--markdown", "comparison.md")
    assert (done.returncode, done.stderr) == (0, ""), "a report replaces a report"
    assert 'id="plot-runs-t1-b1"' in (tmp_path / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.json",), "nothing.json: no such results file or model"),
        (("found.json", "--output", "found.json"), "--output found.json: this is the results file itself"),
        (
            ("found.json", "--output", "half.json"),
            "--output half.json: it holds something else, which would be lost",
        ),
        (("found.json", "--markdown", "half.json"), "--markdown half.json: it holds something else"),
        (
            ("found.json", "--output", "x", "--markdown", "x"),
            "--output and --markdown can't both be x; name another file",
        ),
        (("found.json", "--data", "x.npz"), "--data x.npz: only the model says which data it needs"),
        (("found.json", "--bundle", "nowhere"), "nowhere: no such model"),
        (("half.json",), "half.json: not whole: it lacks machine.system; measure again"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_leaves_nothing(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    results = results_of(candidate("keras"))
    write(results, tmp_path / "found.json")
    machine = {name: value for name, value in results.machine.items() if name != "system"}
    write(replace(results, machine=machine), tmp_path / "half.json")
    assert message in complaint(cli("report", *arguments))
    assert {path.name for path in tmp_path.iterdir()} == {"found.json", "half.json"}
