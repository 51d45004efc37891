"""What all charts share: files that are whole, the same for the same chart, and other people's names in them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import altair as alt
import pytest
from PIL import Image

from digitbench.charts import files, vega
from digitbench.errors import MissingRuntimeError, ResultsError, UsageError

NASTY = "</svg><script>alert(1)</script> & שלום 名前 " + "long-name" * 40


def chart_of(*names: str, **mark: Any) -> alt.VConcatChart:
    points = alt.Chart(vega.data({"x": index + 1, "name": name} for index, name in enumerate(names)))
    marks = points.mark_point(clip=True, **mark).encode(
        x=alt.X("x:Q", scale=vega.log_scale(1, len(names)), axis=vega.log_axis(1, len(names), "x")),
        color=alt.Color("name:N", scale=vega.scale(dict.fromkeys(names, "#0072b2"))),
    )  # fmt: skip
    return vega.sheet(marks, 400, names[0], subtitle=names[0], notes=names, about=names[0])


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_chart_is_written_whole_with_its_title_and_the_same_bytes_each_time(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{index}{suffix}" for index in range(2)]
    for path in paths:
        files.save(chart_of("onnx", "keras", "a-plugin"), path, "What it <shows>")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if suffix == ".png":
        with Image.open(paths[0]) as image:
            assert image.info["Title"] == "What it <shows>"
            assert image.mode == "P"
    else:
        text = paths[0].read_text(encoding="utf-8")
        assert "<title>What it &lt;shows&gt;</title>" in text
        assert set(re.findall(r"#clip(\d+)", text)) == {"0"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in paths]


def test_names_are_text_and_long_ones_stay_on_the_sheet(tmp_path: Path) -> None:
    chart = chart_of(NASTY, "onnx")
    svg = vega.svg(chart, NASTY)
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg
    files.save(chart, tmp_path / "nasty.png", NASTY)
    with Image.open(tmp_path / "nasty.png") as image:
        assert image.width < vega.SCALE * 700


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(ResultsError, match=r"taken\.svg: can't be written"):
        files.save(chart_of("onnx"), tmp_path / "taken.svg", "t")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.svg"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_chart_that_fails_while_it_is_drawn_is_a_fault_and_no_empty_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    chart = alt.Chart(vega.data([{"x": 1}])).transform_calculate(x="peek(datum.y)").mark_point().encode(x="x:Q")
    with pytest.raises(RuntimeError, match="a chart failed while it was drawn"):
        files.save(vega.sheet(chart, 400, "fails"), tmp_path / f"a{suffix}")
    assert "TypeError" in capfd.readouterr().err  # what vl-convert says of it
    assert not list(tmp_path.iterdir())


def test_what_is_missing_or_misnamed_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"a picture's name ends in \.png or \.svg"):
        files.check_target(Path("a.pdf"))
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingRuntimeError, match=r"need vl-convert-python, not installed here; run: pip install"):
        files.check_target()


def test_a_definition_is_json_of_any_length_and_infinite_numbers_become_null() -> None:
    rows = [{"x": float(index), "y": [1.0, float("nan")], "z": float("inf")} for index in range(6000)]
    definition = vega.spec(alt.Chart(vega.data(rows)).mark_point().encode(x="x:Q"))
    json.dumps(definition, allow_nan=False)
    (values,) = definition["datasets"].values()
    assert values[-1] == {"x": 5999.0, "y": [1.0, None], "z": None}


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (1, 1000, 4, [1, 10, 100, 1000]), (9, 110, 4, [10, 20, 50, 100]), (0.09, 0.6, 4, [0.1, 0.2, 0.5]),
        (4.1, 6.2, 6, [4.5, 5, 5.5, 6]), (1, 1, 8, [1]),
    ],
)  # fmt: skip
def test_a_logarithmic_axis_has_round_numbers(low: float, high: float, most: int, expected: list[float]) -> None:
    assert vega.ticks(low, high, most) == expected


def test_text_is_broken_into_lines_that_fit() -> None:
    lines = vega.wrapped("a few words\nand " + "w" * 100, 200, vega.SMALL)
    assert lines[0] == "a few words"
    assert all(vega.text_width(line, vega.SMALL) <= 200 for line in lines)
    assert "".join(lines[1:]) == "and " + "w" * 100
