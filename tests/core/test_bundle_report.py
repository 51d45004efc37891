"""What is said of the bundles in a folder, and of one of them: from its files, and without any runtime."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import rewrite_manifest
from rich.console import Console

from digitbench import bundle as bundling
from digitbench.bundle import RESULTS, Bundle, layers
from digitbench.bundle.history import History
from digitbench.bundle.layers import Layer
from digitbench.bundle.listing import find
from digitbench.commands.outputs import results_path
from digitbench.errors import BundleError, UsageError
from digitbench.records.recipes import RECIPES
from digitbench.records.results import Results
from digitbench.report import bundle_page, bundles, training_curves
from digitbench.report.bundles import age
from digitbench.report.recipe_line import recipe_line

FORMATS = Path(__file__).parent / "formats"
LAYERS = [
    asdict(Layer("dense_0", "Dense", (784,), (16,), "relu", 12560)),
    asdict(Layer("dense_1", "Dense", (16,), (10,), "softmax", 170)),
]  # fmt: skip
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def copy_at(bundle: Bundle, folder: Path, **changes: Any) -> Path:
    """Write a copy with changed manifest entries; it has no weights and no scores, which a list doesn't need."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(bundle.stored | changes), encoding="utf-8")
    return folder


def printed(print_to: Any, width: int | None = None) -> str:
    stream = io.StringIO()
    print_to(Console(file=stream, width=width, force_terminal=width is not None, color_system=None))
    return stream.getvalue()


# --- a folder of them -----------------------------------------------------------------------------------------------


@pytest.fixture
def runs(untrained: Bundle, tmp_path: Path) -> Path:
    """Three bundles, of which one lies deeper and one is the latest."""
    folder, metrics = tmp_path / "runs", {"correct": 90, "total": 100}
    copy_at(untrained, folder / "b", created="2026-11-21T11:00:00+00:00", metrics=metrics, layers=LAYERS)
    a = copy_at(untrained, folder / "a", created="2026-11-20T12:00:00+00:00", metrics={"correct": 91, "total": 100})
    (a / "small").write_bytes(bytes(500))
    deep = copy_at(untrained, folder / "mnist" / "c", created="2026-11-19T12:00:00+00:00", metrics={"correct": "?"})
    (deep / "large").write_bytes(bytes(5000))
    (folder / "latest").symlink_to("a", target_is_directory=True)
    return folder


@pytest.mark.parametrize(
    ("sort", "order"),
    [("age", "b a mnist/c"), ("accuracy", "a b mnist/c"), ("size", "mnist/c a b"), ("name", "a b mnist/c")],
)
def test_bundles_come_in_the_order_asked_for(runs: Path, sort: str, order: str) -> None:
    listing = find(runs, sort)
    assert [listed.name for listed in listing.bundles] == order.split()
    assert [listed.name for listed in listing.bundles if listed.latest] == ["a"]
    assert listing.broken == {}


def test_what_has_no_metrics_is_listed_without(runs: Path) -> None:
    c = find(runs).bundles[-1]
    assert (c.name, c.accuracy) == ("mnist/c", None)
    assert "mnist/c" in printed(lambda console: bundles.print_bundles(find(runs), console, NOW))


def test_an_unknown_order_is_refused(runs: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'accuracy'"):
        find(runs, "acuracy")


def test_links_lead_to_no_bundle_twice_and_to_no_endless_search(runs: Path, untrained: Bundle, tmp_path: Path) -> None:
    (runs / "again").symlink_to("b", target_is_directory=True)
    (runs / "loop").symlink_to("..", target_is_directory=True)
    elsewhere = copy_at(untrained, tmp_path / "elsewhere" / "d")
    (runs / "linked").symlink_to(elsewhere, target_is_directory=True)
    listing = find(runs, "name")
    assert [listed.name for listed in listing.bundles] == ["a", "b", "linked", "mnist/c"]
    assert list(listing.broken) == ["loop"], "it leads to no bundle by itself"


def test_what_is_broken_is_told_and_ends_nothing(runs: Path, untrained: Bundle) -> None:
    for name, text in (("empty", ""), ("other", '{"schema": "digitbench.bundle/99"}'), ("bare", "[]")):
        (runs / name).mkdir()
        (runs / name / "manifest.json").write_text(text, encoding="utf-8")
    copy_at(untrained, runs / "odd", artifacts=[{"format": "npz"}])
    (runs / "void").mkdir()
    (runs / "void" / "notes.txt").touch()
    (runs / "claimed").mkdir()  # where a bundle is being made
    (runs / "latest").unlink()
    (runs / "latest").symlink_to("gone", target_is_directory=True)
    listing = find(runs)
    assert {listed.name for listed in listing.bundles} == {"a", "b", "mnist/c"}
    assert not any(listed.latest for listed in listing.bundles)
    assert set(listing.broken) == {"empty", "other", "bare", "odd", "void", "latest"}
    assert "void: not a model's folder: it has no manifest.json" in listing.broken["void"]
    assert "points at gone" in listing.broken["latest"]
    assert "digitbench.bundle/99" in listing.broken["other"]
    text = printed(lambda console: bundles.print_bundles(listing, console, NOW))
    assert [line.startswith("broken: ") for line in text.splitlines()[-6:]] == [True] * 6


def test_a_folder_that_is_a_bundle_is_listed_itself(runs: Path) -> None:
    assert [listed.name for listed in find(runs / "a").bundles] == ["a"]


def test_no_such_folder_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        find(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="not a folder"):
        find(tmp_path / "file")


def test_nothing_but_manifests_is_opened(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        opened.append(path.name)
        return read_bytes(path)

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("an artifact is opened")

    monkeypatch.setattr(Path, "read_bytes", noted)
    monkeypatch.setattr(bundling, "sha256", refused)
    monkeypatch.setattr(np, "load", refused)
    assert len(find(runs).bundles) == 3
    assert set(opened) == {"manifest.json"}
    assert len(opened) <= 5


@pytest.mark.parametrize("width", [50, 80, 100, 160, None])
def test_the_table_fits_a_terminal_and_a_pipe_gets_all(runs: Path, width: int | None) -> None:
    text = printed(lambda console: bundles.print_bundles(find(runs), console, NOW), width)
    if width:
        assert max(map(len, text.splitlines())) <= width
    else:
        assert "90.00% [82.56, 94.48]" in text
        assert "12,730" in text
    (latest,) = [line for line in text.splitlines() if line.startswith(" ▸  ")]
    assert latest.split()[1] == "a"
    assert "1 day ago" in latest
    assert "…" not in text


def test_the_list_is_json_too(runs: Path) -> None:
    value = json.loads(json.dumps(bundles.to_json(find(runs)), allow_nan=False))
    b, a, c = value["bundles"]
    assert (value["schema"], value["broken"]) == ("digitbench.runs/1", [])
    assert (b["name"], b["latest"], b["test_images"], b["top1"]) == ("b", False, 100, 0.9)
    assert (b["parameters"], a["parameters"]) == (12_730, None), "of an older bundle they aren't known"
    assert b["top1_interval"] == pytest.approx([0.8256, 0.9448], abs=1e-4)
    assert (a["latest"], a["imported"], a["artifacts"]) == (True, None, [{"format": "npz", "precision": "fp32"}])
    assert Path(c["path"]).is_dir()
    assert c["top1"] is None


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [
        ({"seconds": 0}, "0 s ago"), ({"seconds": 59.9}, "59 s ago"), ({"seconds": 60}, "1 min ago"),
        ({"minutes": 59.9}, "59 min ago"), ({"hours": 3.5}, "3 h ago"), ({"hours": 24}, "1 day ago"),
        ({"days": 59.9}, "59 days ago"), ({"days": 100}, "2026-08-13"), ({"seconds": -5}, "0 s ago"),
    ],
    ids=str,
)  # fmt: skip
def test_an_age_is_told_in_words(elapsed: dict[str, float], expected: str) -> None:
    assert age(NOW - timedelta(**elapsed), NOW) == expected


# --- one of them ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(untrained: Bundle, tmp_path: Path) -> Bundle:
    """A copy that may be changed, with layers, a history and results."""
    folder = Path(shutil.copytree(untrained.path, tmp_path / "mine"))
    history = {"loss": [2.0, 1.0, 0.5], "val_loss": [1.5, 0.75, 1.0], "accuracy": [0.5, 0.75, 1.0]}
    history["val_accuracy"] = [0.5, 0.5, 0.25]
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest[layers.KEY] = LAYERS
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "results").mkdir()
    shutil.copy(FORMATS / "results-3.json", folder / "results" / "bench-1.json")
    return Bundle(folder)


def shown(bundle: Bundle, width: int | None = None) -> str:
    return printed(lambda console: bundle_page.print_shown(bundle_page.gather(bundle), console, NOW), width)


def test_a_bundle_is_shown_in_full(bundle: Bundle) -> None:
    (bundle.path / "plots").mkdir()
    (bundle.path / "plots" / "training.png").touch()
    text = shown(bundle)
    assert text.startswith("mine: random on digits, top-1 ")
    assert "Layers: 12,730 parameters" in text
    assert [line.split() for line in text.splitlines() if line.startswith(" dense_")] == [
        ["dense_0", "Dense", "784", "16", "relu", "12,560"], ["dense_1", "Dense", "16", "10", "softmax", "170"],
    ]  # fmt: skip
    assert "History: 3 epochs" in text
    assert "  loss                 █▃▁  2.0000 → 0.5000" in text
    assert "  validation loss      ▆▂▃  1.5000 → 1.0000 (best 0.7500 after epoch 2)" in text
    assert "bench-1.json" in text
    assert "Plots: plots/training.png" in text
    assert text.splitlines()[-1].startswith("next: digitbench choose ")


def test_what_is_missing_or_broken_is_told_where_it_would_stand(bundle: Bundle) -> None:
    (bundle.path / "history.json").write_text('{"loss": [1.0]}', encoding="utf-8")
    (bundle.path / "results" / "bench-1.json").write_text("{", encoding="utf-8")
    (bundle.path / "artifacts" / "model-fp32.npz").unlink()
    text = shown(bundle)
    assert "history.json: not the history of a training: Object missing required field `accuracy`; train again" in text
    assert "bench-1.json: can't be read as results" in " ".join(text.split())
    assert [line for line in text.splitlines() if line.split()[:2] == ["npz", "fp32"] and "gone" in line]
    assert text.splitlines()[-1].startswith("next: digitbench export ")


def test_a_bundle_without_results_is_to_be_benched(untrained: Bundle) -> None:
    text = shown(untrained)
    assert "History" not in text
    assert "Layers: not recorded." in text
    assert "Results: none yet" in text
    assert text.splitlines()[-1].startswith("next: digitbench bench ")


def test_values_that_are_no_numbers_are_refused_in_a_line(bundle: Bundle) -> None:
    bundle.stored["artifacts"][0]["bytes"] = "many"
    rewrite_manifest(bundle, bundle.stored)
    with pytest.raises(BundleError, match=r"Expected `int`, got `str` - at `\$\.artifacts\[0\]\.bytes`"):
        Bundle(bundle.path)


def test_what_was_imported_is_shown_as_such(untrained: Bundle, tmp_path: Path) -> None:
    fit = {"poor": True, "correct": 630, "images": 900, "simple": 0.9, "stated": None, "chance": 0.1}
    imported = {"source": "/models/cnn.onnx", "format": "onnx", "fit": fit}
    artifact = {"format": "onnx", "precision": "fp32", "path": "model.onnx", "bytes": 26_000, "sha256": "ab"}
    model_io = {"shape": [1, 28, 28], "ink": 255.0, "batch": 1, "activation": "logits"}
    changes = {"imported": imported, "recipe": {"name": "cnn"}, "artifacts": [artifact], "form": model_io}
    bundle = Bundle(copy_at(untrained, tmp_path / "runs" / "cnn", **changes))
    text = " ".join(shown(bundle).split())
    assert "from /models/cnn.onnx (onnx)" in text
    assert "takes float32, 1×28×28, background 0, foreground 255; a fixed batch of 1 gives logits" in text
    assert "gives logits mind no form fits well: the best has 70.0% of 900 training images right" in text
    assert "Layers: not recorded." in text
    listed = printed(lambda console: bundles.print_bundles(find(tmp_path / "runs"), console, NOW))
    assert "cnn, imported onnx" in listed


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_a_terminal(bundle: Bundle, width: int) -> None:
    long = [line for line in shown(bundle, width).splitlines() if len(line) > width and " " in line.strip()]
    assert long == [], "only a path may be longer, which is not broken"


def test_it_is_json_too(bundle: Bundle) -> None:
    (bundle.path / "history.json").write_text('{"loss": [1.0, NaN], "accuracy": [0, 0.5]}', encoding="utf-8")
    value = json.loads(json.dumps(bundle_page.to_json(bundle_page.gather(bundle)), allow_nan=False))
    assert value["schema"] == "digitbench.show/1"
    assert (value["parameters"], value["history"]) == (12_730, {"loss": [1.0, None], "accuracy": [0.0, 0.5]})
    assert [layer["parameters"] for layer in value["layers"]] == [12_560, 170]
    assert value["results"][0]["candidates"] > 0
    assert value["artifacts"][0]["gone"] is False


def test_the_fastest_of_a_saved_run_is_named() -> None:
    results = Results.read(FORMATS / "results-2.json")
    timed = [row for row in results.rows if row.latency_us]
    sentences = list(bundle_page.leaders(results))
    assert len(sentences) == len({(row.threads, row.batch_size) for row in timed if row.valid})
    assert all(any(row.backend in sentence for row in timed) for sentence in sentences)


def test_a_loss_that_is_no_number_spoils_no_other(bundle: Bundle) -> None:
    nan = float("nan")
    history = History((nan, 1.0, 0.5, 0.75), (0.5, 0.5, 0.5, 0.5), (nan,) * 4, (0.1,) * 4)
    curve, *_ = training_curves.curves(history)
    assert curve == ("loss", "?█▁▅", "nan → 0.7500 (best 0.5000 after epoch 3)")
    (bundle.path / "history.json").write_text('{"loss": [1.0, NaN], "accuracy": [0, 0.5]}', encoding="utf-8")
    assert "History: 2 epochs; it diverged: not all values are numbers from epoch 2 on" in shown(bundle)


def test_a_long_curve_is_thinned_out_and_keeps_its_ends() -> None:
    drawn = training_curves.curve([*range(1000)], 0, 999)
    assert (len(drawn), drawn[0], drawn[-1]) == (training_curves.WIDEST, "▁", "█")
    assert training_curves.curve([1.0, float("nan"), 1.0], 1, 1) == "▁?▁"


def test_results_are_looked_for_where_bench_saves_them(untrained: Bundle) -> None:
    path = results_path(untrained)
    assert path is not None
    assert path.parent == untrained.path / RESULTS


def test_a_recipe_is_said_in_words() -> None:
    sentence = recipe_line(
        RECIPES["dense-tiny"].changed(teacher="runs/x", members=3, receptive_fields=(7, 9)).to_json()
    )
    assert sentence.startswith(
        "a committee of 3, without 4 pixels at each edge, 64-32 relu, "
        "receptive fields of 7, 9 pixels, batch normalisation, softmax"
    )
    assert "cosine schedule, weight decay " in sentence
    assert "turned by ±" in sentence
    assert "taught by runs/x" in sentence
    assert recipe_line(RECIPES["dense-128"].to_json()) == (
        "128 relu, softmax, adam, sparse categorical crossentropy, 10 epochs in steps of 32, seed 0"
    )
    assert recipe_line({"hidden": [8]}) == "8", "of an older version, or made elsewhere"
