"""How long from a stroke to its answers: the ten digits drawn with a real browser's mouse on `digitbench draw`'s page.

    python benchmarks/draw.py runs/latest --precision fp32
    python benchmarks/draw.py runs/latest --picture docs/draw.png    # and the page after a 3, as README shows it

For every pointer event on the drawing area: the time from the event (its ``timeStamp``) until the page's DOM holds the
first answer, and all answers, to a drawing that includes it. The clock is the page's. Needs Chromium and
``digitbench[test]``.
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
RECORD_ANSWERS = "window.heard = []; document.addEventListener('answered', (event) => window.heard.push(event.detail))"


@contextmanager
def draw_server(arguments: Sequence[str]) -> Iterator[str]:
    """Run `digitbench draw`, and give its address."""
    command = [sys.executable, "-m", "digitbench", "draw", *arguments, "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            match = re.search(r"http://\S+", process.stdout.readline())
            if match is None:
                sys.exit("digitbench draw didn't start")
            yield match[0]
        finally:
            process.send_signal(signal.SIGINT)


def wait_until_started(address: str) -> None:
    """Wait until no candidate is starting any more."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{address}candidates") as reply:
            if all(candidate["state"] != "starting" for candidate in json.load(reply)["candidates"]):
                return
        time.sleep(0.2)
    sys.exit(f"the candidates didn't start in {START_SECONDS} s")


def collect(address: str, rounds: int, picture: Path | None) -> list[dict[str, Any]]:
    """Draw the ten digits, as often as `rounds` says; give what the page recorded of each answered request."""
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
                page.evaluate(RECORD_ANSWERS)  # the first digit warmed everything up
        requests: list[dict[str, Any]] = page.evaluate("window.heard")
        if picture:
            draw_strokes(page, STROKES[3], steps=8)
            page.wait_for_timeout(1000)
            page.screenshot(path=picture, full_page=True)
    return requests


def print_times(requests: Sequence[dict[str, Any]]) -> None:
    """Print medians and 95th percentiles."""
    for key, label in (("first", "first answer"), ("all", "all answers")):
        times = [request[key] - event for request in requests if request[key] for event in request["events"]]
        if len(times) < 20:
            sys.exit(f"only {len(times)} pointer events were answered: too few to say anything")
        p95 = statistics.quantiles(times, n=20)[-1]
        print(
            f"{label}: median {statistics.median(times):.1f} ms, 95 % within {p95:.1f} ms, {len(times)} pointer events"
        )


def main() -> None:
    """Start the page, draw, and print."""
    parser = argparse.ArgumentParser(description="Measure digitbench draw from stroke to answer.")
    parser.add_argument("--rounds", type=int, default=2, help="how often the ten digits are drawn")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="save how the page looks after a 3")
    options, draw_arguments = parser.parse_known_args()
    with draw_server(draw_arguments) as address:
        requests = collect(address, options.rounds, options.picture)
    print_times(requests)


if __name__ == "__main__":
    main()
