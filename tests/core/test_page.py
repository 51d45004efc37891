"""The report's parts: small pictures, the command, tables, the page and its charts, Markdown."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pytest
import vl_convert
from typer.main import get_group

from core.rows import sampled
from core.test_choice import row
from core.test_compare import BUNDLE, MACHINE, run
from core.test_trainings import trained_bundle
from digitbench import data
from digitbench.bundle import Bundle
from digitbench.charts import vega
from digitbench.cli import app
from digitbench.errors import BundleError, MissingRuntimeError, ResultsError
from digitbench.evaluate.accuracy import of_classes
from digitbench.records import pictures
from digitbench.records.results import Floor, McNemar, Results, Row
from digitbench.records.settings import Settings
from digitbench.records.timing import Finding, Ratio
from digitbench.report import page, sections
from digitbench.report.page import Source, changed_images, command, curves, facts, plots, runs, table
from digitbench.report.page import html as pages
from digitbench.report.page import markdown as markdowns
from digitbench.report.page.recommendation import recommendations
from digitbench.system.packages import install_command

SETTINGS = Settings(seconds=3.0, generations=3, seed=7, baseline=("tflite", "int8"), timeout=120.0)
PRECISIONS = {
    "keras": ("fp32",), "numpy": ("fp32",), "onnx": ("fp32", "fp16", "dynamic", "int8"), "savedmodel": ("fp32",),
    "openvino": ("fp32", "fp16", "int8"), "tflite": ("fp32", "fp16", "dynamic", "int8"),
}  # fmt: skip
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def with_calls(timed_row: Row, calls: int = 400, seed: int = 0) -> Row:
    """The same row with timed calls in each generation."""
    draw = np.random.default_rng(seed)
    durations = [
        np.asarray(generation.p50 * 1000 * np.exp(draw.gamma(1, 0.1, calls)), np.int64)
        for generation in timed_row.generations
    ]
    generations = tuple(map(sampled, timed_row.generations, durations))
    return replace(timed_row, generations=generations, ratio=Ratio(1.0, (0.99, 1.01)))


def candidate(name: str, level: float = 1.0, precision: str = "fp32", *, calls: int = 400, **more: Any) -> Row:
    candidate_row = row(name, [0.99 * level, level, 1.01 * level], **{"precision": precision, **more})
    agreement = candidate_row.agreement
    assert agreement
    mcnemar = McNemar(sum(flip.reference_label == 1 for flip in agreement.flipped), 0, 0.5)
    return with_calls(replace(candidate_row, agreement=replace(agreement, mcnemar=mcnemar)), calls)


def fourteen_rows(*, calls: int = 400, batch_sizes: Sequence[int] = (1,)) -> list[Row]:
    """A row for each backend and precision, at each batch size; the quantised ones have flips and are quicker."""
    rows = []
    for size in batch_sizes:
        for i, (name, precisions) in enumerate(PRECISIONS.items()):
            for j, precision in enumerate(precisions):
                candidate_row = candidate(name, (1 + i) * size / (1 + j), precision, calls=calls, lost=j, size=9000 - j)
                rows.append(replace(candidate_row, batch_size=size, rank=None))
    return rows


def results_of(*rows: Row, **changes: Any) -> Results:
    floor = Floor("tflite", "int8", 1, 1, Ratio(1.0, (0.98, 1.03)), {"0": 1.0})
    return run(*rows, **{"settings": SETTINGS, "floors": (floor,), **changes})


def source_of(results: Results, **more: Any) -> Source:
    return Source(Path("found.json"), results, **more)


# --- pictures ------------------------------------------------------------------------------------------------------


def test_a_png_of_ours_is_read_by_others_as_it_was() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    with Image.open(io.BytesIO(base64.b64decode(pictures.encode(pixels)))) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert (np.asarray(image) == pixels).all()


def test_changed_images_come_with_every_answer_and_once_for_all_batch_sizes() -> None:
    changes, count = changed_images.changed(source_of(results_of(*fourteen_rows(batch_sizes=(1, 32)))))
    assert count == len(changes) == 3
    first, picture = changes[0]
    assert [(answer.label, answer.right, answer.margins) for answer in first.answers] == [
        (1, True, "by 0.1"), (2, False, "by 0.1"),
    ]  # fmt: skip
    assert first.answers[1].who.count("onnx fp16") == 1
    assert picture == ""


# --- the command ---------------------------------------------------------------------------------------------------


def parsed(line: str) -> dict[str, Any]:
    """The options that the command line reads from it, without running anything."""
    program, name, *arguments = shlex.split(line)
    assert program == "digitbench"
    options: dict[str, Any] = get_group(app).commands[name].make_context(name, arguments).params
    return options


def test_the_command_is_understood_and_asks_for_what_was_measured() -> None:
    source = source_of(results_of(*fourteen_rows(batch_sizes=(1, 32))))
    options = parsed(command.command(source))
    assert (options["seconds"], options["generations"], options["seed"], options["timeout"]) == (3.0, 3, 7, 120.0)
    assert (options["batch_size"], options["threads"], options["baseline"]) == ("1,32", "1", "tflite:int8")
    assert set(options["backend"][0].split(",")) == set(PRECISIONS)
    assert set(options["precision"][0].split(",")) == {"fp32", "fp16", "dynamic", "int8"}
    assert options["limit"] == 1000
    assert str(options["run"]) == "runs/mine"
    assert any("Not every backend" in line for line in command.caveats(source))


def test_names_cannot_leave_their_place_in_the_command() -> None:
    options = parsed(
        command.command(source_of(results_of(candidate("a; rm -rf 'b"), bundle=BUNDLE | {"name": "$(x) y"})))
    )
    assert options["backend"] == ["a; rm -rf 'b"]
    assert str(options["run"]) == "runs/$(x) y"


def test_an_evaluation_is_made_again_by_evaluate() -> None:
    rows = [replace(timed_row, latency_us=None, batch_size=None, generations=()) for timed_row in fourteen_rows()]
    line = command.command(source_of(results_of(*rows, settings=Settings(), floors=())))
    assert line.startswith("digitbench evaluate ")
    assert parsed(line)["threads"] == 1


# --- tables --------------------------------------------------------------------------------------------------------


def test_every_row_that_is_not_valid_is_told_with_its_reason_and_mend() -> None:
    results = results_of(
        candidate("keras"), candidate("onnx", validity=(Finding("a busy core", "wait"), Finding("few calls", ""))),
        candidate("numpy", doubts=(Finding("it waited", "wait"),)), candidate("tflite", error="it died"),
        Row("mine", "fp32", 1, 1, error="not installed", mend="pip install mine"),
    )  # fmt: skip
    assert facts.troubles(results).lines == (
        ("numpy batch 1", "provisional", "it waited", "wait"), ("onnx batch 1", "INVALID", "a busy core", "wait"),
        ("onnx batch 1", "INVALID", "few calls", ""), ("tflite batch 1", "failed", "it died", ""),
        ("mine batch 1", "not measured", "not installed", "run: pip install mine"),
    )  # fmt: skip
    assert facts.validity(results).startswith(
        "2 of 3 timed rows are VALID, 1 of them provisional, since the machine was busy: threads and labels were as"
    )


def test_the_table_sorts_by_numbers_and_leaves_out_what_says_nothing() -> None:
    results = results_of(*fourteen_rows(batch_sizes=(1, 32)))
    full = table.full(results, recommendations(results))
    heads = full.table.heads
    assert heads[:6] == ("candidate", "p50 µs", "ratio", "top-1 [95 %]", "verdict", "flips")
    assert "log loss" not in heads
    name, p50 = full.table.columns[:2]
    assert all(isinstance(p50.sorted_by(row), float) for row in full.table.rows)
    assert {name.text(row) for row in full.table.rows} == {
        f"{row.backend} {row.precision} batch {row.batch_size}" for row in results.rows
    }
    assert full.choices.keys() == {"backend", "precision", "batch size", "verdict"}
    assert full.choices["batch size"] == ["1", "32"]
    assert {line["verdict"] for line in full.filters} <= {"chosen", "Pareto-optimal", "dominated"}
    assert [full.table.style_of(row) for row in full.table.rows].count("named") == 2


def test_digits_are_told_where_an_evaluation_looked_at_them() -> None:
    labels = np.arange(20) % 10
    classes = of_classes(np.eye(10, dtype=np.float32)[labels], labels)
    section = sections.classes(results_of(candidate("keras"), candidate("onnx", classes=classes)))
    assert section
    assert len(section.table.lines) == 10
    assert sections.classes(results_of(candidate("keras"))) is None


# --- several runs --------------------------------------------------------------------------------------------------


def test_runs_are_ordered_by_time_and_each_is_compared_with_the_first() -> None:
    first = results_of(candidate("keras", 3.0), candidate("tflite"))
    later = [
        results_of(candidate("keras", 6.0), candidate("tflite"), created=f"2026-11-2{day}T00:00:00+00:00",
                   machine=MACHINE | {"cpu": "Another"}) for day in (3, 2)
    ]  # fmt: skip
    sources = runs.ordered([source_of(results) for results in (*later, first)])
    assert [source.results.created[8:10] for source in sources] == ["21", "22", "23"]
    changes = runs.changes(sources)
    assert [change.name for change in changes] == ["mine, 2026-11-22 00:00 UTC", "mine, 2026-11-23 00:00 UTC"]
    assert changes[0].unlike == ("cpu 'Some CPU' in base and 'Another' in new",)
    slower = [line for line in changes[0].table.lines if line[:2] == ("keras batch 1", "latency")]
    assert [(line[4], line[6]) for line in slower] == [("+100.0%", "worse")]
    assert {line[6] for line in changes[0].changed.lines} == {"worse"}
    assert len(changes[0].changed.lines) < len(changes[0].table.lines)


def test_runs_with_no_candidate_in_common_say_so() -> None:
    change = runs.since("later", results_of(candidate("keras")), results_of(candidate("onnx")))
    assert "no candidate in common" in change.summary
    assert change.table.lines == ()


# --- the page ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered() -> str:
    return pages.render([source_of(results_of(*fourteen_rows(calls=20_000, batch_sizes=(1, 32))), no_data="no data")])


def test_the_page_is_small_and_holds_vega_once(rendered: str) -> None:
    assert len(rendered.encode()) < 1_500_000
    assert rendered.count("window.vegaEmbed=") == 1
    assert len(SCRIPT.findall(rendered)) == 2


def test_the_policy_allows_these_scripts_and_no_address(rendered: str) -> None:
    match = re.search(r'Content-Security-Policy" content="([^"]*)"', rendered)
    assert match
    policy = match[1].replace("&#39;", "'")
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in SCRIPT.findall(rendered)
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert f"script-src {allowed};" in policy
    assert len(hashes) == 2
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy


def test_what_cannot_be_had_is_said_in_its_place(rendered: str) -> None:
    assert "Some of the images can't be shown here: no data." in rendered


def test_headings_are_in_order(rendered: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", SCRIPT.sub("", rendered))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= before + 1 for before, later in pairwise(levels))


def embedded(page_text: str) -> dict[str, Any]:
    """The definitions that a page holds, by name."""
    match = re.search(r'id="data">(.*?)</script>', page_text, re.DOTALL)
    assert match
    return {plot["name"]: plot["spec"] for plot in json.loads(match[1])["plots"]}


def test_every_group_has_its_charts_and_vega_draws_them(rendered: str) -> None:
    charts = embedded(rendered)
    assert list(charts) == ["front-t1-b1", "front-t1-b32", "spread-t1-b1", "spread-t1-b32", "tail-t1-b1", "tail-t1-b32",
                            "sweep"]  # fmt: skip
    for name in ("front-t1-b1", "spread-t1-b1", "tail-t1-b1", "sweep"):
        svg = vl_convert.vegalite_to_svg(json.dumps(charts[name]))
        assert all(backend in svg for backend in PRECISIONS), name


def test_a_candidate_is_pointed_at_with_its_figures(rendered: str) -> None:
    (hover,) = {row["hover"] for rows in embedded(rendered)["front-t1-b1"]["datasets"].values() for row in rows
                if row.get("name") == "onnx int8"}  # fmt: skip
    for part in ("onnx int8\n", "p50 ", "p99 ", "slowest ", "top-1 ", "3 flips", "9 kB"):
        assert part in hover


def test_charts_of_runs_and_of_the_training_are_drawn(tmp_path: Path, untrained: Bundle) -> None:
    several = [(name, results_of(*fourteen_rows(calls=5))) for name in ("a", "b")]
    (over,) = curves.over_runs(several)
    svg = vega.svg(over.chart, over.alt)
    assert all(f">{name}<" in svg for name in ("a", "b", "onnx int8", "p50 of a call, µs"))
    training = plots.of_training(source_of(results_of(), bundle=trained_bundle(untrained, tmp_path)))
    assert training
    assert "Loss and accuracy over 2 epochs: Best epoch 1 of 2: " in training.alt
    svg = vega.svg(training.chart, training.alt)
    assert all(f">{name}<" in svg for name in ("training", "validation", "epoch"))
    (rows, *_) = vega.spec(training.chart)["datasets"].values()
    assert all(re.fullmatch(r".*, epoch \d+, \w+: loss [\d.]+, accuracy [\d.]+%", row["hover"]) for row in rows)


def test_a_training_that_diverged_and_the_confusion_are_told_in_words(tmp_path: Path, untrained: Bundle) -> None:
    bundle = trained_bundle(untrained, tmp_path)
    (bundle.path / "history.json").write_text('{"loss": [1, NaN], "accuracy": [0.5, NaN]}')
    training = plots.of_training(source_of(results_of(), bundle=bundle))
    assert training
    assert f"{bundle.name} diverged: not all values are numbers from epoch 2 on." in training.notes
    dataset = data.load("digits")
    source = Source(Path("r.json"), results_of(bundle=BUNDLE | {"test_images": 100}), bundle, data=dataset)
    right = (bundle.reference_scores()[:100].argmax(axis=1) == dataset.test.labels[:100]).sum()
    confusion = plots.of_confusion(source)
    assert confusion
    assert f": {right} of 100 images (95 % Wilson" in confusion.alt
    other = replace(dataset, fingerprint="other")
    for changes, reason in (
        ({"data": None, "no_data": "no data"}, "no data"), ({"data": other}, "not of these images"),
    ):  # fmt: skip
        with pytest.raises(BundleError, match=reason):
            plots.of_confusion(replace(source, **changes))


def test_broken_calls_say_where() -> None:
    broken = replace(row("keras"), generations=(replace(row("keras").generations[0], samples="*"),))
    source = source_of(results_of(broken))
    (verdict,) = recommendations(source.results)
    with pytest.raises(ResultsError, match=r"found\.json: samples that can't be decoded.*; measure again"):
        list(plots.of_group(source, verdict))


def test_embedded_text_cannot_end_its_script() -> None:
    nasty = "</script><!-- & \u2028"
    chart = alt.Chart(vega.data([{"name": nasty}])).mark_text().encode(text="name:N")
    text = pages.embedded({"front": [plots.Plot("x", "", chart, [])]})
    assert not set("<>&\u2028") & set(text)
    (rows,) = json.loads(text)["plots"][0]["spec"]["datasets"].values()
    assert rows == [{"name": nasty}]


def test_results_that_do_not_say_what_was_measured_are_refused() -> None:
    with pytest.raises(ResultsError, match=r"x\.json: not whole: it lacks bundle\.recipe; measure again"):
        page.check_usable(
            results_of(bundle={key: value for key, value in BUNDLE.items() if key != "recipe"}), Path("x.json")
        )
    with pytest.raises(ResultsError, match=r"it lacks machine\.cores\.available"):
        page.check_usable(results_of(machine=MACHINE | {"cores": 3}), Path("x.json"))
    with pytest.raises(ResultsError, match=r"x\.json: machine\.cores\.available is no whole number"):
        page.check_usable(results_of(machine=MACHINE | {"cores": {"available": "2"}}), Path("x.json"))
    page.check_usable(results_of(), Path("x.json"))


def test_missing_packages_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.system.packages.find_spec", lambda name: None)
    with pytest.raises(MissingRuntimeError) as caught:
        page.check_packages()
    assert str(caught.value) == (
        "an HTML report needs jinja2 and altair and vl-convert-python, not installed here; run: "
        f"{install_command('digitbench', 'report')} (--markdown needs none of them)"
    )


# --- Markdown ------------------------------------------------------------------------------------------------------


def test_markdown_says_the_same_and_no_html_but_details() -> None:
    nasty = "</script><img src=x onerror=alert(1)> | `a`"
    rows = [
        replace(timed_row, runtime=replace(timed_row.runtime, name=nasty))
        for timed_row in fourteen_rows(calls=5)
        if timed_row.runtime
    ]
    rows.append(Row(nasty, "fp32", 1, 1, error=nasty))
    first = source_of(results_of(*rows, bundle=BUNDLE | {"name": nasty}))
    text = markdowns.write([first, first])
    assert recommendations(first.results)[0].sentence.split("R")[0].split("<")[0] in text.replace("\\", "")
    assert set(re.findall(r"(?<!\\)</?[a-z]+", re.sub(r"```.*?```", "", text, flags=re.DOTALL))) == {
        "<details", "</details", "<summary", "</summary",
    }  # fmt: skip
    assert "\n```\ndigitbench bench " in text
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings[1:5] == ["Changes", "Runs", "The newest run", "Results"]
    assert all(line.count("|") - line.count("\\|") > 2 for line in text.splitlines() if line.startswith("|"))
