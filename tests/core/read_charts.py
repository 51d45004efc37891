"""What is drawn, read from a chart: its texts and marks as Vega places them, and its data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import Any

import vl_convert

from digitbench.charts import vega

Drawn = dict[str, Any]


def drawn(chart: Any, kind: str) -> list[Drawn]:
    """Every symbol, text, line … that Vega draws, with its place on the sheet in pixels and its candidate's values."""
    scene = _scene(json.dumps(vega.spec(chart)))

    def below(node: Any, x: float, y: float) -> Iterator[Drawn]:
        for item in node["items"]:
            left, top = x + item.get("x", 0), y + item.get("y", 0)
            if node["marktype"] == kind:
                yield {**item, "left": left, "top": top, "sheet": (scene["width"], scene["height"])}
            if node["marktype"] == "group":
                for child in item["items"]:
                    yield from below(child, left, top)

    return list(below(scene["scenegraph"], *scene["origin"]))


@lru_cache(8)
def _scene(definition: str) -> Drawn:
    scene: Drawn = vl_convert.vegalite_to_scenegraph(definition)
    return scene


def texts(chart: Any) -> list[str]:
    """Every line of text that is drawn."""
    found = (item["text"] for item in drawn(chart, "text"))
    return [line for text in found for line in (text if isinstance(text, list) else [text]) if line]


def text_of(chart: Any) -> str:
    """All texts of a chart in one string."""
    return " ".join(texts(chart))


def layers(definition: Any) -> Iterator[Any]:
    """Every unit of a definition: those with a mark."""
    if "mark" in definition:
        yield definition
    for name in ("layer", "vconcat", "hconcat"):
        for part in definition.get(name, ()):
            yield from layers(part)
    if "spec" in definition:
        yield from layers(definition["spec"])


def rows_with(chart: Any, *fields: str) -> list[dict[str, Any]]:
    """The rows of a chart's data that have all of these fields."""
    datasets = vega.spec(chart)["datasets"].values()
    return [row for rows in datasets for row in rows if all(field in row for field in fields)]


def check_chart(chart: Any) -> None:
    """It is valid Vega-Lite, no two letterings overlap, and none is cut off."""
    type(chart).validate(vega.spec(chart))
    boxes = []
    for item in drawn(chart, "text"):
        lines = item["text"] if isinstance(item["text"], list) else [item["text"]]
        size = item.get("fontSize", 11)
        width = min(max(map(len, lines)) * size * 0.47, item.get("limit") or 1e9)
        height = (len(lines) - 1) * item.get("lineHeight", size * 1.2) + size * 0.8
        left = item["left"] + item.get("dx", 0) - width * {"right": 1, "center": 0.5}.get(item.get("align", ""), 0)
        top = item["top"] + item.get("dy", 0) - height * {"top": 0, "bottom": 1}.get(item.get("baseline", ""), 0.5)
        if not item.get("angle") and any(lines):
            boxes.append((lines, left, top, left + width, top + height, item["sheet"]))
    for lines, left, top, right, bottom, (sheet_width, sheet_height) in boxes:
        assert min(left, top, sheet_width - right, sheet_height - bottom) >= -3, f"cut off: {lines}"
    for (lines, *box, _), (other_lines, *other, _) in combinations(boxes, 2):
        width, height = (min(box[end + 2], other[end + 2]) - max(box[end], other[end]) for end in (0, 1))
        assert width <= 2 or height <= 2, f"overlap: {lines} and {other_lines}"
