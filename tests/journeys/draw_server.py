"""A running `digitbench draw`, for tests of its page and of its server."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from conftest import environment

from digitbench.draw.pictures import DRAWING_BYTES

if TYPE_CHECKING:
    from playwright.sync_api import Page

DRAWING = bytes(DRAWING_BYTES // 2 - 30) + b"\xff" * 60 + bytes(DRAWING_BYTES // 2 - 30)


class DrawServer:
    """A running `digitbench draw`."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address
        self.port = int(address.rstrip("/").rpartition(":")[2])
        self.host = f"127.0.0.1:{self.port}"

    def post(self, path: str, body: Any = DRAWING, **headers: str) -> tuple[int, str]:
        """Send something as the page does; status and what came back."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", path, body, {"Origin": f"http://{self.host}", **headers})
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def candidates(self) -> list[dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/candidates")
        candidates: list[dict[str, str]] = json.loads(connection.getresponse().read())["candidates"]
        connection.close()
        return candidates

    def answers(self) -> int:
        """How many candidates answer a drawing, at the first attempt in ten seconds at which none is too busy."""
        deadline, count = time.monotonic() + 10, 0
        while time.monotonic() < deadline:
            status, body = self.post("/predict")
            count = body.count('"answered"') if status == 200 else 0
            if status == 200 and '"busy"' not in body:
                break
            time.sleep(0.1)
        return count

    def memory(self) -> int:
        """Resident bytes of the server and its workers."""
        server = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in [server, *server.children(recursive=True)])


def started(run: Path, folder: Path, *arguments: str) -> DrawServer:
    command = [sys.executable, "-m", "digitbench", "draw", str(run), *arguments, "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    match = re.match(r"Draw at (http://127\.0\.0\.1:\d+/) ", process.stdout.readline())
    assert match, "it printed no address"
    server = DrawServer(process, match[1])
    deadline = time.monotonic() + 60
    while any(candidate["state"] == "starting" for candidate in server.candidates()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return server


def stop(server: DrawServer) -> None:
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert children
    server.process.terminate()
    server.process.communicate(timeout=30)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def expect_text(page: Page, selector: str, text: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_contain_text(re.compile(text), timeout=10_000)


def labels(page: Page) -> list[str]:
    return [text.removeprefix("≠ ") for text in page.locator("td.label").all_inner_texts()]
