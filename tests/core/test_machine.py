"""What the machine says of itself: possible values, counters that grow, and None where a system keeps silent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from digitbench.system import machine

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_the_description_is_plain_and_plausible() -> None:
    description = json.loads(json.dumps(machine.describe()))
    assert description["cpu"]
    assert 1 <= description["cores"]["available"] <= description["cores"]["logical"]
    assert description["memory_bytes"] == psutil.virtual_memory().total
    assert description["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone binds processes to cores")
def test_only_cores_that_may_be_used_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_counters_of_a_busy_process_grow() -> None:
    before = machine.busy_now()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    after = machine.busy_now()
    assert after.keys() == before.keys()
    assert all(after[name] >= before[name] for name in after)
    assert 0.05 <= after["cpu_seconds"] - before["cpu_seconds"] < 1


@LINUX
def test_steal_and_ticks_are_of_the_first_line_of_proc_stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  1 2 3 4 5 6 7 80 900 1000\ncpu0 9 9 9 9 9 9 9 9 9 9\n")
    monkeypatch.setattr(machine, "PROC_STAT", stat)
    counters = machine.busy_now()
    assert counters["steal"] == 80
    assert counters["all"] == 1 + 2 + 3 + 4 + 5 + 6 + 7 + 80, "guests' time is in user time already"


@LINUX
def test_waiting_is_the_second_of_schedstat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "schedstat"
    stat.write_text("5000000000 250000000 17\n")
    monkeypatch.setattr(machine, "SCHEDSTAT", stat)
    assert machine.busy_now()["waiting_seconds"] == 0.25


def test_where_the_system_tells_nothing_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROC_STAT", tmp_path / "nothing")
    monkeypatch.setattr(machine, "SCHEDSTAT", tmp_path / "nothing")
    monkeypatch.setattr(machine, "resource", None)
    assert set(machine.busy_now()) == {"cpu_seconds"}


@LINUX
def test_threads_are_counted() -> None:
    before = machine.os_threads()
    assert before
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert machine.os_threads() == before + 3
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_peak_memory_is_this_process_own_and_not_its_parents() -> None:
    """A new program inherits ``ru_maxrss`` from its parent on Linux; this one's parent holds 200 MB."""
    held = np.ones(25_000_000)
    code = "from digitbench.system import machine; print(machine.peak_rss_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 5e6 < int(done.stdout) < 100e6
    assert machine.peak_rss_bytes() > held.nbytes


def test_peak_memory_stays_when_memory_is_given_back() -> None:
    held = np.ones(6_000_000)
    high = machine.peak_rss_bytes()
    del held
    assert machine.peak_rss_bytes() >= high


def test_available_memory_is_part_of_all() -> None:
    assert 0 < machine.available_memory_bytes() < psutil.virtual_memory().total


def test_a_frequency_is_one_or_none() -> None:
    frequency = machine.frequency_mhz()
    assert frequency is None or 100 < frequency < 10_000
