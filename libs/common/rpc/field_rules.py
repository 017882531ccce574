"""The rules that a contract puts on one field."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from quietus.common.v1.options_pb2 import Bounds, bounds

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # years 1 to 9999


@dataclass(frozen=True, slots=True)
class Rule:
    accepts: Callable[[Any], bool]
    reason: str
    description: str


def is_required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def list_rules(field: FieldDescriptor) -> list[Rule]:
    """Rules for a repeated field as a whole."""
    said: Bounds = field.GetOptions().Extensions[bounds]
    rules: list[Rule] = []
    if said.HasField("min_items"):
        least = said.min_items
        rules.append(Rule(lambda items: len(items) >= least, "TOO_FEW", f"must have at least {least} items"))
    if said.HasField("max_items"):
        most = said.max_items
        rules.append(Rule(lambda items: len(items) <= most, "TOO_MANY", f"must have at most {most} items"))
    return rules


def item_rules(field: FieldDescriptor) -> list[Rule]:
    """Rules for a value, or for each item of a repeated field."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        raise ValueError(f"{field.full_name}: maps have no rules yet")
    if field.message_type:
        return [_TIMESTAMP] if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name else []
    if field.enum_type:
        return [
            Rule(frozenset(field.enum_type.values_by_number).__contains__, "UNKNOWN_VALUE", "is not in the vocabulary")
        ]
    said: Bounds = field.GetOptions().Extensions[bounds]
    return [*_number_rules(said), *_byte_rules(said), *_text_rules(said, is_required(field))]


def _number_rules(said: Bounds) -> list[Rule]:
    if not (said.HasField("min") or said.HasField("max")):
        return []
    low = said.min if said.HasField("min") else -math.inf
    high = said.max if said.HasField("max") else math.inf
    # NaN compares false, and an infinity is never inside of two finite ends.
    text = " and ".join([f"at least {low:g}"] * said.HasField("min") + [f"at most {high:g}"] * said.HasField("max"))
    return [Rule(lambda number: math.isfinite(number) and low <= number <= high, "OUT_OF_RANGE", f"must be {text}")]


def _byte_rules(said: Bounds) -> list[Rule]:
    rules: list[Rule] = []
    if said.HasField("min_bytes"):
        least = said.min_bytes
        rules.append(Rule(lambda value: _byte_count(value) >= least, "TOO_SHORT", f"must have at least {least} bytes"))
    if said.HasField("max_bytes"):
        most = said.max_bytes
        rules.append(Rule(lambda value: _byte_count(value) <= most, "TOO_LONG", f"must have at most {most} bytes"))
    return rules


def _text_rules(said: Bounds, required: bool) -> list[Rule]:
    rules: list[Rule] = []
    if said.uuid:
        rules.append(Rule(_matcher(_UUID, required), "MALFORMED", "must be a UUID"))
    if said.pattern:
        rules.append(Rule(_matcher(re.compile(said.pattern), required), "MALFORMED", f"must match {said.pattern}"))
    return rules


def _matcher(pattern: re.Pattern[str], required: bool) -> Callable[[str], bool]:
    return lambda value: (not value and not required) or pattern.fullmatch(value) is not None


def _byte_count(value: str | bytes) -> int:
    return len(value.encode()) if isinstance(value, str) else len(value)


def _is_in_calendar(timestamp: Timestamp) -> bool:
    return _FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND and 0 <= timestamp.nanos <= 999_999_999


_TIMESTAMP = Rule(_is_in_calendar, "OUT_OF_RANGE", "must be between the years 1 and 9999")
