"""What a notebook calls: the same as the commands do, shown as pictures and tables."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import digitbench
from digitbench import api, data
from digitbench.bundle import Bundle
from digitbench.errors import DataError, DigitbenchError, UsageError
from digitbench.measure.race import MOST

FORMATS = Path(__file__).parent / "formats"


def test_it_is_found_under_the_packages_name() -> None:
    assert digitbench.api is api
    assert {name for name in api.__all__ if not hasattr(api, name)} == set()


def test_pictures_of_a_model_need_no_more_than_the_model(untrained: Bundle, tmp_path: Path) -> None:
    pictures = [
        api.plot.confusion(untrained), api.plot.reliability(untrained.path), api.plot.weights(str(untrained.path)),
        api.plot.predictions(untrained, mistakes=True, count=4), api.plot.samples(data.load("digits"), per_class=3),
    ]  # fmt: skip
    for picture in pictures:
        with Image.open(io.BytesIO(picture._repr_png_())) as shown:
            assert 400 < shown.width < 1.5 * api.SHOWN_WIDE
            assert shown.mode == "P", "with a palette, it is small"
            assert len(np.unique(np.asarray(shown))) > 5, "it isn't empty"
        assert repr(picture).startswith("<Picture: ")
    pictures[0].save(tmp_path / "confusion.svg")
    assert "<svg" in (tmp_path / "confusion.svg").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        pictures[0].save(tmp_path / "confusion.gif")


def test_results_are_measured_chosen_from_shown_and_reported(
    untrained: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = api.bench(untrained, batch_size=[1, 8], seconds=0.02, generations=1, quiet=True)
    assert capsys.readouterr().out == ""
    (named,) = {row.backend for row in results.rows if row.latency_us and not row.error}
    race = api.bench(untrained, batch_size=[1], seconds=0.02, race=True, quiet=True)
    assert race.settings.generations == MOST, "as the command's race has it"
    choice = api.choose(results, p50="1s")
    assert choice.named
    assert choice.named.row.key == (named, "fp32", 1, 1)
    assert api.choose(results, batch_size=8).named
    assert str(untrained.path) in api.code(choice, untrained)
    nobody = api.choose(results, p50="0.000001us")
    assert api.code(nobody, untrained).startswith("# no candidate keeps the limits")
    with pytest.raises(UsageError, match="unknown criterion"):
        api.choose(results, prefer="beauty")
    for picture in (api.plot.latency(results), api.plot.pareto(results)):
        assert picture._repr_png_().startswith(b"\x89PNG")
    page = api.report(results, tmp_path / "page.html", untrained)
    assert "</html>" in page.read_text(encoding="utf-8")


def test_lines_are_printed_without_movements_of_the_cursor(
    untrained: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a notebook's kernel does
    api.bench(untrained, batch_size=[1], seconds=0.02, generations=1)
    assert capsys.readouterr().out.startswith("generation 1 of 1")


def test_what_was_changed_is_refused(untrained: Bundle) -> None:
    digits = data.load("digits")
    other = replace(digits, fingerprint="0" * 16)
    with pytest.raises(DigitbenchError):
        api.train("no-such-recipe", other)
    with pytest.raises(DataError):
        api.bench(untrained, other)
    with pytest.raises(DataError):
        api.plot.confusion(untrained, other)
