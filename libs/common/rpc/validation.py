"""What a request may hold, as its contract says: field_behavior REQUIRED and our bounds.

Compiled once per message type into a list of field checks. Beyond the options, an enum holds a known value and a
timestamp a time between the years 1 and 9999.
"""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from libs.common.rpc.errors import MAX_VIOLATIONS, AppError, ErrorKind, Violation
from libs.common.rpc.field_rules import Rule, is_required, item_rules, list_rules

Parser = Callable[[bytes], Message]


class Validator:
    """Checks messages of any type against their contracts."""

    def __init__(self) -> None:
        self._checks: dict[str, list[_FieldCheck]] = {}

    def check(self, message: Message) -> None:
        """INVALID_ARGUMENT INVALID_FIELD, with a violation for each field, at most MAX_VIOLATIONS."""
        violations: list[Violation] = []
        self._collect(message, "", violations)
        if violations:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", "a field can't be taken", violations=violations)

    def compile(self, descriptor: Any) -> None:
        """Prepares a message type and everything in it, so that a contract which can't be checked stops the start."""
        if descriptor.full_name in self._checks:
            return
        checks = self._checks[descriptor.full_name] = []
        for field in descriptor.fields:
            if field.message_type:
                self.compile(field.message_type)
            checks.append(_FieldCheck(field))

    def _collect(self, message: Message, path: str, violations: list[Violation]) -> None:
        if message.DESCRIPTOR.full_name not in self._checks:
            self.compile(message.DESCRIPTOR)
        for check in self._checks[message.DESCRIPTOR.full_name]:
            for submessage, sub_path in check.collect(message, path, violations):
                if len(violations) < MAX_VIOLATIONS:
                    self._collect(submessage, sub_path, violations)


class _FieldCheck:
    """The compiled rules of one field."""

    def __init__(self, field: FieldDescriptor) -> None:
        self._name = field.name
        self._is_message = field.message_type is not None
        self._is_list = field.is_repeated
        self._has_presence = field.has_presence
        self._required = is_required(field)
        self._list_rules = list_rules(field)
        self._item_rules = item_rules(field)

    def collect(self, message: Message, path: str, violations: list[Violation]) -> Iterable[tuple[Message, str]]:
        """Appends what is wrong with the field itself; returns the messages in it with their paths."""
        value = getattr(message, self._name)
        is_set = message.HasField(self._name) if self._has_presence else bool(value)
        where = path + self._name
        if not is_set and self._required:
            violations.append(Violation(where, "MISSING", "is required"))
            return ()
        if not is_set and self._has_presence:
            return ()
        if self._is_list:
            _apply(self._list_rules, value, where, violations)
            items = [(item, f"{where}[{index}]") for index, item in enumerate(value)]
        else:
            items = [(value, where)]
        for item, item_path in items:
            _apply(self._item_rules, item, item_path, violations)
        return [(item, f"{item_path}.") for item, item_path in items] if self._is_message else ()


def _apply(rules: list[Rule], value: Any, where: str, violations: list[Violation]) -> None:
    for rule in rules:
        if len(violations) < MAX_VIOLATIONS and not rule.accepts(value):
            violations.append(Violation(where, rule.reason, rule.description))


def parser(message_type: type[Message], validator: Validator | None) -> Parser:
    """Makes a message of bytes: INVALID_ARGUMENT MALFORMED_MESSAGE, and INVALID_FIELD if there is a validator."""
    if validator is not None:
        validator.compile(message_type.DESCRIPTOR)

    def parse(raw: bytes) -> Message:
        try:
            message = message_type.FromString(raw)
        except DecodeError as error:
            text = "the bytes are no message of this type"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "MALFORMED_MESSAGE", text) from error
        if validator is not None:
            validator.check(message)
        return message

    return parse
