"""Read Protocol Buffers without their schema: the fields of a message, by number.

https://protobuf.dev/programming-guides/encoding/ says how they are written. ONNX files and SavedModels are such
messages; the packages that know their schemas aren't there for everyone who imports one.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
SIZES = {FIXED64: 8, FIXED32: 4}

Value = int | memoryview


class Message:
    """A message's fields.

    Parameters
    ----------
    content
        Its bytes; a view of them copies nothing.

    Raises
    ------
    ValueError
        They are no message.
    """

    def __init__(self, content: bytes | memoryview) -> None:
        self._fields: dict[int, list[Value]] = {}
        for number, value in _fields(memoryview(content)):
            self._fields.setdefault(number, []).append(value)

    def messages(self, number: int) -> list[Message]:
        """Give every message of a field."""
        return [Message(value) for value in self._fields.get(number, []) if isinstance(value, memoryview)]

    def texts(self, number: int) -> list[str]:
        """Give every text of a field."""
        values = self._fields.get(number, [])
        return [bytes(value).decode("utf-8", "replace") for value in values if isinstance(value, memoryview)]

    def text(self, number: int) -> str:
        """Give a field's text: the last, as Protocol Buffers want it; empty if there is none."""
        return (self.texts(number) or [""])[-1]

    def numbers(self, number: int) -> list[int]:
        """Give every whole number of a field, packed or not; negative ones as they are written, above 2**63."""
        numbers: list[int] = []
        for value in self._fields.get(number, []):
            numbers += [value] if isinstance(value, int) else _packed(value)
        return numbers

    def number(self, number: int) -> int:
        """Give a field's whole number: the last; 0 if there is none."""
        return (self.numbers(number) or [0])[-1]


def _fields(content: memoryview) -> Iterator[tuple[int, Value]]:
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        wire_type = key & 7
        if wire_type == VARINT:
            value, position = _varint(content, position)
            yield key >> 3, value
            continue
        if wire_type == BYTES:
            size, position = _varint(content, position)
        elif wire_type in SIZES:
            size = SIZES[wire_type]
        else:
            raise ValueError(f"field of an unknown kind {wire_type} at byte {position}")
        if position + size > len(content):
            raise ValueError(f"field of {size} bytes at byte {position}: the message ends before")
        yield key >> 3, content[position : position + size]
        position += size


def _packed(content: memoryview) -> list[int]:
    numbers, position = [], 0
    while position < len(content):
        value, position = _varint(content, position)
        numbers.append(value)
    return numbers


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """Read a whole number: seven bits a byte, the lowest first, the eighth set on all but the last."""
    value = shift = 0
    while position < len(content) and shift < 70:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError(f"number cut short at byte {position}")
