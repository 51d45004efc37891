"""Which processor this machine has: what tells two of one brand apart, and what a runtime's speed depends on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

CPUINFO, CPU0 = Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0")
IDENTITY = ("family", "model", "stepping", "implementer", "part", "variant", "revision")
"""The numbers that tell processors of one brand apart: x86 has the first three, Arm the others."""
FIELDS = {name: (f"CPU {name}", f"cpu {name}", name) for name in IDENTITY}
INSTRUCTION_SETS = {
    **{name: name for name in (
        "avx", "fma", "f16c", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
        "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "sve", "sve2", "sme", "i8mm", "bf16",
    )},
    "avx1.0": "avx", "asimd": "neon", "neon": "neon", "asimdhp": "fp16", "fp16": "fp16", "asimddp": "dotprod",
    "dotprod": "dotprod",
}  # fmt: skip
"""Those that runtimes have code of their own for, by the names that systems have for them."""
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@cache
def describe() -> dict[str, Any]:
    """Describe the processor; what the system doesn't tell is left out.

    Returns
    -------
    dict
        name (where it is better than Python's), numbers of `IDENTITY`, caches (bytes of ``"L1d"``, ``"L2"``, ``"L3"``
        that a core has or shares), mhz (the highest clock, else the clock now), instruction_sets (names).
    """
    if CPUINFO.exists():
        return of_linux(CPUINFO.read_text(encoding="utf-8", errors="replace"), CPU0)
    if sys.platform != "darwin":
        return {}
    try:
        done = subprocess.run(["sysctl", "machdep.cpu", "hw"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return of_mac(done.stdout)


def of_linux(cpuinfo: str, cpu: Path) -> dict[str, Any]:
    """Read the text of ``/proc/cpuinfo``, of its first processor, and the folder of that below ``/sys``."""
    facts = _fields(cpuinfo.partition("\n\n")[0])
    caches = {}
    for folder in sorted(cpu.glob("cache/index*")):
        level, kind, size = (_text(folder / name) for name in ("level", "type", "size"))
        if kind in ("Data", "Unified") and (match := re.fullmatch(r"(\d+)([KMG])", size)):
            caches[f"L{level}{'d' * (kind == 'Data')}"] = int(match[1]) * UNITS[match[2]]
    highest = _text(cpu / "cpufreq" / "cpuinfo_max_freq")  # in kHz
    clock = float(highest) / 1000 if highest.isdecimal() else _number(facts.get("cpu MHz"))
    return _known(facts, caches, clock, f"{facts.get('flags', '')} {facts.get('Features', '')}".split())


def of_mac(sysctl: str) -> dict[str, Any]:
    """Read what ``sysctl machdep.cpu hw`` prints."""
    facts = {name.removeprefix("machdep.cpu."): value for name, value in _fields(sysctl).items()}
    sizes = {"L1d": "hw.l1dcachesize", "L2": "hw.l2cachesize", "L3": "hw.l3cachesize"}
    caches = {name: size for name, key in sizes.items() if (size := int(_number(facts.get(key)) or 0))}
    hertz = _number(facts.get("hw.cpufrequency_max"))
    named = f"{facts.get('features', '')} {facts.get('leaf7_features', '')}".split()
    named += [name.rpartition(".")[2].removeprefix("FEAT_") for name, value in facts.items()
              if name.startswith("hw.optional.") and value == "1"]  # fmt: skip
    known = _known(facts, caches, hertz and hertz / 1e6, named)
    return ({"name": facts["brand_string"]} if "brand_string" in facts else {}) | known


def identity(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Give the numbers that tell a described machine's processor from others of its brand; empty if not known."""
    processor = machine.get("processor")
    return {name: processor[name] for name in IDENTITY if name in processor} if isinstance(processor, Mapping) else {}


def title(machine: Mapping[str, Any]) -> str:
    """Name a described machine's processor: ``AMD EPYC (family 25, model 17, stepping 1)``."""
    processor = machine.get("processor")
    name = processor.get("name") if isinstance(processor, Mapping) else None
    numbers = ", ".join(f"{key} {value}" for key, value in identity(machine).items())
    return f"{name or machine.get('cpu', 'unknown processor')}{f' ({numbers})' if numbers else ''}"


def details(machine: Mapping[str, Any]) -> str:
    """Write its caches, clock and instruction sets: ``L1d 32 KiB, L2 1 MiB; 2.8 GHz; avx2, fma``; or nothing."""
    match machine.get("processor"):
        case {"caches": dict(caches), "instruction_sets": list(names), **more}:
            mhz = more.get("mhz")
            clock = f"{mhz / 1000:.2g} GHz" if isinstance(mhz, float | int) else ""
            sizes = (f"{name} {_size(size)}" for name, size in caches.items() if isinstance(size, int))
            return "; ".join(filter(None, [", ".join(sizes), clock, ", ".join(map(str, names))]))
    return ""


def _known(
    facts: Mapping[str, str], caches: Mapping[str, int], mhz: float | None, flags: Iterable[str]
) -> dict[str, Any]:
    found = {name: next((facts[key] for key in keys if key in facts), None) for name, keys in FIELDS.items()}
    numbers = {name: int(text) if text.isdecimal() else text for name, text in found.items() if text}
    lowered = [flag.lower() for flag in flags]
    sets = dict.fromkeys(shown for name, shown in INSTRUCTION_SETS.items() if name in lowered)
    clock = {"mhz": round(mhz, 1)} if mhz else {}
    return {**numbers, "caches": dict(caches), **clock, "instruction_sets": list(sets)}


def _fields(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in lines if colon}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:  # a container may hide it
        return ""


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text) else None


def _size(size: int) -> str:
    return f"{size / 2**20:.4g} MiB" if size >= 2**20 else f"{size / 2**10:.4g} KiB"
