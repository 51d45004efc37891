"""`digitbench predict` on pictures as people have them: every format, good and bad, by name, folder and pattern."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli, Finished, complaint, environment, run_cli
from PIL import Image, ImageDraw
from scipy import ndimage

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.evaluate import accuracy
from digitbench.images.reading import prepared
from digitbench.system.packages import install_command
from journeys.helpers import first_on_path

SIZE = 224
DIGITS = (0, 2, 3, 5)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of some digits: four in PNG, dark on light, and one of them in every other format."""
    folder = tmp_path_factory.mktemp("album")
    test = data.load("digits").test
    for digit in DIGITS:
        drawn = test.pixels[np.flatnonzero(test.labels == digit)[0]]
        large = Image.fromarray(drawn).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        dark_on_light = Image.fromarray(225 - (np.asarray(large) * 0.8).astype(np.uint8))
        dark_on_light.save(folder / f"{digit}.png")
    in_colour = dark_on_light.convert("RGB")
    large.save(folder / "light.png")
    Image.merge("RGBA", [Image.new("L", large.size, 0)] * 3 + [large]).save(folder / "clear.png")
    for suffix in ("jpg", "bmp", "tif", "webp"):
        in_colour.save(folder / f"colour.{suffix}")
    import pillow_heif

    pillow_heif.from_pillow(in_colour).save(folder / "phone.heic", quality=80)
    return folder


OTHER_FILES = ("light.png", "clear.png", "colour.jpg", "colour.bmp", "colour.tif", "colour.webp", "phone.heic")


def lines_of(done: Finished) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(printed: str) -> dict[str, list[str]]:
    """The cells of each line that begins with a picture's name."""
    cells = [line.split() for line in printed.splitlines()]
    return {row[0]: row[1:] for row in cells if len(row) == 5}


def test_a_newcomer_s_pictures_are_read(trained: Bundle, album: Path, tmp_path: Path) -> None:
    """As a user starts it, in a process of its own."""
    shutil.copytree(album, tmp_path / "album")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(trained.path)
    done = run_cli("predict", "album", "-b", "onnx", "-p", "int8", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = rows_of(done.stdout)
    assert list(rows) == sorted(f"album/{name}" for name in [*OTHER_FILES, *(f"{digit}.png" for digit in DIGITS)])
    right = [rows[f"album/{digit}.png"][0] == str(digit) for digit in DIGITS]
    assert sum(right) >= 3, done.stdout
    assert "on onnx int8: ONNX Runtime" in done.stdout
    assert f"{trained.name} (dense-128+)" in done.stdout


def test_the_same_digit_is_the_same_in_every_form(cli: Cli, trained: Bundle, album: Path) -> None:
    files = [album / name for name in (f"{DIGITS[-1]}.png", *OTHER_FILES)]
    done = cli("predict", trained.path, *files, "--json", "-", "--backend", "tflite", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    entries = lines_of(done)
    assert [entry["file"] for entry in entries] == [str(path) for path in files]
    assert {entry["label"] for entry in entries} == {entries[0]["label"]}
    for entry in entries:
        np.testing.assert_allclose(entry["scores"], entries[0]["scores"], atol=0.25)


def test_lines_are_written_to_a_file_beside_the_table(cli: Cli, tmp_path: Path, untrained: Bundle, album: Path) -> None:
    command = ("predict", untrained.path, album / "0.png", "-b", "numpy", "--json")
    for _ in range(2):  # lines that are there already may be replaced
        done = cli(*command, "found.jsonl")
        assert (done.returncode, done.stderr) == (0, "")
        assert "0.png" in done.stdout
        (entry,) = map(json.loads, (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines())
        assert (entry["file"], entry["backend"]) == (str(album / "0.png"), "numpy")
    (tmp_path / "notes.json").write_text("Dear all,")
    assert "it holds something else" in complaint(cli(*command, "notes.json"))


def test_the_lines_hold_what_the_model_says_of_the_prepared_pictures(cli: Cli, trained: Bundle, album: Path) -> None:
    done = cli("predict", trained.path, f"{album}/[0-9].png", "--json", "-", "-b", "onnx", "-t", "1")
    assert (done.returncode, done.stderr) == (0, "")
    entries = lines_of(done)
    import digitbench

    with digitbench.load(trained, backend="onnx") as classifier:
        expected = classifier.scores(np.stack([prepared(album / f"{digit}.png") for digit in DIGITS]))
    likely = accuracy.probabilities(expected, trained.manifest.output.activation)
    for entry, scores, shares in zip(entries, expected, likely, strict=True):
        assert list(entry) == ["file", "label", "probability", "probabilities", "scores", "backend", "precision"]
        np.testing.assert_allclose(entry["scores"], scores, atol=1e-6)
        np.testing.assert_allclose(entry["probabilities"], shares, atol=1e-6)
        assert entry["label"] == int(scores.argmax())
        assert entry["probability"] == entry["probabilities"][entry["label"]]
        assert (entry["backend"], entry["precision"]) == ("onnx", "fp32")


def test_the_bad_are_told_and_the_good_are_read(cli: Cli, tmp_path: Path, trained: Bundle, album: Path) -> None:
    shutil.copy(album / "0.png", tmp_path / "good.png")
    (tmp_path / "note.png").write_text("Dear all,")
    (tmp_path / "cut.jpg").write_bytes((album / "colour.jpg").read_bytes()[:900])
    (tmp_path / "empty.bmp").touch()
    os.mkfifo(tmp_path / "pipe.png")
    names = ["note.png", "cut.jpg", "good.png", "empty.bmp", "pipe.png"]
    done = cli("predict", trained.path, *names, "-b", "onnx")
    assert complaint(done, 1) == "4 of 5 pictures could not be read"
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "note.png", "cut.jpg", "empty.bmp", "pipe.png", "digitbench",
    ]  # fmt: skip
    assert "PNG, JPEG, BMP, TIFF, WebP and HEIC" in done.stderr
    assert list(rows_of(done.stdout)) == ["good.png"]
    as_lines = cli("predict", trained.path, *names, "-b", "onnx", "--json", "-")
    assert as_lines.returncode == 1
    assert as_lines.stderr == done.stderr
    entries = lines_of(as_lines)
    assert [entry["file"] for entry in entries] == names
    assert ["error" in entry for entry in entries] == [True, True, False, True, True]
    assert entries[3] == {"file": "empty.bmp", "error": "empty.bmp: an empty file"}


def test_where_all_are_bad_no_table_is_printed(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    (tmp_path / "note.png").write_text("Dear all,")
    done = cli("predict", trained.path, "note.png", "-b", "onnx", "--output", "seen.png")
    assert complaint(done, 1) == "1 of 1 picture could not be read"
    assert done.stdout == ""
    assert not (tmp_path / "seen.png").exists()


ODD = ["[red]a[", "new\nline", "esc\x1b[31m", "\udce9", "$x^2_$", "文字" * 30, "-" + "long" * 50]


def test_no_name_breaks_the_table_the_lines_or_the_drawing(
    cli: Cli, tmp_path: Path, trained: Bundle, album: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD:
        shutil.copy(album / "0.png", folder / f"{name}.png")
        (folder / f"{name} bad.png").touch()
    done = cli("predict", trained.path, "odd", "-b", "onnx", "--output", "seen.png", "--quiet")
    assert complaint(done, 1) == f"{len(ODD)} of {2 * len(ODD)} pictures could not be read"
    for text in (done.stdout, done.stderr):
        assert all(line.isprintable() for line in text.splitlines())
    assert len(rows_of(done.stdout)) == len(ODD)
    assert len(done.stderr.splitlines()) == len(ODD) + 1
    for shown in (r"odd/[red]a[.png", r"odd/new\nline.png", r"odd/esc\x1b[31m.png", r"odd/\udce9.png"):
        assert shown in done.stdout
        assert shown.replace(".png", " bad.png") in done.stderr
    with Image.open(tmp_path / "seen.png") as drawn:
        assert drawn.size[0] > 1000
    entries = lines_of(cli("predict", trained.path, "odd", "-b", "onnx", "--json", "-", "--quiet"))
    assert {entry["file"] for entry in entries} == {f"odd/{name}{end}.png" for name in ODD for end in ("", " bad")}


def test_what_is_drawn_is_a_picture_with_all_three_parts(
    cli: Cli, tmp_path: Path, trained: Bundle, album: Path
) -> None:
    """The photograph's paper, and a blue bar for the digit, as often as there are pictures."""
    for number in range(26):
        shutil.copy(album / "0.png", tmp_path / f"{number}.png")
    for names, pictures in ((["0.png"], 1), (["."], 24)):
        done = cli("predict", trained.path, *names, "-b", "onnx", "--output", "seen/drawn.png")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("Drawn: seen/drawn.png\n")
        with Image.open(tmp_path / "seen" / "drawn.png") as drawn:
            pixels, about = np.asarray(drawn.convert("RGB")).astype(int), drawn.info["Title"]
        assert trained.name in about
        assert ("the first 24 of 26 pictures" in about) == (pictures == 24)
        for colour in ((225, 225, 225), (0x00, 0x72, 0xB2)):
            matches = np.abs(pixels - colour).max(axis=2) < 6
            areas = np.bincount(ndimage.label(matches)[0].ravel())[1:]
            assert (areas > 500).sum() == pictures
    assert os.listdir(tmp_path / "seen") == ["drawn.png"]


def test_a_page_is_read_line_by_line_with_boxes_if_all_are_asked_for(
    cli: Cli, tmp_path: Path, trained: Bundle, album: Path
) -> None:
    glyphs = [np.asarray(Image.open(album / f"{digit}.png")) for digit in DIGITS]
    Image.fromarray(np.vstack([np.hstack(glyphs[:2]), np.hstack(glyphs[2:])])).save(tmp_path / "page.png")
    done = cli("predict", trained.path, "page.png", "-b", "onnx")
    assert complaint(done, 1) == "1 of 1 picture could not be read"
    assert "more than one digit here (4 found); read each of them with predict --all-digits" in done.stderr
    alone = lines_of(
        cli("predict", trained.path, *(album / f"{digit}.png" for digit in DIGITS), "-b", "onnx", "--json", "-")
    )
    entries = lines_of(cli("predict", trained.path, "page.png", "--all-digits", "-b", "onnx", "--json", "-"))
    assert [entry["label"] for entry in entries] == [entry["label"] for entry in alone]
    for entry, corner in zip(entries, ((0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)), strict=True):
        left, top, right, bottom = entry["box"]
        assert corner[0] < left < right < corner[0] + 0.5
        assert corner[1] < top < bottom < corner[1] + 0.5
    done = cli("predict", trained.path, "page.png", "--all-digits", "-b", "onnx", "--output", "boxes.png")
    assert done.stdout.count("page.png") == 4
    assert f"{entries[0]['box'][0]:.0%}" in done.stdout
    with Image.open(tmp_path / "boxes.png") as drawn:
        blue = np.abs(np.asarray(drawn.convert("RGB")).astype(int) - (0x00, 0x72, 0xB2)).max(axis=2) < 40
    parts, _ = ndimage.label(blue, np.ones((3, 3)))
    hollow = [
        ndimage.binary_fill_holes(parts == label).sum() > 3 * (parts == label).sum()
        for label in range(1, parts.max() + 1)
    ]
    assert sum(hollow) == 4


def test_ink_at_all_four_sides_is_told_beside_the_probability(
    cli: Cli, tmp_path: Path, trained: Bundle, album: Path
) -> None:
    tight = Image.new("L", (110, 150), 225)
    ImageDraw.Draw(tight).ellipse((0, 0, 109, 149), outline=30, width=14)
    tight.save(tmp_path / "tight.png")
    entries = lines_of(cli("predict", trained.path, "tight.png", album / "3.png", "-b", "onnx", "--json", "-"))
    remarks = [entry.get("remark", "") for entry in entries]
    assert remarks == ["the digit touches all four sides: was part of it cut off?", ""]
    assert "touches all four sides" in cli("predict", trained.path, "tight.png", "-b", "onnx").stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere", "0.png"], ["nowhere: no such model; run: digitbench train"]),
        (["notes", "0.png"], ["notes: not a model's folder: it has no manifest.json"]),
        (["notes"], ["notes: no pictures in this folder"]),
        (["RUN"], ["is a model; name pictures after it: digitbench predict"]),
        (["RUN", "gone.png"], ["gone.png: no such file or folder"]),
        (["RUN", "*.heic"], ["*.heic: no picture matches this pattern"]),
        (["0.png"], ["no model yet: runs/latest points at nothing; run: digitbench train"]),
        (["broken", "0.png"], ["broken/manifest.json", "its schema is None"]),
        (["x" * 5000], ["name too long"]),
        ([], ["Missing argument", "predict --help"]),
        (["RUN", "0.png", "-b", "onx"], ["unknown backend 'onx': did you mean 'onnx'?"]),
        (["RUN", "0.png", "-p", "int7"], ["unknown precision 'int7'"]),
        (["RUN", "0.png", "-b", "numpy", "-p", "int8"], ["backend 'numpy' doesn't run int8"]),
        (["RUN", "0.png", "-t", "0"], ["--threads"]),
        (["RUN", "0.png", "--output", "0.png"], ["0.png", "one of the pictures to be read"]),
        (["RUN", "0.png", "--output", "other.png"], ["other.png", "not drawn by this command"]),
        (["RUN", "0.png", "--output", "seen.jpg"], ["seen.jpg", "predictions.png"]),
        (["RUN", "0.png", "--output", "notes/a.txt/seen.png"], ["a.txt", "can't be written"]),
    ],
    ids=lambda argument: " ".join(argument)[:40],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    cli: Cli, tmp_path: Path, trained: Bundle, album: Path, arguments: list[str], parts: list[str]
) -> None:
    for name in ("0.png", "other.png"):
        shutil.copy(album / "0.png", tmp_path / name)
    for name, text in (("notes/a.txt", "notes"), ("broken/manifest.json", "{}")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    done = cli("predict", *(str(trained.path) if argument == "RUN" else argument for argument in arguments))
    message = complaint(done)
    assert done.stdout == ""
    assert all(part.lower() in message.lower() for part in parts), message
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("PIL", f"reading pictures needs Pillow, not installed here; run: {install_command('digitbench', 'images')}"),
        (
            "pillow_heif",
            f"reading HEIC needs pillow-heif, not installed here; run: {install_command('digitbench', 'images')}",
        ),
    ],
)
def test_what_is_missing_is_said_with_what_installs_it(
    tmp_path: Path, trained: Bundle, album: Path, module: str, message: str
) -> None:
    hiding = tmp_path / "first" / "sitecustomize.py"
    hiding.parent.mkdir()
    hiding.write_text(f"import sys\nsys.modules['{module}'] = None\n")
    files = [album / "0.png", album / "phone.heic"]
    done = run_cli("predict", trained.path, *files, "-b", "onnx", cwd=tmp_path, env=first_on_path(hiding.parent))
    if module == "PIL":
        assert complaint(done) == message
    else:  # the others are read all the same
        assert complaint(done, 1) == "1 of 2 pictures could not be read"
        assert message in done.stderr
        assert list(rows_of(done.stdout)) == [str(files[0])]


@pytest.mark.parametrize("option", ["--json=-", "--threads=1"], ids=["lines", "table"])
def test_what_was_read_before_ctrl_c_is_there(tmp_path: Path, trained: Bundle, album: Path, option: str) -> None:
    large = BytesIO()
    Image.open(album / "0.png").resize((3600, 3600)).save(large, "PNG", compress_level=1)
    shutil.copy(album / "0.png", tmp_path / "0.png")
    (tmp_path / "1.png").write_text("Dear all,")
    for number in range(2, 14):
        (tmp_path / f"{number}.png").write_bytes(large.getvalue())
    command = [sys.executable, "-m", "digitbench", "predict", str(trained.path), ".", "-b", "onnx", "-q", option]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        stream = process.stdout if option == "--json=-" else process.stderr
        assert stream is not None
        first = stream.readline()  # told while the others are still to be read
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-2:] == [
        "Stopped early: only finished parts are shown.", "digitbench: stopped; no incomplete file is left",
    ]  # fmt: skip
    assert "Traceback" not in errors
    names = (
        [json.loads(line)["file"] for line in [first, *rest.splitlines()]] if option == "--json=-" else [*rows_of(rest)]
    )
    assert names[0] == "0.png"
    assert len(names) < 9
