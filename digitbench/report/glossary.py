"""The words that stand in tables and sentences of digitbench, each explained in a line: what ``--explain`` prints."""

from __future__ import annotations

from rich.console import Console

from digitbench.report.terminal_table import print_line

GLOSSARY = {
    "candidate": "a backend at a precision, a number of threads and a batch size",
    "generation": "a repeat of all timings in fresh processes",
    "flip": "a test image whose label isn't the reference's, as a rule Keras'",
    "certified": "images that can't flip: their margin exceeds any difference seen",
    "tie": "no significant difference: the ratio's interval holds ×1",
    "provisional": "the machine was busy: p50, ratio and rank hold, some tails don't",
    "Pareto-optimal": "none is as good in p50, top-1, size, memory and better in one",
    "A/A": "a candidate against a second process of itself: should be ×1",
}


def print_glossary(console: Console) -> None:
    """Print each word with its explanation, then an empty line."""
    widest = max(map(len, GLOSSARY))
    for word, explanation in GLOSSARY.items():
        print_line(f"{word:<{widest}}  {explanation}", console, "dim", indent=widest + 2)
    console.print()
