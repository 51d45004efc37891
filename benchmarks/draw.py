"""How long from a stroke to its answers: the ten digits drawn with a real browser's mouse on `digitbench draw`'s page.

    python benchmarks/draw.py runs/latest --precision fp32
    python benchmarks/draw.py runs/latest --picture docs/draw.png    # and the page after a 3, as README shows it

For every pointer event on the paper, the time from the event (its ``timeStamp``) until the page's DOM holds the first
answer, and all answers, to a drawing with it; by the page's own clock. Needs Chromium and ``digitbench[test]``.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 120
KEEP = "window.heard = []; document.addEventListener('answered', (event) => window.heard.push(event.detail))"


@contextmanager
def served(arguments: Sequence[str]) -> Iterator[str]:
    """Run `digitbench draw`, and give its address."""
    command = [sys.executable, "-m", "digitbench", "draw", *arguments, "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            if found is None:
                sys.exit("digitbench draw didn't start")
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)


def wait_until_started(address: str) -> None:
    """Wait until no candidate is starting any more."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with urllib.request.urlopen(f"{address}candidates") as reply:
            if all(one["state"] != "starting" for one in json.load(reply)["candidates"]):
                return
        time.sleep(0.2)
    sys.exit(f"the candidates didn't start in {START_SECONDS} s")


def collect(address: str, rounds: int, picture: Path | None) -> list[dict[str, Any]]:
    """Draw the ten digits so many times; give what the page told of each answered request."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from browser import opened, page_of
    from strokes_of_digits import STROKES, draw_strokes

    with opened() as browser, page_of(browser, viewport={"width": 1280, "height": 800}) as (page, _):
        page.goto(address)
        wait_until_started(address)
        for strokes in (STROKES[8], *(strokes for _ in range(rounds) for strokes in STROKES.values())):
            draw_strokes(page, strokes, steps=2)
            page.wait_for_timeout(300)
            page.keyboard.press("Escape")
            if strokes is STROKES[8] and not page.evaluate("'heard' in window"):
                page.evaluate(KEEP)  # the first digit warmed everything up
        found: list[dict[str, Any]] = page.evaluate("window.heard")
        if picture:
            draw_strokes(page, STROKES[3], steps=8)
            page.wait_for_timeout(1000)
            page.screenshot(path=picture, full_page=True)
    return found


def tell(found: Sequence[dict[str, Any]]) -> None:
    """Print medians and 95th percentiles."""
    for kind, name in (("first", "first answer"), ("all", "all answers")):
        times = [one[kind] - event for one in found if one[kind] for event in one["events"]]
        if len(times) < 20:
            sys.exit(f"only {len(times)} pointer events were answered: too few to say anything")
        p95 = statistics.quantiles(times, n=20)[-1]
        print(
            f"{name}: median {statistics.median(times):.1f} ms, 95 % within {p95:.1f} ms, {len(times)} pointer events"
        )


def main() -> None:
    """Start the page, draw, and print."""
    parser = argparse.ArgumentParser(description="Measure digitbench draw from stroke to answer.")
    parser.add_argument("--rounds", type=int, default=2, help="how often the ten digits are drawn")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="save how the page looks after a 3")
    known, others = parser.parse_known_args()
    with served(others) as address:
        found = collect(address, known.rounds, known.picture)
    tell(found)


if __name__ == "__main__":
    main()
