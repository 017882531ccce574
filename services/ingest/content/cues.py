"""What the device found in a sentence."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson

from libs.common.db.copying import NULL, sized
from services.ingest.content.columns import Refused
from services.ingest.content.scalars import check_words
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


def cues_field(cues: Cues | None) -> bytes:
    if cues is None:
        return NULL
    version, language, code_switching, deflections, topics, coping, first_person, negation, absolutes, signals = cues
    _check_names(version, language)
    data = orjson.dumps(
        {
            "extractor_version": version,
            "language": language,
            "code_switching": code_switching,
            "deflections": _identifiers(deflections, "deflections") if deflections else (),
            "topics": _identifiers(topics, "topics") if topics else (),
            "coping": _identifiers(coping, "coping") if coping else (),
            "first_person": first_person,
            "negation": negation,
            "absolutes": absolutes,
            "crisis_signals": _signals(signals) if signals else (),
        }
    )
    _check_share(first_person, "first_person")
    _check_share(negation, "negation")
    _check_share(absolutes, "absolutes")
    return sized(b"\x01" + data)


@lru_cache(maxsize=1024)
def _check_names(version: str, language: str) -> None:
    check_words(version, EXTRACTOR_VERSION_MAX_BYTES, "extractor_version")
    check_words(language, LANGUAGE_MAX_BYTES, "language")


def _identifiers(values: Sequence[str], part: str) -> Sequence[str]:
    if len(values) > IDENTIFIERS_MAX:
        raise Refused(Reason.TOO_LONG, part)
    for value in values:
        if len(value) > IDENTIFIER_MAX_BYTES:
            raise Refused(Reason.TOO_LONG, part)
        if not _IDENTIFIER(value):
            raise Refused(Reason.UNKNOWN_VALUE, part)
    return values


def _check_share(value: float | None, part: str) -> None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise Refused(Reason.OUT_OF_RANGE, part)


def _signals(signals: Sequence[int]) -> list[str]:
    if len(set(signals)) != len(signals) or not all(0 < signal < len(CRISIS_SIGNALS) for signal in signals):
        raise Refused(Reason.UNKNOWN_VALUE, "crisis_signals")
    return [CRISIS_SIGNALS[signal] for signal in signals]
