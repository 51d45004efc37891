"""`digitbench draw`: a page that a real browser draws on, and a server that strangers can't harm."""

from __future__ import annotations

import io
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from browser import page_of, serious_violations
from conftest import Cli, complaint
from strokes_of_digits import STROKES, draw_strokes

from digitbench.bundle import Bundle
from digitbench.draw.pictures import DRAWING_BYTES
from journeys.draw_server import DrawServer, expect_text, labels, started, stop
from journeys.helpers import interrupted

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHEAP = "numpy,onnx,tflite"
MOST_MEMORY = 200_000_000


@pytest.fixture(scope="module")
def server(trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawServer]:
    server = started(trained.path, tmp_path_factory.mktemp("draw"), "-b", CHEAP, "-p", "fp32")
    try:
        yield server
    finally:
        stop(server)


def settled(page: Page) -> str:
    """What the models see, once it changes no more and all have answered."""
    from playwright.sync_api import expect

    seen: list[str] = ["", "nothing"]
    while seen[-1] != seen[-2]:
        page.wait_for_timeout(700)
        expect(page.locator("td.label")).to_have_count(3, timeout=10_000)
        seen.append(page.evaluate("document.querySelector('#seen').toDataURL()"))
    return seen[-1]


def picture_of_a_seven(side: int = 200) -> bytes:
    from PIL import Image, ImageDraw

    image = Image.new("L", (side, side), 255)
    points = [(x * side // 200, y * side // 200) for x, y in ((60, 50), (140, 50), (90, 160))]
    ImageDraw.Draw(image).line(points, fill=0, width=14 * side // 200)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0 if side < 3000 else 1)
    return file.getvalue()


# --- the page ------------------------------------------------------------------------------------------------------


def test_a_digit_is_drawn_answered_taken_back_and_cleared(browser: Browser, server: DrawServer) -> None:
    with page_of(browser, viewport={"width": 1280, "height": 800}) as (page, seen):
        page.goto(server.address)
        expect_text(page, "#summary", "Nothing drawn yet")
        draw_strokes(page, [STROKES[4][0]])
        one_stroke = settled(page)
        draw_strokes(page, [STROKES[4][1]])
        assert settled(page) != one_stroke
        expect_text(page, "#said", r"(It is an?|Mostly) \d")
        assert len(labels(page)) == 3
        assert all(label in "0123456789" for label in labels(page))
        page.keyboard.press("Control+z")
        assert settled(page) == one_stroke
        page.keyboard.press("Escape")
        expect_text(page, "#summary", "Nothing drawn yet")
        assert set(labels(page)) == {""}
        assert seen.errors == []
        assert all(url.startswith(server.address) for url in seen.requests)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_with_disabilities_can_use_it(browser: Browser, server: DrawServer, scheme: str) -> None:
    with page_of(browser, color_scheme=scheme) as (page, _):
        page.goto(server.address)
        draw_strokes(page, STROKES[1])
        expect_text(page, "#summary", r"\d")
        assert serious_violations(page) == []


def test_a_phone_shows_paper_and_bars_without_scrolling_sideways(browser: Browser, server: DrawServer) -> None:
    with page_of(browser, viewport={"width": 390, "height": 844}, has_touch=True) as (page, seen):
        page.goto(server.address)
        draw_strokes(page, STROKES[7])
        expect_text(page, "#summary", r"\d")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for name in ("#paper", "#bars"):
            box = page.locator(name).bounding_box()
            assert box is not None
            assert box["width"] > 200
            assert box["y"] + box["height"] <= 844, "it is below the first screen"
        assert seen.errors == []


def test_a_click_is_a_dot(browser: Browser, server: DrawServer) -> None:
    with page_of(browser) as (page, seen):
        page.goto(server.address)
        page.locator("#paper").click()
        expect_text(page, "#summary", r"\d")
        assert seen.errors == []


def test_by_keyboard_a_stroke_is_drawn(browser: Browser, server: DrawServer) -> None:
    with page_of(browser) as (page, seen):
        page.goto(server.address)
        page.keyboard.press("Tab")
        for key in ("ArrowUp", "ArrowUp", "Space", *["ArrowDown"] * 6, "Space"):
            page.keyboard.press(key)
        expect_text(page, "#summary", r"\d")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "undo"
        page.keyboard.press("Enter")
        expect_text(page, "#summary", "Nothing drawn yet")
        assert seen.errors == []


DROPPED = """([bytes, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "seven.png", {type: "image/png"}));
  const names = {drop: "dataTransfer", paste: "clipboardData"};
  const event = kind === "drop" ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
    : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("way", ["drop", "paste", "file"])
def test_a_picture_is_answered_however_it_comes(browser: Browser, server: DrawServer, way: str) -> None:
    content = picture_of_a_seven()
    with page_of(browser) as (page, seen):
        page.goto(server.address)
        expect_text(page, "#about", "trained on")
        if way == "file":
            page.set_input_files("#file", {"name": "seven.png", "mimeType": "image/png", "buffer": content})
        else:
            page.evaluate(DROPPED, [list(content), way])
        expect_text(page, "#summary", r"\d")
        assert seen.errors == []
        page.set_input_files("#file", {"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"})
        expect_text(page, "#trouble", "This picture: ")
        assert set(labels(page)) == {""}


def test_a_picture_that_ink_touches_on_all_sides_has_the_remark_of_predict(
    browser: Browser, server: DrawServer
) -> None:
    from PIL import Image, ImageDraw

    tight, file = Image.new("L", (110, 150), 225), io.BytesIO()
    ImageDraw.Draw(tight).ellipse((0, 0, 109, 149), outline=30, width=14)
    tight.save(file, "PNG")
    with page_of(browser) as (page, seen):
        page.goto(server.address)
        expect_text(page, "#about", "trained on")
        page.set_input_files("#file", {"name": "tight.png", "mimeType": "image/png", "buffer": file.getvalue()})
        expect_text(page, "#trouble", "The digit touches all four sides: was part of it cut off?")
        expect_text(page, "#summary", r"\d")
        page.get_by_role("button", name="Clear").click()
        assert page.locator("#trouble").inner_text() == ""
        assert seen.errors == []


STARTING = """const own = fetch;
fetch = async (where, how) => {
  const reply = await own(where, how);
  if (where !== "/candidates") return reply;
  const status = await reply.json();
  status.candidates[0].state = "starting";
  return Response.json(status);
};"""


def test_it_begins_with_a_candidate_that_is_ready_and_tells_no_time_of_a_single_call(
    browser: Browser, server: DrawServer
) -> None:
    first, second, *_ = server.candidates()
    with page_of(browser) as (page, seen):
        page.add_init_script(STARTING)
        page.goto(server.address)
        expect_text(page, "#whose", f"^{second['backend']} ")
        assert page.locator("tr.chosen input").is_checked()
        page.get_by_role("radio").first.check()
        page.wait_for_timeout(1000)  # the page asks twice meanwhile how the candidates are
        expect_text(page, "#whose", f"^{first['backend']} ")
        draw_strokes(page, STROKES[1])
        expect_text(page, "#summary", r"\d")
        assert page.locator("#all thead th").all_inner_texts()[:3] == ["candidate", "label", "sure"]
        assert "µs" not in page.locator("main").inner_text()
        assert seen.errors == []


SIZES = """const own = fetch;
window.sizes = [];
fetch = (where, how) => { sizes.push(how?.body?.size); return own(where, how); };"""


def test_a_large_picture_is_sent_smaller(browser: Browser, server: DrawServer) -> None:
    content = picture_of_a_seven(2200)
    assert len(content) > 4_800_000
    with page_of(browser) as (page, seen):
        page.add_init_script(SIZES)
        page.goto(server.address)
        expect_text(page, "#about", "trained on")
        page.set_input_files("#file", {"name": "seven.png", "mimeType": "image/png", "buffer": content})
        expect_text(page, "#summary", r"\d")
        sizes = page.evaluate("sizes.filter((size) => size)")
        assert sizes
        assert 1000 < sizes[0] < 500_000
        assert seen.errors == []


# --- the server ----------------------------------------------------------------------------------------------------


def send_raw(port: int, request: bytes) -> bytes:
    """Send bytes, and give what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_what_makes_no_sense_is_refused_with_a_reason(server: DrawServer) -> None:
    assert send_raw(server.port, b"\x16\x03\x01 no http\r\n\r\n").startswith(b"HTTP/1.1 400")
    header = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000
    assert send_raw(server.port, header).startswith(b"HTTP/1.1 400")
    for path, body, status, reason in (
        ("/predict", b"xyz", 400, "3 bytes are no drawing"),
        ("/predict", bytes(DRAWING_BYTES), 400, "the drawing is empty"),
        ("/image", b"no picture at all", 400, "this picture: "),
        ("/image", b"", 400, "nothing was sent"),
        ("/image", picture_of_a_seven(4100), 400, "more than the 12.2 megapixels"),
        ("/predict", b"x" * 3_000_000, 413, "more than "),
        ("/predict", (b"x" * 50_000 for _ in range(60)), 413, "more than "),  # in chunks, of no announced length
    ):
        answer_status, answer = server.post(path, body)
        assert (answer_status, reason in json.loads(answer)["error"]) == (status, True), (path, answer)
    assert server.post("/predict", Origin="http://evil.example")[0] == 403
    assert server.post("/predict", Host="evil.example")[0] == 421
    assert server.post("/../../etc/passwd")[0] == 405
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{server.address}..%2f..%2fserver.py", timeout=30)
    assert server.answers() == 3


def test_two_hundred_at_once_are_answered_or_sent_away(server: DrawServer) -> None:
    before = server.memory()
    with ThreadPoolExecutor(200) as pool:
        statuses = list(pool.map(lambda _: server.post("/predict")[0], range(200)))
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 16
    assert server.answers() == 3
    assert server.memory() - before < MOST_MEMORY


@pytest.mark.slow
def test_slow_and_huge_senders_hold_nobody_up(server: DrawServer) -> None:
    before = server.memory()
    start = f"POST /predict HTTP/1.1\r\nHost: {server.host}\r\nOrigin: http://{server.host}\r\n"
    slow = [f"{start}Content-Length: 5000\r\n\r\n", f"{start.replace('predict', 'image')}Content-Length: 5000\r\n\r\n"]
    slow += ["GET / HTT", ""]

    def drip(request: str) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
            connection.sendall(request.encode())
            for _ in range(20):
                try:
                    connection.sendall(b"x")
                    return connection.recv(100)
                except TimeoutError:
                    continue
                except ConnectionError:
                    return b""
        return b"still open"

    def send_much(path: str) -> tuple[int, str]:
        return server.post(path, (b"x" * 1_000_000 for _ in range(101)))

    with ThreadPoolExecutor(64) as pool:
        drips = [pool.submit(drip, slow[index % 4]) for index in range(40)]
        huge = [pool.submit(send_much, path) for path in ("/predict", "/image")]
        most_memory = 0
        while not (all(future.done() for future in drips) and all(future.done() for future in huge)):
            assert server.answers() == 3, "the page is held up"
            most_memory = max(most_memory, server.memory())
            time.sleep(0.1)
    assert {future.result()[:12] for future in drips} <= {b"HTTP/1.1 408", b"HTTP/1.1 503", b"HTTP/1.1 400", b""}
    assert [future.result()[0] for future in huge] in ([413, 413], [413, 503])
    assert most_memory - before < MOST_MEMORY


def test_ctrl_c_leaves_no_process(trained: Bundle, tmp_path: Path) -> None:
    arguments = ("draw", trained.path, "-b", "numpy", "--no-browser", "--port", "0")
    done = interrupted(*arguments, cwd=tmp_path, trigger="Draw at", whole_group=True)
    assert done.returncode == 130
    assert done.stderr.splitlines() == ["digitbench: stopped; no incomplete file is left"]


def test_a_running_one_stops_at_ctrl_c(trained: Bundle, tmp_path: Path) -> None:
    server = started(trained.path, tmp_path, "-b", "numpy")
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert server.answers() == 1
    server.process.send_signal(signal.SIGINT)
    server.process.communicate(timeout=30)
    assert server.process.returncode == 130
    assert children
    assert not any(child.is_running() for child in children)


def test_bad_input_is_one_line(cli: Cli, trained: Bundle, tmp_path: Path, server: DrawServer) -> None:
    message = complaint(cli("draw", trained.path, "-b", "numpy", "--no-browser", "--port", server.port))
    assert f"can't listen at 127.0.0.1 port {server.port}" in message
    assert "nope" in complaint(cli("draw", "nope"))


# --- people's digits -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_digits_drawn_are_read(browser: Browser, on_mnist: Bundle, tmp_path: Path) -> None:
    server = started(on_mnist.path, tmp_path, "-b", "tflite", "-p", "fp32")
    right = []
    try:
        with page_of(browser) as (page, _):
            page.goto(server.address)
            for digit, strokes in STROKES.items():
                draw_strokes(page, strokes)
                page.wait_for_timeout(400)
                if labels(page) == [str(digit)]:
                    right.append(digit)
                page.keyboard.press("Escape")
    finally:
        stop(server)
    assert len(right) >= 9, right
