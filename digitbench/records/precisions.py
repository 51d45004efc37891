"""What numbers an artifact holds and computes with. Float32 in and out in all of them."""

from __future__ import annotations

from collections.abc import Iterable

from digitbench.errors import UsageError, unknown

FP32, FP16, DYNAMIC, INT8, BF16 = "fp32", "fp16", "dynamic", "int8", "bf16"
FP64, INT16, WEIGHTS8, OTHER = "fp64", "int16", "int8-weights", "other"

ABOUT = {
    FP32: "weights and arithmetic in float32, as trained",
    FP16: "weights stored as float16, half the size; CPUs compute in float32 (some models made elsewhere in float16)",
    DYNAMIC: "weights as int8; each call finds the range of its own activations and quantises them",
    INT8: "weights and activations as int8, with ranges found once on calibration images",
    BF16: "weights and arithmetic in bfloat16, made by the runtime while it loads, only if asked for; or as imported",
    FP64: "weights and arithmetic in float64; only as imported",
    INT16: "weights as int8 or int16, activations as int16; only as imported",
    WEIGHTS8: "weights stored as int8, arithmetic in floats; as an exporter of one runtime writes it, or as imported",
    OTHER: "something else, as 4 bits, or some weights quantised and others not; only as imported",
}

EXPORTED = (FP32, FP16, DYNAMIC, INT8)
"""What exporters write, in the order in which tables list them; `BF16` is made by a runtime."""

IMPORTED = (FP64, INT16, WEIGHTS8, OTHER)
"""What models made elsewhere have, and every backend may try; of these, an exporter may write `WEIGHTS8`."""


def parse(names: Iterable[str]) -> tuple[str, ...]:
    """Read precisions, each name possibly a list with commas: ``["int8,dynamic"]``.

    Raises
    ------
    UsageError
        One is not known.
    """
    parsed = tuple(dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip()))
    for name in parsed:
        if name not in ABOUT:
            raise UsageError(unknown("precision", name, ABOUT))
    return parsed
