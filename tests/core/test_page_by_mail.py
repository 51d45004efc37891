"""The page of results that came without their bundle: what they hold themselves is enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.test_page import fourteen_rows, results_of, source_of
from digitbench import data
from digitbench.errors import ResultsError
from digitbench.records import pictures
from digitbench.records.layers import Layer
from digitbench.report import page
from digitbench.report.page import changed_images
from digitbench.report.page import html as pages


def test_pictures_in_the_results_are_shown_and_the_rest_are_the_datasets() -> None:
    results = results_of(*fourteen_rows())
    first, second, _ = (image.index for image, _ in changed_images.changed(source_of(results))[0])
    source = source_of(replace(results, pictures={str(second): "KEPT"}))
    assert [text for _, text in changed_images.changed(source)[0]] == ["", "data:image/png;base64,KEPT", ""]
    dataset = data.load("digits")
    shown = [text for _, text in changed_images.changed(replace(source, data=dataset))[0]]
    assert shown[0] == f"data:image/png;base64,{pictures.encode(255 - dataset.test.pixels[first])}"
    assert shown[1] == "data:image/png;base64,KEPT"


def test_a_page_by_mail_has_the_confusion_and_the_layers_and_no_word_of_a_bundle() -> None:
    counts = tuple(tuple(90 if true == said else 1 for said in range(10)) for true in range(10))
    layers = (Layer("hidden", "Dense", (784,), (32,), "relu", 25_120),)
    text = pages.render([source_of(results_of(*fourteen_rows(), confusion=counts, layers=layers))])
    text = text[: text.index("<script>")]
    assert "900 of 990 images" in text
    assert "Layers: 25,120 parameters" in text
    assert ">784<" in text
    assert "can't be shown here" not in text
    assert "bundle" not in text.partition("<body>")[2]
    plain = pages.render([source_of(results_of(*fourteen_rows()))])
    assert 'id="confusion"' not in plain
    assert 'id="training"' not in plain


def test_a_confusion_of_another_shape_is_refused() -> None:
    with pytest.raises(ResultsError, match=r"x\.json: confusion has not as many lines as columns"):
        page.check_usable(results_of(*fourteen_rows(), confusion=((1, 2), (3,))), Path("x.json"))
