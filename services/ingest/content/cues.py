"""What the device found in a sentence."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from services.ingest.content.scalars import Refused, sized, words
from services.ingest.vocabulary import CRISIS_SIGNALS, Reason

EXTRACTOR_VERSION_MAX_BYTES = 32
LANGUAGE_MAX_BYTES = 20
IDENTIFIERS_MAX = 8
IDENTIFIER_MAX_BYTES = 50

_IDENTIFIER = re.compile(r"[a-z0-9_]+").fullmatch


class Cues(NamedTuple):
    """In number order."""

    extractor_version: str
    language: str
    code_switching: bool
    deflections: Sequence[str]
    topics: Sequence[str]
    coping: Sequence[str]
    first_person: float | None
    negation: float | None
    absolutes: float | None
    crisis_signals: Sequence[int]


def cues_field(cues: Cues) -> bytes:
    version, language, code_switching, deflections, topics, coping, first_person, negation, absolutes, signals = cues
    words(version, EXTRACTOR_VERSION_MAX_BYTES, "text.cues.extractor_version")
    words(language, LANGUAGE_MAX_BYTES, "text.cues.language")
    _identifiers(deflections, "text.cues.deflections")
    _identifiers(topics, "text.cues.topics")
    _identifiers(coping, "text.cues.coping")
    _share(first_person, "text.cues.first_person")
    _share(negation, "text.cues.negation")
    _share(absolutes, "text.cues.absolutes")
    data = orjson.dumps(
        {
            "extractor_version": version,
            "language": language,
            "code_switching": code_switching,
            "deflections": deflections,
            "topics": topics,
            "coping": coping,
            "first_person": first_person,
            "negation": negation,
            "absolutes": absolutes,
            "crisis_signals": _signals(signals) if signals else (),
        }
    )
    return sized(b"\x01" + data)


def _identifiers(values: Sequence[str], field: str) -> None:
    if len(values) > IDENTIFIERS_MAX:
        raise Refused(field, Reason.TOO_LONG)
    for value in values:
        if len(value) > IDENTIFIER_MAX_BYTES:
            raise Refused(field, Reason.TOO_LONG)
        if not _IDENTIFIER(value):
            raise Refused(field, Reason.UNKNOWN_VALUE)


def _share(value: float | None, field: str) -> None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise Refused(field, Reason.OUT_OF_RANGE)


def _signals(signals: Sequence[int]) -> list[str]:
    if len(set(signals)) != len(signals) or not all(0 < signal < len(CRISIS_SIGNALS) for signal in signals):
        raise Refused("text.cues.crisis_signals", Reason.UNKNOWN_VALUE)
    return [CRISIS_SIGNALS[signal] for signal in signals]
