"""A model that tells apart things in colour, as its user meets it: pictures shown to it, listed, and on the page."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import page_of, serious_violations
from conftest import Cli, complaint
from contract.strangers.pictures import Made, dataset_of, make, scores_of

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.classifier import load
from digitbench.data import Dataset, Split
from digitbench.importing import Options, import_model
from digitbench.records.task import Task
from digitbench.testing import random_bundle
from journeys.draw_server import DrawServer, expect_text, labels, started, stop

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload

NAMES = ("red circle", "blue square", "a sign whose name takes more room than a phone has")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 12, 20, 3), dtype=np.uint8)
    split = Split(pixels, np.arange(30, dtype=np.int64) % 3)
    dataset = Dataset("shapes", "f" * 16, "here", split, split, task=Task((12, 20, 3), NAMES))
    return random_bundle(tmp_path_factory.mktemp("shapes") / "shapes", dataset=dataset)


@pytest.fixture(scope="module")
def server(shapes: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawServer]:
    server = started(shapes.path, tmp_path_factory.mktemp("draw"), "-b", "numpy")
    try:
        yield server
    finally:
        stop(server)


def picture(colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


def test_predict_names_the_class_and_draws_the_picture_in_colour(cli: Cli, shapes: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    done = cli("predict", shapes.path, "a.png", "--output", "seen.png")
    assert done.returncode == 0, done.stderr
    with load(shapes) as classifier:
        same = np.full((12, 20, 3), (200, 30, 30), np.uint8)
        name = classifier.task.name_of(int(classifier.predict(same)[0]))
    assert name in done.stdout
    assert "digit " not in done.stdout
    (line,) = cli("predict", shapes.path, "a.png", "--json", "-").stdout.splitlines()
    assert json.loads(line)["name"] == name
    assert (tmp_path / "seen.png").stat().st_size > 5000
    message = complaint(cli("predict", shapes.path, "a.png", "--all-digits"))
    assert "12×20 colour, 3 classes" in message


def test_list_and_show_say_the_task(cli: Cli, shapes: Bundle) -> None:
    assert "12×20 colour, 3 classes" in cli("list", "models", shapes.path.parent).stdout
    shown = cli("show", shapes.path).stdout
    assert "task      12×20 colour, 3 classes: red circle, blue square, " in shown
    assert json.loads(cli("show", shapes.path, "--json", "-").stdout)["bundle"]["task"]["class_names"] == list(NAMES)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_picture_is_shown_to_the_page_and_named(browser: Browser, server: DrawServer, width: int) -> None:
    with page_of(browser, viewport={"width": width, "height": 900}) as (page, seen):
        page.goto(server.address)
        expect_text(page, "h1", "Show a picture")
        expect_text(page, "#summary", "No picture yet")
        # A chooser that is left open keeps the next from opening: each is given a picture. One listener stays for all:
        # two `expect_file_chooser` in a row sometimes miss the second.
        chosen: FilePayload = {"name": "a.png", "mimeType": "image/png", "buffer": picture()}
        page.on("filechooser", lambda chooser: chooser.set_files(chosen))
        page.locator("#paper").click()
        expect_text(page, "#summary", "|".join(NAMES))
        assert set(labels(page)) <= set(NAMES)
        assert sorted(page.locator("#bars .digit").all_inner_texts()) == sorted(NAMES)
        colours = "document.querySelector('#seen').getContext('2d').getImageData(19, 11, 1, 1).data"
        assert page.evaluate(f"[...{colours}]") == [200, 30, 30, 255]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert serious_violations(page) == []
        page.locator("#paper").focus()
        page.keyboard.press("Escape")
        expect_text(page, "#summary", "No picture yet")
        page.keyboard.press("Enter")
        expect_text(page, "#summary", "|".join(NAMES))
        assert seen.errors == []


def test_the_page_can_be_sent_nothing_but_pictures_of_the_models_size(server: DrawServer) -> None:
    assert server.post("/predict", bytes(12 * 20 * 3))[0] == 200
    status, body = server.post("/predict", bytes(700))
    assert (status, "700 bytes are no picture of 12×20 colour: send 720" in body) == (400, True)
    assert server.post("/predict", bytes(19_600))[0] == 413
    assert server.post("/image", b"no picture")[0] == 400
    assert server.post("/image", picture())[0] == 200


def test_of_pictures_that_are_cropped_everything_said_is_of_the_cropped_ones(cli: Cli, tmp_path: Path) -> None:
    from PIL import Image

    made = Made(names="text", order="natural")
    path, whole = make(made, tmp_path), dataset_of(made)
    random = np.random.default_rng(0)
    for part, split in (("train", whole.train.head(300)), ("test", whole.test.head(100))):
        sides = random.integers(0, 256, (len(split), 16, 10, 3), dtype=np.uint8)  # which its maker cuts off
        wide = np.concatenate([sides[:, :, :5], split.pixels, sides[:, :, 5:]], axis=2)
        for number, (pixels, label) in enumerate(zip(wide, split.labels, strict=True)):
            folder = tmp_path / "pictures" / part / whole.task.class_names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = cli("import", path, "--data", "pictures", "--output", "run")
    assert done.returncode == 0, done.stderr
    run = Bundle(tmp_path / "run")
    assert run.dataset.fit == "crop"
    of_cropped = float((scores_of(made, path).argmax(axis=1)[:100] == whole.test.labels[:100]).mean())
    assert f"test accuracy {of_cropped:.2%} (" in done.stdout
    assert run.stored["imported"]["chosen"]["accuracy"] == pytest.approx(of_cropped, abs=0.1)
    assert "pictures are cropped to the model's aspect: it has " in done.stdout
    assert done.stdout.count(" is taken as ") == done.stdout.count("broken.png") == 1


def test_pictures_of_the_models_aspect_are_read_once(tmp_path: Path) -> None:
    from PIL import Image

    made = Made(names="text", order="natural")
    path, whole, asked = make(made, tmp_path), dataset_of(made), []
    for number, (pixels, label) in enumerate(zip(whole.train.pixels[:300], whole.train.labels, strict=False)):
        folder = tmp_path / "pictures" / whole.task.class_names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((32, 32)).save(folder / f"{number}.png")

    def load(**how: Any) -> Dataset:
        asked.append(how)
        return data.load(path=tmp_path / "pictures", **how)

    bundle = import_model(path, load, tmp_path / "run", Options(pictures=True))
    assert asked == [{"image_size": (16, 16), "fit": "squash"}]
    assert bundle.dataset.fit == "squash"
