"""Read Protocol Buffers by a schema of the few fields that are asked for. ONNX files and SavedModels are such messages.

The packages that have the whole schemas aren't there for everyone who imports a model; Google's reader comes with every
runtime that opens one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Mapping[str, tuple[int, str]]]
"""Messages by name, that of the file first: of each field its number, and its type, with a ``*`` where it is repeated.

Types are ``int``, ``text``, ``bytes`` or a message's name.
"""


def decode(content: bytes, schema: Schema) -> Any:
    """Decode a file's message: an object with an attribute for each field. Other fields are kept, and written again.

    Raises
    ------
    ValueError
        It is no such message.
    """
    from google.protobuf import descriptor_pool, message_factory
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
    from google.protobuf.message import DecodeError

    types = {"int": FieldDescriptorProto.TYPE_INT64, "text": FieldDescriptorProto.TYPE_STRING,
             "bytes": FieldDescriptorProto.TYPE_BYTES}  # fmt: skip
    file = FileDescriptorProto(name="schema.proto", package="schema")
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated, kind = kind.endswith("*"), kind.removesuffix("*")
            message.field.add(
                name=field,
                number=number,
                label=FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL,
                type=types.get(kind, FieldDescriptorProto.TYPE_MESSAGE),
                type_name=None if kind in types else f".schema.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    message_class = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"schema.{next(iter(schema))}"))
    try:
        return message_class.FromString(content)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc
