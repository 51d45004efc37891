"""Messages of Protocol Buffers, read by a schema of a few of their fields."""

from __future__ import annotations

import pytest

from digitbench.model_files.protobuf import Schema, decode

SCHEMA: Schema = {
    "Outer": {"number": (1, "int"), "text": (2, "text"), "inner": (3, "Inner*"), "numbers": (6, "int*")},
    "Inner": {"number": (1, "int")},
}


def test_fields_are_read_as_their_encoding_says() -> None:
    """Examples of https://protobuf.dev/programming-guides/encoding/, and every other kind of field."""
    message = decode(b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01\x32\x06\x03\x8e\x02\x9e\xa7\x05", SCHEMA)
    assert message.number == 150
    assert message.text == "testing"
    assert [inner.number for inner in message.inner] == [150]
    assert message.numbers == [3, 270, 86942], "packed"
    assert decode(b"\x30\x03\x30\x8e\x02", SCHEMA).numbers == [3, 270], "and one by one"
    assert decode(b"\x49" + bytes(8) + b"\x55" + bytes(4) + b"\x08\x07", SCHEMA).number == 7, "behind unknown fields"
    empty = decode(b"", SCHEMA)
    assert (empty.number, empty.text, list(empty.inner)) == (0, "", [])
    assert decode(b"\x12\x01a\x12\x01b", SCHEMA).text == "b", "the last one counts"
    assert decode(b"\x08" + b"\xff" * 9 + b"\x01", SCHEMA).number == -1


@pytest.mark.parametrize(
    "content", [b"\x08", b"\x08\x96", b"\x12\x07test", b"\x0e", b"\xff" * 64, b"\x15\x00"], ids=repr
)
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"parsing|decod"):
        decode(content, SCHEMA)
