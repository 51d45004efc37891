"""What this machine is, and how busy it was."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import Any

from digitbench.system import processor

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

PROC_STAT = Path("/proc/stat")
SCHEDSTAT = Path("/proc/self/schedstat")  # on its processor, waiting for one (ns), times it ran


def describe() -> dict[str, Any]:
    """Describe the machine, for the record that results carry.

    Returns
    -------
    dict
        cpu (the brand), processor (see `digitbench.system.processor.describe`), architecture, cores (physical, logical,
        available to this process), memory_bytes, system, python, and load_average (1 minute, before measuring; None
        where the system keeps none).
    """
    import psutil

    return {
        "cpu": _first_field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        "processor": processor.describe(),
        "architecture": platform.machine(),
        "cores": {
            "physical": psutil.cpu_count(logical=False),
            "logical": psutil.cpu_count(),
            "available": available_cores(),
        },
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_rss_bytes() -> int:
    """High-water mark of this process' resident memory.

    Linux's ``ru_maxrss`` is not it: a new program inherits there what its parent had reached before `exec`.
    """
    if peak_kib := _first_field(Path("/proc/self/status"), "VmHWM"):
        return int(peak_kib.split()[0]) * 1024
    import psutil

    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return int(info.peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def busy_now() -> dict[str, float]:
    """Counters that only grow, to be read before and after a block; those that the system lacks are left out.

    Returns
    -------
    dict
        cpu_seconds (of this process, all threads), involuntary (context switches that it didn't ask for),
        waiting_seconds (of its main thread: ready to run, and no core free), and of the whole machine steal and all
        (ticks of CPU time: taken by the hypervisor for others, and in all).
    """
    counters = {"cpu_seconds": time.process_time()}
    if resource is not None:
        counters["involuntary"] = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    if SCHEDSTAT.exists():
        counters["waiting_seconds"] = int(SCHEDSTAT.read_bytes().split()[1]) / 1e9
    if PROC_STAT.exists():
        with PROC_STAT.open("rb") as stream:  # its first line: user nice system idle iowait irq softirq steal
            ticks = [int(field) for field in stream.readline().split()[1:9]]
        counters |= {"steal": ticks[7], "all": sum(ticks)}
    return counters


def os_threads() -> int | None:
    """Threads of this process, busy or not; None where the system doesn't tell cheaply."""
    tasks = Path("/proc/self/task")
    return len(os.listdir(tasks)) if tasks.is_dir() else None


def frequency_mhz() -> float | None:
    """Clock of the cores, on average; None where the system doesn't tell."""
    import psutil

    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return round(frequency.current, 1) if frequency and frequency.current else None


def available_memory_bytes() -> int:
    """Memory that new processes can have without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def _first_field(path: Path, name: str) -> str:
    """Read the first field of that name in a file of the kernel's; empty where there is none."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    match = re.search(rf"^{name}\s*:(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""
