"""What `digitbench evaluate --details` prints and draws."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from core.helpers import one_printable_line
from core.rows import MISSING, results_of, timed
from digitbench.charts import flips as flips_chart
from digitbench.charts.files import IMAGES
from digitbench.charts.flips import draw_flips
from digitbench.errors import MissingRuntimeError, ResultsError
from digitbench.records.results import (
    Accuracy,
    Agreement,
    Calibration,
    Certificate,
    Flip,
    McNemar,
    Pair,
    Reference,
    ReliabilityBin,
    Results,
    Row,
)
from digitbench.report.agreement import IMAGES_SHOWN, print_agreement
from digitbench.system.packages import check_packages, install_command

REFERENCE = Reference("keras", Accuracy(0.981, 9810, 10000, (0.978, 0.9835)), Calibration(0.0712, 0.0123))
CALIBRATION = Calibration(
    0.0697, 0.00414, (ReliabilityBin(0.4, 0.4667, 4, 0.45, 0.25), ReliabilityBin(0.9333, 1, 96, 0.99, 1))
)


def candidate(
    name: str, precision: str, flips: tuple[Flip, ...] = (), test: tuple[int, int, float] = (0, 0, 1.0), **changes: Any
) -> Row:
    agreement = Agreement(
        "keras", len(flips), 0.054, flips, 0.0006, McNemar(*test), Certificate(9935, 10000, 0.107, 0.0039)
    )  # fmt: skip
    defaults: dict[str, Any] = {
        "agreement": agreement,
        "calibration": CALIBRATION,
        "latency_us": None,
        "throughput_per_s": None,
    }
    return timed(name, None, 1, precision=precision, **{**defaults, **changes})


def printed(
    *rows: Row, width: int = 200, terminal: bool = False, reliability: bool = False, **changes: Any
) -> str:  # fmt: skip
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    results = results_of(*rows, **{"reference": REFERENCE, **changes})
    print_agreement(results, console, reliability=reliability)
    return stream.getvalue()


def cells(text: str, *start: str) -> list[str]:
    """The cells of the line that begins with these words."""
    (line,) = [line for line in text.splitlines() if line.split()[: len(start)] == list(start)]
    return re.split(r"\s{2,}", line.strip())


CLOSE_FLIP = Flip(17, 4, 9, 4, 0.000123, 0.00045)


# --- the main table ------------------------------------------------------------------------------------------------


def test_a_row_holds_all_that_is_known_of_a_candidate() -> None:
    text = printed(candidate("onnx", "fp32"), candidate("onnx", "int8", (CLOSE_FLIP,) * 10, (30, 8, 0.0004)))
    assert cells(text, "onnx", "int8") == [
        "onnx", "int8", "98.00% [93.00, 99.45]", "10", "30", "8", "<0.001", "worse", "0.054", "0.0006",
        "9,935 (99.35%)", "0.0697", "0.41%",
    ]  # fmt: skip
    assert cells(text, "onnx", "fp32")[3:8] == ["0", "0", "0", "1.000", "same"]


def test_the_reference_itself_comes_first() -> None:
    text = printed(candidate("keras", "fp32"), candidate("onnx", "int8"))
    assert cells(text, "reference") == ["reference", "98.10% [97.80, 98.35]", "0.0712", "1.23%"]
    first_words = [
        line.split()[0] for line in text.splitlines() if line.split()[:1] in (["reference"], ["keras"], ["onnx"])
    ]
    assert first_words[:3] == ["reference", "keras", "onnx"]


def test_results_without_a_reference_of_their_own_can_be_shown() -> None:
    text = printed(candidate("onnx", "int8"), reference=None)
    assert "reference  " not in text
    assert cells(text, "onnx")[0] == "onnx"


def test_the_smallest_margin_and_what_the_words_mean_are_told_below() -> None:
    text = printed(candidate("onnx", "int8"))
    assert "Its smallest margin on any of 10,000 images is 0.0039." in text
    for word in ("McNemar's exact", "certified images cannot flip", "expected calibration error", "same"):
        assert word in text


@pytest.mark.parametrize(("width", "kept"), [(80, ["[93.00, 99.45]", "99.35%"]), (60, ["98.00%"])])
def test_a_narrow_terminal_keeps_what_matters_most(width: int, kept: list[str]) -> None:
    text = printed(candidate("onnx", "fp32"), candidate("onnx", "int8", (CLOSE_FLIP,)), width=width, terminal=True)
    for line in text.splitlines()[2:]:
        assert len(line) <= width
    assert all(part in text for part in [*kept, "same"])
    assert "too narrow for" in text


def test_what_failed_or_is_not_there_is_told() -> None:
    died = Row("tflite", "int8", None, 1, error="the worker was killed by SIGKILL")
    text = printed(candidate("onnx", "int8"), died, replace(MISSING, batch_size=None), complete=False)
    assert "tflite int8 failed: the worker was killed by SIGKILL" in text
    assert 'not measured: openvino: not installed: openvino; run: pip install "digitbench[openvino]"' in text
    assert "Stopped early" in text


def test_nothing_at_all_can_be_shown() -> None:
    assert "Stopped early" in printed(complete=False, reference=None)


# --- the flips -----------------------------------------------------------------------------------------------------


def test_an_image_is_told_once_with_all_who_changed_its_label() -> None:
    flips = (CLOSE_FLIP, Flip(5, 3, 3, 8, 0.25, 0.125))
    other_flips = (Flip(5, 3, 3, 8, 0.25, 0.5), Flip(17, 4, 9, 7, 0.000123, 0.0))
    text = printed(
        candidate("onnx", "int8", flips), candidate("tflite", "int8", other_flips), candidate("tflite", "fp32")
    )
    assert "2 images changed their label" in text
    assert cells(text, "5", "3") == ["5", "3", "3 ✓ by 0.25", "8", "by 0.12 to 0.5", "onnx int8, tflite int8"]
    assert cells(text, "17", "4") == ["17", "4", "9", "by 0.00012", "4 ✓ by 0.00045", "onnx int8"]
    assert cells(text, "7", "in") == ["7", "in a tie", "tflite int8"]
    positions = [text.index(image) for image in ("   5 ", "  17 ")]
    assert positions == sorted(positions)  # of 5 the reference was surer


def test_only_so_many_images_are_told_and_the_rest_counted() -> None:
    flips = tuple(replace(CLOSE_FLIP, index=1000 + i, reference_margin=i / 100) for i in range(IMAGES_SHOWN + 7))
    text = printed(candidate("onnx", "int8", flips))
    indexes = re.findall(r"^ +(1\d\d\d) ", text, re.MULTILINE)
    assert indexes == [str(1000 + i) for i in range(IMAGES_SHOWN + 6, 6, -1)]
    assert "And 7 more" in text


def test_no_flips_are_said_to_be_none() -> None:
    assert "No label changed." in printed(candidate("onnx", "int8"))


# --- pairs ---------------------------------------------------------------------------------------------------------

A, B, C = ("keras", "fp32"), ("onnx", "int8"), ("tflite", "int8")
PAIRS = (
    Pair(A, B, 10, 0.054, 0.0006, McNemar(4, 3, 1.0), tuple(range(10))),
    Pair(A, C, 0, 7.2e-7, 1e-9, McNemar(0, 0, 1.0)),
    Pair(B, C, 12, 0.25, 0.001, McNemar(11, 1, 0.0063), tuple(range(12))),
)
ROWS = tuple(candidate(*name) for name in (A, B, C))


def test_the_matrix_has_flips_above_and_differences_below() -> None:
    text = printed(*ROWS, pairs=PAIRS)
    assert cells(text, "1", "keras")[-3:] == ["·", "10", "0"]
    assert cells(text, "2", "onnx")[-3:] == ["0.054", "·", "12 (p 0.006)"]
    assert cells(text, "3", "tflite")[-3:] == ["7.2e-07", "0.25", "·"]
    assert "by chance" in text


def test_pairs_that_are_all_the_same_need_no_word_of_chance() -> None:
    text = printed(*ROWS, pairs=PAIRS[:2])
    assert "(p " not in text
    assert "by chance" not in text


def test_a_matrix_too_wide_for_the_terminal_comes_in_parts() -> None:
    names = [("backend-of-long-name", f"p{i}") for i in range(8)]
    pairs = tuple(
        Pair(first, second, 100 + j, 0.000123, 0.1, McNemar(0, 0, 1.0))
        for i, first in enumerate(names) for j, second in enumerate(names) if i < j
    )  # fmt: skip
    text = printed(*(candidate(*name) for name in names), pairs=pairs, width=60, terminal=True)
    matrix = text[text.index("Every pair of candidates") :]
    assert all(len(line) <= 60 for line in matrix.splitlines())
    assert matrix.count("1 backend-of-long-name p0") > 1
    row_cells = [cell for line in matrix.splitlines() if "name p0" in line for cell in line.split()[3:]]
    assert row_cells == ["·", *(str(100 + j) for j in range(1, 8))]


def test_without_pairs_there_is_no_matrix() -> None:
    assert "Every pair of candidates" not in printed(*ROWS)


# --- reliability ---------------------------------------------------------------------------------------------------


def test_a_table_of_reliability_is_printed_once_for_those_it_is_the_same_of() -> None:
    other_calibration = replace(CALIBRATION, bins=(replace(CALIBRATION.bins[0], accuracy=0.75),))
    text = printed(*ROWS[:2], candidate("tflite", "int8", calibration=other_calibration), reliability=True)
    assert "keras fp32, onnx int8: log loss 0.0697, ECE 0.41%" in text
    assert text.count("0.40 to 0.47") == 2
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if "0.40 to 0.47" in line]
    assert rows[0][:6] == ["0.40 to 0.47", "4", "45.0%", "25.0%", "[4.6, 69.9]", "-20.0%"]
    assert rows[1][5] == "+30.0%"
    assert "reference: log loss 0.0712, ECE 1.23%" in text


def test_the_bars_of_reliability_begin_below_each_other() -> None:
    bins = [line for line in printed(*ROWS, reliability=True).splitlines() if re.match(r" *0\.\d\d to ", line)]
    assert len({line.index("█") for line in bins}) == 1
    assert [line.count("█") for line in bins] == [5, 19]
    assert [line.rindex("│") - line.index("█") for line in bins] == [9, 19]


def test_reliability_is_printed_only_if_asked_for() -> None:
    assert "0.40 to 0.47" not in printed(*ROWS)


# --- pictures ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(0).random((100, 28, 28), np.float32)


def results_from(*rows: Row) -> Results:
    return results_of(*rows, reference=REFERENCE)


def test_each_candidate_with_flips_gets_a_picture(tmp_path: Path, images: Any) -> None:
    flips = tuple(replace(CLOSE_FLIP, index=i) for i in range(9))
    folder = tmp_path / "deep" / "pictures"
    written = draw_flips(
        results_from(
            candidate("onnx", "int8", flips), candidate("onnx", "fp32"), candidate("my/own", "int8", flips[:1])
        ),
        images,
        folder,
    )
    assert sorted(path.name for path in written) == ["flips-my_own-int8.png", "flips-onnx-int8.png"]
    assert sorted(folder.iterdir()) == sorted(written)
    sizes = {}
    for path in written:
        with Image.open(path) as picture:
            picture.load()
            sizes[path.name] = picture.size
            assert np.asarray(picture.convert("L")).std() > 0
    assert sizes["flips-onnx-int8.png"][1] > sizes["flips-my_own-int8.png"][1]  # two lines of images


def test_a_title_says_who_and_how_many(tmp_path: Path, images: Any) -> None:
    (path,) = draw_flips(results_from(candidate("onnx", "int8", (CLOSE_FLIP,))), images, tmp_path)
    with Image.open(path) as picture:
        title = str(picture.info["Title"])
    assert title.startswith("onnx int8: 1 of 100 test images")
    assert "dense-128-x" in title


def test_a_sheet_holds_only_so_many_and_says_so(tmp_path: Path, images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = 9
    assert sheet < flips_chart.SHEET
    monkeypatch.setattr(flips_chart, "SHEET", sheet)  # each image takes its time
    flips = tuple(replace(CLOSE_FLIP, index=i) for i in range(sheet + 5))
    (path,) = draw_flips(results_from(candidate("onnx", "int8", flips)), images, tmp_path)
    with Image.open(path) as picture:
        title = str(picture.info["Title"])
        size = picture.size
    assert f"{sheet + 5} of 100" in title
    assert f"the {sheet} of the largest margins" in title
    (same,) = draw_flips(results_from(candidate("onnx", "int8", flips[:sheet])), images, tmp_path)
    with Image.open(same) as picture:
        assert picture.size == size


def test_the_image_itself_is_drawn(tmp_path: Path) -> None:
    """Foreground is drawn dark: an image of background alone and one of foreground alone differ by far."""
    shades = []
    for value in (0.0, 1.0):
        (path,) = draw_flips(
            results_from(candidate("onnx", "int8", (CLOSE_FLIP,))),
            np.full((20, 28, 28), value, np.float32),
            tmp_path / str(value),
        )
        with Image.open(path) as picture:
            shades.append(float(np.asarray(picture.convert("L")).mean()))
    assert shades[0] - shades[1] > 10


def test_no_flips_draw_nothing(tmp_path: Path, images: Any) -> None:
    assert draw_flips(results_from(candidate("onnx", "int8")), images, tmp_path / "new") == []
    assert not (tmp_path / "new").exists()


def test_a_candidate_in_several_rows_is_drawn_once(tmp_path: Path, images: Any) -> None:
    row = candidate("onnx", "int8", (CLOSE_FLIP,))
    assert len(draw_flips(results_from(row, replace(row, batch_size=32)), images, tmp_path)) == 1


def test_a_picture_is_whole_or_not_there(tmp_path: Path, images: Any) -> None:
    wrong = replace(CLOSE_FLIP, index=10**6)
    with pytest.raises(IndexError):
        draw_flips(results_from(candidate("onnx", "int8", (wrong,))), images, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path, images: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="can't be written") as caught:
        draw_flips(results_from(candidate("onnx", "int8", (CLOSE_FLIP,))), images, tmp_path / "file")
    assert one_printable_line(str(caught.value))


def test_without_matplotlib_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages("--output needs", IMAGES, "plot")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingRuntimeError) as caught:
        check_packages("--output needs", IMAGES, "plot")
    assert caught.value.mend == install_command("digitbench", "plot")
    assert one_printable_line(str(caught.value))
