"""What is read of a processor on Linux and macOS, how it is written, and which results are of the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.rows import results_of, timed
from digitbench.errors import UsageError
from digitbench.judge.compare import compare
from digitbench.report.terminal import headline
from digitbench.system import machine, processor

EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
cpu MHz\t\t: 3700.000
flags\t\t: fpu sse2 avx fma avx2 avx512f avx512_vnni amx_tilenot

processor\t: 1
model\t\t: 99
"""
ARM = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd asimdhp asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1
"""
MAC = """\
machdep.cpu.brand_string: Apple M1
hw.l1dcachesize: 65536
hw.l2cachesize: 4194304
hw.l3cachesize: 0
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_FP16: 1
hw.optional.arm.FEAT_SME: 0
hw.optional.neon: 1
"""
FACTS: dict[str, Any] = {"family": 25, "model": 17, "stepping": 1}


def cache(folder: Path, index: int, level: int, kind: str, size: str) -> None:
    place = folder / "cache" / f"index{index}"
    place.mkdir(parents=True)
    for name, text in (("level", level), ("type", kind), ("size", size)):
        (place / name).write_text(f"{text}\n")


def test_an_x86_is_read_of_its_first_processor(tmp_path: Path) -> None:
    cache(tmp_path, 0, 1, "Data", "32K")
    cache(tmp_path, 1, 1, "Instruction", "64K")
    cache(tmp_path, 2, 2, "Unified", "1024K")
    cache(tmp_path, 3, 3, "Unified", "32M")
    known = processor.of_linux(EPYC, tmp_path)
    assert known == FACTS | {
        "caches": {"L1d": 32768, "L2": 2**20, "L3": 2**25}, "mhz": 3700.0,
        "instruction_sets": ["avx", "fma", "avx2", "avx512f", "avx512_vnni"],
    }  # fmt: skip
    about = {"cpu": "AMD EPYC", "processor": known}
    assert processor.title(about) == "AMD EPYC (family 25, model 17, stepping 1)"
    assert processor.details(about) == (
        "L1d 32 KiB, L2 1 MiB, L3 32 MiB; 3.7 GHz; avx, fma, avx2, avx512f, avx512_vnni"
    )
    (tmp_path / "cpufreq").mkdir()
    (tmp_path / "cpufreq" / "cpuinfo_max_freq").write_text("4400000\n")
    assert processor.of_linux(EPYC, tmp_path)["mhz"] == 4400.0


def test_an_arm_is_read_too_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    known = processor.of_linux(ARM, tmp_path)
    assert known == {
        "implementer": "0x41", "part": "0xd40", "variant": "0x1", "revision": 1, "caches": {},
        "instruction_sets": ["sve", "i8mm", "bf16", "neon", "fp16", "dotprod"],
    }  # fmt: skip
    about = {"cpu": "aarch64", "processor": known}
    assert processor.title(about) == "aarch64 (implementer 0x41, part 0xd40, variant 0x1, revision 1)"
    assert processor.details(about) == "sve, i8mm, bf16, neon, fp16, dotprod"


def test_a_mac_is_called_by_its_brand() -> None:
    known = processor.of_mac(MAC)
    assert known == {
        "name": "Apple M1", "caches": {"L1d": 65536, "L2": 2**22}, "instruction_sets": ["neon", "fp16", "dotprod"],
    }  # fmt: skip
    assert processor.title({"cpu": "arm", "processor": known}) == "Apple M1"


@pytest.mark.parametrize("about", [{}, {"processor": None}, {"processor": {}}, {"processor": [1]}], ids=str)
def test_older_results_have_the_brand_alone(about: dict[str, Any]) -> None:
    assert processor.title(about | {"cpu": "AMD EPYC"}) == "AMD EPYC"
    assert processor.details(about) == ""


def test_this_machines_processor_is_in_its_description() -> None:
    assert machine.describe()["processor"] == processor.describe()
    assert processor.identity(machine.describe()).items() <= processor.describe().items()


def test_only_another_processor_is_another_machine() -> None:
    older = results_of(timed("numpy", 1, 9.0))
    newer = replace(older, machine={**older.machine, "processor": FACTS | {"mhz": 2.0}})
    other = replace(older, machine={**older.machine, "processor": FACTS | {"model": 1}})
    again = replace(newer, machine={**newer.machine, "processor": FACTS | {"mhz": 3.0}})
    for base, new in ((older, newer), (newer, older), (newer, again)):
        assert not compare(base, new, [], force=False).notes
    with pytest.raises(UsageError, match=r"cpu .*model 17, .* in base and .*model 1, .* in new"):
        compare(newer, other, [], force=False)
    assert "Some CPU [x] (family 25, model 17, stepping 1), 2 cores" in headline(newer).plain
