"""The parts of `digitbench draw` by themselves: what is drawn, who is let in, and candidates that misbehave."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from core.helpers import announce
from digitbench.bundle import Bundle
from digitbench.draw import processes
from digitbench.draw.guard import Guard, Refusal, is_loopback, read_body
from digitbench.draw.pictures import DRAWING_BYTES, SEEN_BYTES, SIDE, picture_of
from digitbench.draw.processes import ProcessGroup
from digitbench.errors import ImageError, MissingRuntimeError, UsageError
from digitbench.measure.candidates import candidates
from digitbench.records.arrays import Pixels
from digitbench.system.packages import install_command

SEEN: Pixels = np.eye(28, dtype=np.uint8) * 255
PLUGIN = """
    import os, signal, time
    from digitbench_numpy import NumpyBackend

    class Crashes(NumpyBackend):
        def predict(self, images):
            if images.any():  # a warm-up's are blank
                self.fail()
            return super().predict(images)

        def fail(self):
            os.kill(os.getpid(), signal.SIGSEGV)

    class Sleeps(Crashes):
        def fail(self):
            time.sleep(60)

    class Raises(Crashes):
        def fail(self):
            raise RuntimeError("not this one")
"""


# --- what is drawn -------------------------------------------------------------------------------------------------


def drawing(top: int, left: int, height: int, width: int) -> bytes:
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = 255
    return pixels.tobytes()


@pytest.mark.parametrize("rectangle", [(10, 10, 80, 12), (60, 110, 40, 6), (0, 0, SIDE, 20), (139, 139, 1, 1)])
def test_a_drawing_fills_the_box_and_lies_in_the_middle_wherever_it_was_drawn(
    rectangle: tuple[int, int, int, int],
) -> None:
    seen = picture_of(drawing(*rectangle))
    assert seen.shape == (28, 28)
    assert seen.dtype == np.uint8
    rows = np.flatnonzero((seen > 127).any(axis=1))
    assert np.ptp(rows) + 1 in (19, 20, 21)
    mass = seen.astype(float)
    down = (mass.sum(axis=1) @ (np.arange(28) + 0.5)) / mass.sum()
    assert down == pytest.approx(14.5, abs=0.6)


def test_what_was_seen_already_is_taken_as_it_is() -> None:
    assert np.array_equal(picture_of(SEEN.tobytes()), SEEN)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "0 bytes are no drawing"),
        (b"x" * (DRAWING_BYTES - 1), "bytes are no drawing"),
        (bytes(DRAWING_BYTES), "the drawing is empty"),
        (b"\x7f" * SEEN_BYTES, "the drawing is empty"),
    ],
)
def test_what_is_no_drawing_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        picture_of(body)


def test_no_drawing_is_too_strange() -> None:
    draw = np.random.default_rng(3)
    for share in (0.0001, 0.01, 0.5, 1.0):
        pixels = np.where(draw.random((SIDE, SIDE)) < share, 255, 0).astype(np.uint8)
        pixels[0, -1] = 255
        assert picture_of(pixels.tobytes()).max() > 0


# --- who is let in -------------------------------------------------------------------------------------------------


def status_of(host: str, method: str = "POST", listening: str = "127.0.0.1", **headers: str) -> int:
    """The status that comes back through the guard of an application that answers 200 to everything."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw_headers = [(b"host", host.encode()), *((name.encode(), value.encode()) for name, value in headers.items())]
    scope = {"type": "http", "method": method, "headers": raw_headers}
    asyncio.run(Guard(app, listening)(scope, None, send))  # type: ignore[arg-type]
    assert b"content-security-policy" in dict(sent[0]["headers"])
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", ["127.0.0.1:8028", "localhost:8028", "LOCALHOST", "[::1]:8028", "127.0.0.2:1"])
def test_the_page_itself_is_let_in(host: str) -> None:
    assert status_of(host, origin=f"http://{host}") == HTTPStatus.OK
    assert status_of(host, "GET") == HTTPStatus.OK


@pytest.mark.parametrize(
    "host", ["evil.example:8028", "", "localhost.evil.example", "10.0.0.1:8028", "[evil]", "[::2]"]
)
def test_a_strange_name_is_not(host: str) -> None:
    assert status_of(host, "GET") == HTTPStatus.MISDIRECTED_REQUEST
    assert status_of(host, origin=f"http://{host}") == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://localhost:9", "https://localhost:8028"])
def test_a_strange_page_sends_no_pictures(origin: str) -> None:
    assert status_of("localhost:8028", origin=origin) == HTTPStatus.FORBIDDEN
    assert status_of("localhost:8028") == HTTPStatus.FORBIDDEN


def test_with_another_host_numbers_are_let_in_and_strange_names_are_not() -> None:
    assert status_of("10.0.0.1:8028", "GET", listening="0.0.0.0") == HTTPStatus.OK
    assert status_of("box.lan:8028", "GET", listening="box.lan") == HTTPStatus.OK
    assert status_of("evil.example:8028", "GET", listening="0.0.0.0") == HTTPStatus.MISDIRECTED_REQUEST


def test_which_addresses_are_this_machine_alone() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "box.lan")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


class Sender:
    """Stands in for a request: sends pieces, waiting before each."""

    def __init__(self, piece: bytes, count: int, wait: float = 0) -> None:
        self.piece, self.count, self.wait = piece, count, wait

    async def stream(self) -> Any:
        while self.count > 0:
            self.count -= 1
            await asyncio.sleep(self.wait)
            yield self.piece


def refused(sender: Sender, limit: int = 100) -> tuple[HTTPStatus, int]:
    kept = bytearray()
    with pytest.raises(Refusal) as caught:
        asyncio.run(read_body(sender, limit, kept.extend))  # type: ignore[arg-type]
    return caught.value.status, len(kept)


def test_a_body_is_read_no_further_than_its_limit() -> None:
    sender = Sender(b"x" * 30, 10)
    assert refused(sender) == (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, 90)
    assert sender.count == 0, "the rest is thrown away, so that the answer is read"


def test_who_sends_too_slowly_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.draw.guard.BODY_SECONDS", 0.1)
    assert refused(Sender(b"x", 90, 0.02))[0] == HTTPStatus.REQUEST_TIMEOUT
    assert refused(Sender(b"x", 1, 5)) == (HTTPStatus.REQUEST_TIMEOUT, 0)


# --- candidates ----------------------------------------------------------------------------------------------------


def answers_of(group: ProcessGroup, times: int = 1) -> list[dict[int, dict[str, Any]]]:
    """Start a group of processes and ask it `times` times: each time every candidate's answer, by its number."""

    async def ask() -> list[dict[int, dict[str, Any]]]:
        group.start()
        try:
            async with asyncio.timeout(60):
                while any(process.state == "starting" for process in group.processes):
                    await asyncio.sleep(0.02)
                return [
                    {
                        answer["candidate"]: answer
                        async for answers in group.ask(np.roll(SEEN, shift)) for answer in answers
                    }
                    for shift in range(times)
                ]  # fmt: skip
        finally:
            group.end()

    return asyncio.run(ask())


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the plugins that misbehave, in which workers look too."""
    announce(tmp_path, "draw_backends", PLUGIN, names={name.lower(): name for name in ("Crashes", "Sleeps", "Raises")})
    monkeypatch.syspath_prepend(tmp_path)
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *entries]))
    return tmp_path


def test_one_that_crashes_sleeps_or_raises_stops_nobody(
    plugins: Path, untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "available_cores", lambda: 4)
    chosen = candidates(untrained, ["numpy", "crashes", "sleeps", "raises"], [None], [1])
    group = ProcessGroup(chosen, "softmax")
    first, second = answers_of(group, 2)
    for answers in (first, second):
        assert [answers[number]["state"] for number in range(4)] == ["answered", "crashed", "busy", "refused"]
    assert first[1]["why"] == "the worker was killed by SIGSEGV"
    assert "RuntimeError: not this one" in first[3]["why"]
    assert sum(first[0]["probabilities"]) == pytest.approx(1, abs=1e-4)
    assert first[0]["label"] == int(np.argmax(first[0]["probabilities"]))
    assert first[0]["microseconds"] > 0
    left = psutil.Process().children(recursive=True)
    assert not any("digitbench.draw.worker" in child.cmdline() for child in left)
    assert not Path(group.folder).exists()


def test_a_late_answer_is_kept_for_who_asks_the_same_again(untrained: Bundle) -> None:
    group = ProcessGroup(candidates(untrained, ["numpy"], [None], [1]), "softmax")
    (process,) = group.processes
    before = psutil.Process().children()

    async def ask() -> list[str]:
        (worker,) = (child for child in psutil.Process().children() if child not in before)
        worker.suspend()
        late = await process.ask(SEEN.tobytes(), patience=0)
        worker.resume()
        await asyncio.wait_for(asyncio.wrap_future(process._thread.submit(int)), 60)  # after the answer, in its turn
        again = await process.ask(SEEN.tobytes(), patience=0)
        return [late["state"], again["state"]]

    try:
        process.start()
        assert asyncio.run(ask()) == ["busy", "answered"]
    finally:
        group.end()


def test_what_is_printed_names_the_address_and_warns_where_others_can_reach_it(untrained: Bundle) -> None:
    from rich.console import Console

    from digitbench.commands.draw import _tell

    def printed(host: str) -> str:
        console = Console(file=io.StringIO())
        _tell(candidates(untrained, ["numpy"], [None], [1]), "http://127.0.0.1:1/", host, console)
        return str(console.file.getvalue())  # type: ignore[attr-defined]

    assert printed("127.0.0.1") == "Draw at http://127.0.0.1:1/ (1 candidate; Ctrl-C stops)\n"
    assert "Everyone who can reach this machine at 0.0.0.0 can use the page" in printed("0.0.0.0")


def test_without_its_packages_it_says_what_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from digitbench.draw.server import check_installed

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(
        MissingRuntimeError,
        match=re.escape(f"uvicorn, not installed here; run: {install_command('digitbench', 'draw')}"),
    ):
        check_installed()


def test_a_taken_port_is_one_line() -> None:
    from digitbench.draw.server import listen

    with listen("127.0.0.1", 0) as first, pytest.raises(UsageError, match=r"Address already in use.*--port"):
        listen("127.0.0.1", first.getsockname()[1])
    with pytest.raises(UsageError, match=r"--host nowhere\.invalid: no such address"):
        listen("nowhere.invalid", 0)
