"""Messages of Protocol Buffers, read without their library."""

from __future__ import annotations

import pytest

from digitbench.model_files.protobuf import Message


def test_fields_are_read_as_their_encoding_says() -> None:
    """Examples of https://protobuf.dev/programming-guides/encoding/, and every other kind of field."""
    message = Message(b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01\x32\x06\x03\x8e\x02\x9e\xa7\x05")
    assert message.number(1) == 150
    assert message.text(2) == "testing"
    assert [inner.number(1) for inner in message.messages(3)] == [150]
    assert message.numbers(6) == [3, 270, 86942], "packed"
    assert Message(b"\x30\x03\x30\x8e\x02").numbers(6) == [3, 270], "and one by one"
    assert Message(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x07").number(3) == 7, "behind fixed sizes"
    assert (message.number(9), message.text(9), message.messages(9)) == (0, "", [])
    assert Message(b"\x12\x01a\x12\x01b").text(2) == "b", "the last one counts"


@pytest.mark.parametrize(
    "content", [b"\x08", b"\x08\x96", b"\x12\x07test", b"\x0b", b"\xff" * 64, b"\x15\x00"], ids=repr
)
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="byte"):
        Message(content)
