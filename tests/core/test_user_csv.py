"""A user's CSV: every layout gives the same images, and what is wrong is named by line and column."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.user_data import FLAT, LABELS, PIXELS, Array, is_sound, refusal
from digitbench import data
from digitbench.data import csv_file as table
from digitbench.data import mnist
from digitbench.errors import DataError


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


HEADER = ",".join(["label", *(f"pixel{i}" for i in range(784))])


def csv_lines(label_column: int = 0, scale: float = 1, pixels: Array = FLAT) -> list[str]:
    rows = np.insert(pixels / scale if scale != 1 else pixels.astype(int), label_column, LABELS[: len(pixels)], axis=1)
    return [",".join(f"{value:g}" for value in row) for row in rows.tolist()]


def write(path: Path, lines: list[str], *, end: str = "\n", start: str = "") -> Path:
    content = (start + end.join(lines) + end).encode()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


LAYOUTS: dict[str, tuple[list[str], str]] = {
    "Kaggle's": ([HEADER, *csv_lines()], "labels in column 'label'"),
    "Redmon's": (csv_lines(), "labels in its first column"),
    "last": (csv_lines(784), "labels in its last column"),
    "0 to 1": (csv_lines(0, 255), "labels in its first column; pixels from 0 to 1"),
    "last, 0 to 1": (csv_lines(784, 255), "labels in its last column; pixels from 0 to 1"),
    "named": ([",".join([*"p" * 300, '"Class"', *"p" * 484]), *csv_lines(300)], "labels in column 'Class'"),
    "a header of numbers": ([",".join(["label", *map(str, range(784))]), *csv_lines()], "labels in column 'label'"),
    "a header of other names": ([",".join("p" * 785), *csv_lines(784)], "labels in its last column"),
    "blank lines": (["", HEADER, "", *csv_lines(), " ", ""], "labels in column 'label'"),
}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("case", LAYOUTS)
def test_every_csv_is_the_same_data(tmp_path: Path, case: str, suffix: str) -> None:
    lines, message = LAYOUTS[case]
    dataset = data.load("auto", write(tmp_path / f"mine{suffix}", lines))
    np.testing.assert_array_equal(dataset.test.labels, LABELS)
    difference = np.abs(dataset.test.pixels.astype(int) - PIXELS).max()
    assert difference <= ("0 to 1" in case), "six digits of a 255th are enough"
    assert message in dataset.notice
    assert (dataset.name, len(dataset.train)) == ("mine", 0)


@pytest.mark.parametrize("header", [[HEADER], []], ids=["header", "no header"])
def test_windows_lines_and_a_byte_order_mark_are_read(tmp_path: Path, header: list[str]) -> None:
    path = write(tmp_path / "mine.csv", [*header, *csv_lines()], end="\r\n", start="\ufeff")
    dataset = data.load("auto", path)
    np.testing.assert_array_equal(dataset.test.pixels, PIXELS)
    assert ("labels in column 'label'" in dataset.notice) is bool(header)


def test_the_label_is_not_a_corner_that_is_always_background(tmp_path: Path) -> None:
    assert (FLAT[:, 0] == 0).all()
    dataset = data.load("auto", write(tmp_path / "mine.csv", csv_lines(784)))
    np.testing.assert_array_equal(dataset.test.labels, LABELS)


def test_labels_that_are_all_the_same_are_labels_if_the_header_says_so(tmp_path: Path) -> None:
    lines = [f"7,{line.partition(',')[2]}" for line in csv_lines()]
    dataset = data.load("auto", write(tmp_path / "sevens.csv", [HEADER, *lines]))
    assert set(dataset.test.labels) == {7}
    assert "the first column is 7 in all lines; the last column is 0" in refusal(write(tmp_path / "mine.csv", lines))


PIXEL_NAMES = [f"pixel{i}" for i in range(784)]
IDS = np.arange(12)


def csv_of(*columns: Array, after: tuple[Array, ...] = (), pixels: Array = FLAT) -> list[str]:
    """Lines of columns before and after the pixels."""
    return [",".join(f"{value:g}" for value in row) for row in np.column_stack([*columns, pixels, *after]).tolist()]


ADVICE = "call the labels' column 'label' in a header"
NO_LABELS: dict[str, tuple[list[str], str]] = {
    "pixels alone": ([",".join(PIXEL_NAMES), *csv_of()], "line 1 has 784 columns: pixels and no labels"),
    "pixels alone, no header": (csv_of(), "line 1 has 784 columns: pixels and no labels"),
    "ids by name": ([",".join(["id", *PIXEL_NAMES]), *csv_of(IDS[::-1])], f"('id' doesn't); {ADVICE}"),
    "pandas' index": ([",".join(["", *PIXEL_NAMES]), *csv_of(IDS)], f"('' doesn't); {ADVICE}"),
    "ids after": ([",".join([*PIXEL_NAMES, "ImageId"]), *csv_of(after=(IDS + 1,))], "('ImageId' doesn't)"),
    "ids in another order": (csv_of(np.array([2, 0, 1, 3]), pixels=FLAT[:4]), "the first column numbers the lines"),
    "few ids": (csv_of(IDS[:9], pixels=FLAT[:9]), "column numbers the lines, which labels don't; the last column is 0"),
    "many ids": (csv_of(IDS), "the first column holds 10 in line 11, which isn't a label from 0 to 9; the last"),
    "ids from 1 after": (csv_of(after=(IDS[:9] + 1,), pixels=FLAT[:9]), "the last column numbers the lines"),
    "two ids": (csv_of(IDS[:2], pixels=FLAT[:2]), "the first column numbers the lines"),
    "a constant": (csv_of(np.full(12, 5)), "the first column is 5 in all lines; the last column is 0 in all lines"),
    "one pixel more": ([",".join([*PIXEL_NAMES, "pixel784"]), *csv_of(after=(LABELS,))], "are named like pixels"),
    "28x28": ([",".join(f"{i}x{j}" for i in range(5) for j in range(157)), *csv_of(LABELS)], "named like pixels"),
    "somebody's writer": ([",".join(["writer", *PIXEL_NAMES]), *csv_of(LABELS)], "('writer' doesn't)"),
    "predictions": ([",".join(["predicted label", *PIXEL_NAMES]), *csv_of(LABELS)], "('predicted label' doesn't)"),
    "a number that runs": ([",".join(["number", *PIXEL_NAMES]), *csv_of(IDS)], "'number' is a running number"),
    "a pixel less": ([",".join(["label", "id", *PIXEL_NAMES[1:]]), *csv_of(LABELS)], "'id' there are 783 pixels"),
    "two of labels": ([",".join(["label", *PIXEL_NAMES[1:], "class"]), *csv_of(LABELS)], "'label' and 'class' could"),
    "a corner used once": (csv_of(after=(np.eye(12)[0] * 3,)), "the last column is nearly always the same"),
    "bits": (csv_of(LABELS > 4, pixels=FLAT > 99), "the first column is 0 or 1, as its pixels are"),
    "ids and pixels and one more": (csv_of(IDS[::-1], LABELS), "line 1 has 786 columns: one more than a label and 784"),
    "labels at both ends": (csv_of(LABELS, after=(LABELS[::-1],), pixels=FLAT[:, 1:]), "both its first and its last"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_LABELS)
def test_a_column_that_may_hold_no_labels_is_refused(tmp_path: Path, case: str) -> None:
    lines, message = NO_LABELS[case]
    assert message in refusal(write(tmp_path / "mine.csv", lines))


WITH_INDEX: dict[str, list[str]] = {
    "pandas": [",".join(["", "label", *PIXEL_NAMES]), *csv_of(IDS, LABELS)],
    "pandas, shuffled": [",".join(["", "label", *PIXEL_NAMES]), *csv_of(IDS[::-1] * 7, LABELS)],
    "pandas, read and written again": [",".join(["Unnamed: 0", *PIXEL_NAMES, "y"]), *csv_of(IDS, after=(LABELS,))],
    "pandas, no names": [",".join(["", *map(str, range(785))]), *csv_of(IDS, LABELS)],
    "some other name": [",".join(["image", "label", *PIXEL_NAMES]), *csv_of(IDS + 40, LABELS)],
    "no header": csv_of(IDS + 1, LABELS),
    "no header, labels last": csv_of(IDS, after=(LABELS,)),
}


@pytest.mark.parametrize("case", WITH_INDEX)
def test_a_running_number_beside_labels_is_left_out(tmp_path: Path, case: str) -> None:
    dataset = data.load("auto", write(tmp_path / "mine.csv", WITH_INDEX[case]))
    np.testing.assert_array_equal(dataset.test.labels, LABELS)
    np.testing.assert_array_equal(dataset.test.pixels, PIXELS)


def test_a_wrong_pixel_beside_an_index_is_named_by_its_own_column(tmp_path: Path) -> None:
    wrong = FLAT.astype(int)
    wrong[2, 5] = 300
    lines = [",".join(["", "label", *PIXEL_NAMES]), *csv_of(IDS, LABELS, pixels=wrong)]
    assert "line 4, column 8 (pixel5): 300 isn't a pixel" in refusal(write(tmp_path / "mine.csv", lines))


@pytest.mark.parametrize("name", ["Label", "labels", "true label", "digit_label", "target", "number", "Y", "class:"])
def test_a_header_that_names_labels_decides(tmp_path: Path, name: str) -> None:
    lines = [",".join([*PIXEL_NAMES, name]), *csv_of(after=(LABELS,))]
    np.testing.assert_array_equal(data.load("auto", write(tmp_path / "mine.csv", lines)).test.labels, LABELS)


BORDERS = ("clean", "a little noise", "noise up to 9", "much noise", "bits", "0 to 1", "white")


@st.composite
def csv_tables(draw: st.DrawFn) -> tuple[list[str], Array | None]:
    """A CSV of pixels, mostly without a header that names its labels; and the labels, if it holds any."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, border = draw(st.integers(1, 60)), draw(st.sampled_from(BORDERS))
    pixels = np.resize(FLAT, (count, 784)).astype(float)
    roll = draw(st.sampled_from([0, 0, 4, 6]))  # digits that touch the border
    pixels = np.roll(pixels.reshape(-1, 28, 28), (roll, roll), (1, 2)).reshape(-1, 784)
    noise = {"a little noise": random.poisson(0.3, pixels.shape), "noise up to 9": random.integers(0, 10, pixels.shape),
             "much noise": random.poisson(3, pixels.shape)}.get(border, 0)  # fmt: skip
    pixels = np.minimum(pixels + noise, 255)
    pixels = {"bits": pixels > 99, "0 to 1": pixels / 255, "white": 255 - pixels}.get(border, pixels)
    labels = random.integers(0, draw(st.sampled_from([1, 2, 5, 10])), count)
    label_position = draw(st.sampled_from(["first", "last", "none"]))
    ids = draw(st.sampled_from(["none", "running", "shuffled"]))
    columns = [labels] if label_position == "first" else []
    if ids != "none":
        columns.insert(0, np.arange(count) if ids == "running" else random.permutation(count))
    lines = csv_of(*columns, after=(labels,) if label_position == "last" else (), pixels=pixels)
    names = [f"pixel{i}" for i in range(784)]
    header = [
        *["id"] * (ids != "none"),
        *["label"] * (label_position == "first"),
        *names,
        *["label"] * (label_position == "last"),
    ]
    return [",".join(header)] * draw(st.booleans()) + lines, None if label_position == "none" else labels


@settings(deadline=None, max_examples=150)
@given(table=csv_tables())
def test_no_csv_is_scored_against_anything_but_its_labels(
    table: tuple[list[str], Array | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines, labels = table
    path = write(tmp_path_factory.getbasetemp() / "any-labels.csv", lines)
    try:
        dataset = data.load("auto", path, task=mnist.TASK)
    except DataError:
        refusal(path)
        assert labels is None or "label" not in lines[0], "a header that names labels is believed"
    else:
        assert labels is not None
        np.testing.assert_array_equal(dataset.test.labels, labels)


def with_field(number: int, column: int, value: str) -> list[str]:
    """Kaggle's layout with one field of line `number` (from 1) changed; an empty line goes before the header."""
    lines = ["", HEADER, *csv_lines()]
    fields = lines[number - 1].split(",")
    fields[column - 1] = value
    return [*lines[: number - 1], ",".join(fields), *lines[number:]]


BAD_CSV: dict[str, tuple[list[str], str]] = {
    "a word": (with_field(5, 12, "ink"), "line 5, column 12: 'ink' isn't a number"),
    "a word in the first line": (["1,ink" + ",0" * 783, *csv_lines()], "line 1, column 2: 'ink' isn't a number"),
    "no value": (with_field(5, 12, ""), "line 5, column 12: 'an empty field' isn't a number"),
    "too bright": (with_field(7, 785, "256"), "line 7, column 785 (pixel783): 256 isn't a pixel from 0 to 255"),
    "negative": (with_field(3, 2, "-1"), "line 3, column 2 (pixel0): -1 isn't a pixel"),
    "NaN": (with_field(3, 2, "nan"), "line 3, column 2 (pixel0): nan isn't a pixel"),
    "label 12": (with_field(9, 1, "12"), "line 9, column 1 (label): 12 isn't a label from 0 to 9"),
    "label 0.5": (with_field(9, 1, "0.5"), "line 9, column 1 (label): 0.5 isn't a label"),
    "a column more": ([HEADER, *csv_lines()[:3], csv_lines()[3] + ",0"], "line 5 has 786 columns, not 785"),
    "a column less": (["1,2,3"], "line 1 has 3 columns, not 785: a label and 784 pixels"),
    "Kaggle's test.csv": ([HEADER.partition(",")[2]], "line 1 has 784 columns: pixels and no labels, without"),
    "colons": ([csv_lines()[0].replace(",", ":")], "line 1 has 1 column, not 785"),
    "no label anywhere": ([",".join(["77"] * 785)], "the first column holds 77 in line 1, which isn't a"),
    "a header alone": ([HEADER], "there is no line below its header"),
    "nothing": ([], "is empty"),
    "0 to 16": (csv_lines(0, 1.001, np.sqrt(FLAT)), "runs from 0 to 15.9531: neither from 0 to 255 nor from 0 to 1"),
    "two headers": ([HEADER, HEADER, *csv_lines()], "line 2, column 1: 'label' isn't a number"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CSV)
def test_what_is_wrong_with_a_csv_is_named_by_line_and_column(tmp_path: Path, case: str) -> None:
    lines, message = BAD_CSV[case]
    assert message in refusal(write(tmp_path / "mine.csv", lines))


@pytest.mark.parametrize("damage", ["cut short", "changed", "cut in its header"])
def test_a_damaged_gzip_is_refused(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "mine.csv.gz", csv_lines())
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {"cut short": content[:half], "changed": content[:half] + bytes(40), "cut in its header": content[:5]}[damage]
    )
    assert "not readable" in refusal(path)


def test_no_more_of_a_csv_is_read_than_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "mine.csv.gz", csv_lines())
    for limit, value, message in (("MOST_ROWS", 11, "too large"), ("MOST_BYTES", 9000, "too large"),
                               ("LONGEST", 1000, "line 1 has 1,000 bytes or more")):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(table, limit, value)
            assert message in refusal(path)
    monkeypatch.setattr(table, "MOST_ROWS", 12)
    assert len(data.load("auto", path).test) == 12


field_texts = st.sampled_from(
    [
        "0",
        "1",
        "255",
        "9",
        "10",
        "0.5",
        "-1",
        "nan",
        "inf",
        "1e400",
        "1_0",
        "0x1",
        '"5"',
        "",
        " 7 ",
        "٣",
        "label",
        "#",
        "\0",
    ]
)


@settings(deadline=None, max_examples=80)
@given(
    fields=st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 784)), field_texts, max_size=4),
    header=st.booleans(), cut=st.none() | st.integers(0, 10_000), noise=st.binary(max_size=12),
)  # fmt: skip
def test_any_csv_is_digits_or_one_line(
    fields: dict[tuple[int, int], str], header: bool, cut: int | None, noise: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    rows = [line.split(",") for line in ([HEADER] * header + csv_lines())[:5]]
    for (row, column), value in fields.items():
        rows[row][column] = value
    content = "\n".join(",".join(row) for row in rows).encode()
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content if cut is None else content[:cut] + noise + content[cut + len(noise) :])
    try:
        dataset = data.load("auto", path)
    except DataError:
        refusal(path)
    else:
        assert is_sound(dataset)
