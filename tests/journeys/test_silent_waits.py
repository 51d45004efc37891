"""On a terminal something moves at least every two seconds, from the command to the next prompt."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest
from conftest import environment
from core.helpers import announce

from digitbench.bundle import Bundle
from journeys.helpers import copied, first_on_path

LONGEST = 2.0  # seconds in which nothing moves
LOOK = 0.05

PLUGIN = """
import time
import numpy as np
from digitbench.backend import Backend, Runtime


class Dozy(Backend):
    format = "npz"

    def __init__(self, artifact, *, threads):
        time.sleep(4)

    @property
    def runtime(self):
        return Runtime("Dozy", "1", "none", 1)

    def predict(self, images):
        time.sleep(0.001)  # else there are a hundred thousand calls to reckon with
        return np.full((len(images), 10), 0.5, np.float32)

    def close(self):
        pass
"""


@dataclass
class Watched:
    """What a terminal got: when something on it changed, seconds from the start, and what was there by then."""

    code: int
    changes: list[tuple[float, str]]
    stall: float

    def silent_waits(self) -> list[str]:
        """Those longer than a user should have, and than the longest for which this process itself had no CPU.

        How long Python takes until its first word is a matter of the machine, and isn't looked at.
        """
        return [
            f"{later - earlier:.1f} s after {text[-100:]!r}"
            for (earlier, text), (later, _) in zip(self.changes[1:], self.changes[2:], strict=False)
            if later - earlier > LONGEST + self.stall
        ]


def watched(*arguments: object, cwd: Path, env: dict[str, str]) -> Watched:
    """Run the command line in a pseudo terminal of 80 x 24, with the time of everything that it writes."""
    began = monotonic()
    pid, terminal = pty.fork()
    if not pid:
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.chdir(cwd)
            command = [sys.executable, "-m", "digitbench", *map(str, arguments)]
            os.execve(sys.executable, command, environment(cwd, TERM="xterm-256color", **env))
        finally:
            os._exit(127)
    changes, stall = [(0.0, "")], 0.0
    while True:
        before = monotonic()
        ready = select.select([terminal], [], [], LOOK)[0]
        stall = max(stall, monotonic() - before - LOOK)
        if not ready:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not data:
            break
        text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", data.decode("utf-8", "replace"))
        if text != changes[-1][1]:  # what is drawn again as it was does not move
            changes.append((monotonic() - began, text))
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Watched(code, [*changes, (monotonic() - began, "")], stall)


def test_while_a_runtime_starts_the_time_goes_on(tmp_path: Path, untrained: Bundle) -> None:
    announce(tmp_path / "site", "dozy_plugin", PLUGIN, names={"dozy": "Dozy"})
    done = watched(
        "bench", copied(untrained, tmp_path).path, "-b", "dozy", "--generations", "1", "--seconds", "0.1",
        cwd=tmp_path, env=first_on_path(tmp_path / "site"),
    )  # fmt: skip
    assert done.code == 0, done.changes
    assert done.changes[-1][0] > 8, "it was started twice, and the second time with its twin"
    assert done.silent_waits() == []
    shown = {match.group(1) for _, text in done.changes for match in [re.search(r"measuring (\d:\d\d)", text)] if match}
    assert len(shown) >= 4


@pytest.mark.slow
def test_quickstart_and_what_follows_it_are_never_silent(tmp_path: Path) -> None:
    for arguments in (["quickstart", "--dataset", "digits"], ["train", "--dataset", "digits", "--epochs", "2"]):
        done = watched(*arguments, cwd=tmp_path, env={})
        assert done.code == 0, done.changes[-20:]
        assert done.silent_waits() == [], arguments
