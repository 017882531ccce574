"""Checks a message against the bounds that its contract states, before it is spooled."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from google.api.field_behavior_pb2 import REQUIRED, field_behavior
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from quietus.common.v1.options_pb2 import Bounds, bounds
from quietus_edge.errors import InvalidInputError

Check = Callable[[Message, str], None]


def check(message: Message, path: str) -> None:
    """InvalidInputError naming the first field, as a path such as vision.confidence, that no service would take."""
    for check_field in _compiled(message.DESCRIPTOR):
        check_field(message, path)


@cache
def _compiled(descriptor: Descriptor) -> Sequence[Check]:
    return [check for field in descriptor.fields if (check := _field_check(field))]


def _field_check(field: FieldDescriptor) -> Check | None:
    options = field.GetOptions()
    limits = options.Extensions[bounds]
    required = REQUIRED in options.Extensions[field_behavior]
    nested = field.message_type is not None
    if not (required or nested or options.HasExtension(bounds)):
        return None

    def check_field(message: Message, path: str) -> None:
        value = getattr(message, field.name)
        where = f"{path}.{field.name}"
        if field.is_repeated:
            _check_items(value, limits, where)
        if field.has_presence and not message.HasField(field.name):
            if required:
                raise InvalidInputError(f"{where} is missing")
        elif required and not value:
            raise InvalidInputError(f"{where} is missing")
        else:
            for item in value if field.is_repeated else (value,):
                if nested:
                    check(item, where)
                else:
                    _check_value(item, limits, where)

    return check_field


def _check_items(items: Sequence[Any], limits: Bounds, where: str) -> None:
    if limits.HasField("max_items") and len(items) > limits.max_items:
        raise InvalidInputError(f"{where} has {len(items)} items, at most {limits.max_items} are taken")


def _check_value(value: Any, limits: Bounds, where: str) -> None:
    if isinstance(value, str | bytes):
        size = len(value.encode() if isinstance(value, str) else value)
        if limits.HasField("max_bytes") and size > limits.max_bytes:
            raise InvalidInputError(f"{where} has {size} bytes, at most {limits.max_bytes} are taken")
        return
    # written so that NaN, which compares false to everything, is refused
    if limits.HasField("min") and not value >= limits.min:
        raise InvalidInputError(f"{where} is below {limits.min:g} or not a number")
    if limits.HasField("max") and not value <= limits.max:
        raise InvalidInputError(f"{where} is above {limits.max:g} or not a number")
