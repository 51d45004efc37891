"""What is shown of models that tell apart other things than digits: names, colour, any size, many classes."""

from __future__ import annotations

import ast
import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from core.read_charts import check_chart, text_of
from digitbench.backend import Scores
from digitbench.charts import augmented, confusion, flips, predictions, samples, weights
from digitbench.charts.photographs import draw_predictions
from digitbench.charts.weights import Kernel
from digitbench.data import Dataset, Split, mnist, to_images
from digitbench.errors import ImageError
from digitbench.evaluate import accuracy
from digitbench.images.fitting import prepared_for
from digitbench.images.reading import read_photograph
from digitbench.judge.choice import code_for
from digitbench.records import pictures
from digitbench.records.arrays import Pixels
from digitbench.records.prediction import Prediction
from digitbench.records.recipes import RECIPES
from digitbench.records.results import Agreement, Flip, Results, Row
from digitbench.records.task import Task
from digitbench.report import page, pytest_benchmark, tables
from digitbench.report.agreement import print_agreement
from digitbench.report.page.html import render
from digitbench.report.predictions import json_line, print_predictions
from digitbench.report.terminal import print_results

COLOURS = ("red circle", "blue square", "green triangle", "yellow star", "$x_1 & <y>, and a name that never ends")
SIGNS = tuple(f"road sign {number}: SPEED LIMIT" for number in range(43))
BIRDS = tuple(f"MARSH WARBLER {number}" for number in range(200))
TASKS = {
    "colour": Task((12, 16, 3), COLOURS, names_from="names of folders"),
    "signs": Task((20, 33), SIGNS),
    "birds": Task((8, 8, 3), BIRDS),
    "numbered": Task((9, 9), ("0", "1", "2")),
}


def dataset_of(task: Task, per_class: int = 4, seed: int = 0) -> Dataset:
    """Noise, as many images of each class."""
    labels = np.arange(per_class * task.classes) % task.classes
    noise = np.random.default_rng(seed).integers(0, 256, (len(labels), *task.image_shape), dtype=np.uint8)
    split = Split(noise, labels.astype(np.int64))
    return Dataset("things", "f" * 16, "here", split, split, task=task)


def scores_of(task: Task, labels: Any, right: float = 0.7) -> Scores:
    """Scores of a model that is right about so often, and else says the next class."""
    draw = np.random.default_rng(1)
    said = np.where(draw.random(len(labels)) < right, labels, (labels + 1) % task.classes)
    raw = draw.random((len(labels), task.classes)) + 9 * np.eye(task.classes)[said]
    return np.asarray(raw / raw.sum(axis=1, keepdims=True), np.float32)


def evaluated(task: Task) -> tuple[Results, Dataset]:
    """Results of two candidates, of which one changes three labels."""
    dataset = dataset_of(task)
    labels = dataset.test.labels
    scores = scores_of(task, labels)
    changed = tuple(
        Flip(i, int(labels[i]), int(labels[i]), int(labels[i] + 1) % task.classes, 0.5, 0.25) for i in range(3)
    )
    rows = tuple(
        Row(name, "fp32", None, 1, accuracy=accuracy.accuracy(scores, labels), agreement=Agreement("keras", n, 0.1, f),
            classes=accuracy.of_classes(scores, labels))
        for name, n, f in (("onnx", 3, changed), ("numpy", 0, ()))
    )  # fmt: skip
    machine = {"cpu": "a processor", "system": "Linux", "cores": {"available": 2}}
    bundle = {"name": "mine", "recipe": "cnn", "dataset": {"name": "things", "fingerprint": "f" * 16},
              "test_images": len(labels)}  # fmt: skip
    counts = tuple(map(tuple, accuracy.confusion(scores, labels).tolist()))
    pixels = {str(flip.index): pictures.shown(dataset.test.pixels[flip.index], task) for flip in changed}
    results = Results(machine, bundle, rows, "2026-12-01T10:00:00+00:00", "0.1.0", confusion=counts, pictures=pixels,
                      task=task)  # fmt: skip
    return Results.from_json(json.loads(results.dumps()), "results"), dataset


def printed(task: Task, **options: bool) -> str:
    results, _ = evaluated(task)
    console = Console(file=io.StringIO(), width=200)
    print_results(results, console, **options)
    print_agreement(results, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.fixture(params=list(TASKS.values()), ids=list(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    chosen: Task = request.param
    return chosen


# --- words ---------------------------------------------------------------------------------------------------------


def test_what_is_printed_names_the_classes_and_speaks_of_no_digits(task: Task) -> None:
    text = printed(task, classes=True)
    assert "digit" not in text.replace("digitbench", "")
    assert task.describe() in text
    assert "Class by class: " in text
    assert f"image 0 ({task.shows(0)}) went from {task.name_of(0)} to {task.name_of(1)}" in text
    assert ("top-5" in text) == (task.classes > 20)


def test_only_the_worst_of_many_classes_are_printed() -> None:
    text = printed(TASKS["birds"])
    assert "The 20 classes of the lowest recall; 180 more are in --json." in text


def test_a_page_shows_names_and_pictures_and_speaks_of_no_digits(task: Task) -> None:
    results, dataset = evaluated(task)
    text = render([page.Source(Path("results.json"), results, None, dataset)])
    body = text.partition("<main>")[2].partition("<noscript>")[0]
    assert "digit" not in body.replace("digitbench", "")
    assert "Which classes the reference confuses" in body
    assert f"{task.describe()}, " in body
    assert body.count("data:image/png;base64,") == 3


def test_tables_have_top5_where_there_are_many_classes() -> None:
    for name, task in TASKS.items():
        results, _ = evaluated(task)
        many = name in {"signs", "birds"}
        assert ("top5" in tables.to_csv(results).splitlines()[0].split(",")) == many
        assert ("| top-5 |" in tables.to_markdown(results)) == many
        extra = pytest_benchmark._extra(results.rows[0], results)
        assert (extra["task"], "top5" in extra) == (task.describe(), many)


def test_top5_counts_labels_among_the_five_highest_scores() -> None:
    scores = np.tile(np.arange(30, 0, -1, dtype=np.float32), (3, 1))
    assert accuracy.accuracy(scores, np.array([0, 4, 5])).top5 == pytest.approx(2 / 3)
    assert accuracy.accuracy(np.zeros((2, 21), np.float32), np.array([4, 5])).top5 == 0.5  # in a tie the lowest count
    assert accuracy.accuracy(scores[:, :20], np.array([0, 4, 5])).top5 is None


def test_the_code_of_a_choice_says_what_it_takes_and_names_the_classes() -> None:
    row = Row("onnx", "fp32", 1, 1)
    code = code_for(row, Path("model.onnx"), Path("run"), task=TASKS["colour"])
    assert "# images: float32, (n, 12, 16, 3), each value in [0, 1], red first\n" in code
    assert f"names = {list(COLOURS)!r}" in code
    assert "names = " not in code_for(row, Path("model.onnx"), Path("run"), task=TASKS["signs"])
    assert "(n, 28, 28), pixels from 0 (background)" in code_for(row, Path("model.onnx"), Path("run"))


# --- pictures ------------------------------------------------------------------------------------------------------


def test_confusion_can_be_read_with_any_number_of_classes(task: Task) -> None:
    dataset = dataset_of(task, 12)
    scores = scores_of(task, dataset.test.labels)
    chart = confusion.figure(scores, dataset.test.labels, about="of mine", task=task)
    check_chart(chart)
    text = text_of(chart)
    assert "digit" not in text
    assert (f"{task.name_of(0)} taken for" in text or task.name_of(2)[:12] in text) or task.classes > 50
    perfect = np.eye(task.classes, dtype=np.float32)[dataset.test.labels]
    check_chart(confusion.figure(perfect, dataset.test.labels, about="of mine", task=task))


def figures_of(task: Task, folder: Path) -> Iterator[Any]:
    results, dataset = evaluated(task)
    test = dataset.test
    scores = scores_of(task, test.labels)
    recipe = RECIPES["dense-champion"]
    yield samples.figure(dataset, per_class=3)
    yield predictions.figure(test, scores, "mine", count=7, task=task)
    yield augmented.figure(augmented.versions(dataset, recipe, epochs=2), recipe)
    kernel = np.random.default_rng(0).normal(size=(task.pixels, task.classes)).astype(np.float32)
    yield weights.figure(Kernel(kernel, True, task.size, task), count=20)
    (path,) = flips.draw_flips(results, test.images, folder)
    assert path.stat().st_size > 5000
    seen = [Prediction(path, "a.png", test.pixels[i], scores[i], scores[i], test.pixels[i]) for i in range(3)]
    draw_predictions(seen, "mine", folder / "seen.png", task)
    assert (folder / "seen.png").stat().st_size > 5000


def test_pictures_name_the_classes_and_cut_nothing_off(task: Task, tmp_path: Path) -> None:
    from matplotlib.text import Text

    from digitbench.charts import canvas

    for figure in figures_of(task, tmp_path):
        with canvas.styled():
            figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        assert not [text.get_text() for text in texts if "digit" in text.get_text().replace("digitbench", "")]
        for text in (*figure.texts, *(text for axes in figure.axes for text in axes.texts)):
            box = text.get_window_extent()
            assert min(*box.min, *(figure.bbox.max - box.max)) > -1, text.get_text()


def test_colour_is_drawn_as_it_is_and_grey_images_of_other_tasks_are_not_inverted() -> None:
    from PIL import Image

    for name, mode in (("colour", "RGB"), ("signs", "L")):
        task = TASKS[name]
        pixels = dataset_of(task).test.pixels[0]
        with Image.open(io.BytesIO(base64.b64decode(pictures.shown(pixels, task)))) as picture:
            assert picture.mode == mode
            np.testing.assert_array_equal(np.asarray(picture), pixels)
    digit = np.arange(784, dtype=np.uint32).reshape(28, 28).astype(np.uint8)
    assert pictures.shown(digit, mnist.TASK) == pictures.encode(255 - digit)
    large: Pixels = np.full((224, 150, 3), 7, np.uint8)
    assert (pictures.reduced(large) == 7).all()
    assert pictures.reduced(large).shape == (112, 75, 3)
    assert pictures.reduced(np.zeros((1, 224), np.uint8)).shape == (1, 224)


# --- pictures of one's own -----------------------------------------------------------------------------------------


def test_a_picture_is_brought_to_the_models_size(tmp_path: Path) -> None:
    from PIL import Image

    task, path = TASKS["colour"], tmp_path / "picture.png"
    image = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    image.paste((250, 0, 0, 255), (0, 0, 32, 48))
    image.save(path)
    (seen,) = prepared_for(task, read_photograph(path, background=255), "picture")
    assert seen.pixels.shape == task.image_shape
    assert seen.pixels[0, 0].tolist() == [250, 0, 0]
    assert seen.pixels[0, -1].tolist() == [255, 255, 255]  # what was transparent
    (grey,) = prepared_for(TASKS["signs"], read_photograph(path, background=255), "picture")
    assert grey.pixels.shape == (20, 33)


def test_predictions_name_classes_and_the_next_four_of_many() -> None:
    task = TASKS["signs"]
    scores = np.linspace(0.1, 0, 43, dtype=np.float32)
    prediction = Prediction(Path("a.png"), "a.png", np.zeros((20, 33), np.uint8), scores, scores)
    console = Console(file=io.StringIO(), width=250)
    print_predictions([prediction], "mine", console, task)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(task.name_of(label) in text for label in range(5))
    assert task.name_of(5) not in text
    assert json.loads(json_line(Path("a.png"), prediction, task))["name"] == task.name_of(0)
    assert "name" not in json.loads(json_line(Path("a.png"), replace(prediction, scores=scores[:10])))


def test_images_of_a_task_are_taken_alone_many_or_flat(task: Task) -> None:
    images = dataset_of(task).test.pixels
    for array in (images, images.reshape(len(images), -1), images[0], images / 255):
        taken = to_images(array, task)
        assert taken.shape[1:] == task.image_shape
        np.testing.assert_allclose(taken[0], images[0] / 255, atol=1e-6)
    with pytest.raises(ImageError, match="images are"):
        to_images(np.zeros((28, 28), np.uint8), task)


# --- nothing knows a size ------------------------------------------------------------------------------------------


def sizes_in(path: Path) -> list[str]:
    numbers = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return [f"{path}:{node.lineno}" for node in numbers if type(node.value) is int and node.value in (28, 784)]


def test_no_size_of_an_image_is_written_in_the_code() -> None:
    """In data/ only MNIST's own file may say it; images/ and draw/ prepare digits in MNIST's form."""
    root = Path(__file__).parents[2] / "digitbench"
    allowed = (root / "images", root / "draw", root / "data" / "mnist.py")
    checked = [path for path in root.rglob("*.py") if not any(path.is_relative_to(place) for place in allowed)]
    assert len(checked) > 150
    assert [line for path in checked for line in sizes_in(path)] == []
    assert sizes_in(root / "data" / "mnist.py"), "it finds what there is"
