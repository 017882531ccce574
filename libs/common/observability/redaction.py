"""Makes a message fit for a log: fields marked `personal` in its contract are hidden."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from quietus.common.v1.options_pb2 import personal

HIDDEN = "[personal]"
_MAX_ITEMS = 10


def redacted(message: Message) -> dict[str, Any]:
    """The set fields by name. Bytes become their count, long lists their first items."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.GetOptions().Extensions[personal]:
        return HIDDEN
    if field.is_repeated:
        return [_item(item) for item in value[:_MAX_ITEMS]]
    return _item(value)


def _item(value: Any) -> Any:
    if isinstance(value, Message):
        return redacted(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    return value
