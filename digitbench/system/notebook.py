"""What a notebook shows of a record: HTML, made by whoever announced that they can, so that records know no report."""

from __future__ import annotations

from html import escape
from importlib.metadata import entry_points

GROUP = "digitbench.notebook"


def html_of(record_kind: str, record: object) -> str:
    """Give a record as HTML, by the entry point that is called after its kind; as its ``repr`` where there is none."""
    for entry_point in entry_points(group=GROUP, name=record_kind):
        return str(entry_point.load()(record))
    return f"<pre>{escape(repr(record))}</pre>"
