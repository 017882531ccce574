"""What a request may hold, as its contract says: field_behavior REQUIRED and our bounds.

Compiled once per message type into a list of field checks. Beyond the options, an enum holds a known value and a
timestamp a time between the years 1 and 9999.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from libs.common.rpc.errors import MAX_VIOLATIONS, AppError, ErrorKind, Violation
from libs.common.rpc.field_rules import Rule, is_required, item_rules, list_rules

M = TypeVar("M", bound=Message)


class Validator:
    """Checks messages of any type against their contracts."""

    def __init__(self) -> None:
        self._fields: dict[str, list[_Field]] = {}

    def check(self, message: Message) -> None:
        """INVALID_ARGUMENT INVALID_FIELD, naming every violation, at most MAX_VIOLATIONS."""
        self.compile(message.DESCRIPTOR)
        if violations := list(islice(self._violations(message, ""), MAX_VIOLATIONS)):
            text = "a field can't be taken"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, violations=violations)

    def compile(self, descriptor: Any) -> None:
        """Prepares a message type and everything in it. ValueError: the contract holds what can't be checked."""
        if descriptor.full_name in self._fields:
            return
        fields = self._fields[descriptor.full_name] = [_Field(field) for field in descriptor.fields]
        fields[:] = [field for field in fields if field.can_be_violated]
        for field in descriptor.fields:
            if field.message_type:
                self.compile(field.message_type)

    def _violations(self, message: Message, path: str) -> Iterator[Violation]:
        for field in self._fields[message.DESCRIPTOR.full_name]:
            where = path + field.name
            if not field.is_set(message):
                if field.required:
                    yield Violation(where, "MISSING", "is required")
                if field.required or field.has_presence:
                    continue
            value = getattr(message, field.name)
            yield from _broken(field.list_rules, value, where)
            for item, item_path in field.items(value, where):
                yield from _broken(field.item_rules, item, item_path)
                if field.is_message:
                    yield from self._violations(item, f"{item_path}.")


class _Field:
    """The compiled rules of one field."""

    def __init__(self, field: FieldDescriptor) -> None:
        self.name = field.name
        self.is_message = field.message_type is not None
        self.has_presence = field.has_presence
        self.required = is_required(field)
        self.list_rules = list_rules(field)
        self.item_rules = item_rules(field)
        self._is_list = field.is_repeated

    @property
    def can_be_violated(self) -> bool:
        return bool(self.required or self.is_message or self.list_rules or self.item_rules)

    def is_set(self, message: Message) -> bool:
        return message.HasField(self.name) if self.has_presence else bool(getattr(message, self.name))

    def items(self, value: Any, where: str) -> Iterator[tuple[Any, str]]:
        """The value, or each item of a list, with its path."""
        if not self._is_list:
            yield value, where
            return
        for index, item in enumerate(value):
            yield item, f"{where}[{index}]"


def _broken(rules: list[Rule], value: Any, where: str) -> Iterator[Violation]:
    return (Violation(where, rule.reason, rule.description) for rule in rules if not rule.accepts(value))


def parser(message_type: type[M], validator: Validator | None = None) -> Callable[[bytes], M]:
    """Makes a message of bytes: INVALID_ARGUMENT MALFORMED_MESSAGE, and INVALID_FIELD if there is a validator."""
    if validator is not None:
        validator.compile(message_type.DESCRIPTOR)

    def parse(raw: bytes) -> M:
        try:
            message = message_type.FromString(raw)
        except DecodeError as error:
            text = "the bytes are no message of this type"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "MALFORMED_MESSAGE", text) from error
        if validator is not None:
            validator.check(message)
        return message

    return parse
