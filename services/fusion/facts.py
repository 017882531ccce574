"""What of an explanation a language model may put into words: facts of a closed list, without numbers, times or ids.

There are so few different sets of facts that nobody can be told by them, and that each needs to be asked about once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from services.fusion.explanation import KeySignal, key_signals
from services.fusion.science.fuse import FusedChunk
from services.fusion.science.session_state import LevelCause, SessionState
from services.fusion.vocabulary import Level, Modality

MODERATE_LOGIT = 0.5
STRONG_LOGIT = 1.25


class Kind(Enum):
    DISTRESS = "DISTRESS"
    CALM = "CALM"
    EARLIER = "EARLIER"


class Strength(StrEnum):
    STRONG = "strong"
    MODERATE = "moderate"
    SLIGHT = "slight"


@dataclass(frozen=True, slots=True)
class Meaning:
    kind: Kind
    modality: Modality | None
    text: str


# What a sentence says of both sides of a dissonance is easily turned round, so that is left to the template.
MEANINGS = {
    "FACE_DISTRESS": Meaning(Kind.DISTRESS, Modality.VISION, "the face shows distress"),
    "VOICE_DISTRESS": Meaning(Kind.DISTRESS, Modality.AUDIO, "the voice shows distress"),
    "TEXT_DISTRESS": Meaning(Kind.DISTRESS, Modality.TEXT, "the words show distress"),
    "FACE_CALM": Meaning(Kind.CALM, Modality.VISION, "the face is calm"),
    "VOICE_CALM": Meaning(Kind.CALM, Modality.AUDIO, "the voice is calm"),
    "TEXT_CALM": Meaning(Kind.CALM, Modality.TEXT, "the words are calm"),
    "EARLIER_DISTRESS": Meaning(Kind.EARLIER, None, "earlier moments of the session showed distress"),
}
_CODES = tuple(MEANINGS)
_STRENGTHS = tuple(Strength)


@dataclass(frozen=True, slots=True)
class Fact:
    """`code` is one of MEANINGS. What was earlier has no strength."""

    code: str
    strength: Strength | None

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self.code]


def facts_of(chunk: FusedChunk, state: SessionState) -> tuple[Fact, ...]:
    """Strongest first. None where the template alone speaks: at critical, where words of danger count in the chunk or
    still hold the level, and at low, which has nothing to explain.
    """
    if _is_crisis(chunk, state) or state.level is Level.LOW:
        return ()
    signals = key_signals(chunk, state.level, state.cause)
    facts = [Fact(one.code, _strength(one)) for one in signals if one.code in MEANINGS]
    return tuple(sorted(facts, key=_place))


def facts_key(facts: Sequence[Fact]) -> str:
    """One text for each set of facts, as the database holds it; empty for none."""
    return " ".join(fact.code if fact.strength is None else f"{fact.code}:{fact.strength}" for fact in facts)


def facts_in(key: str) -> tuple[Fact, ...]:
    """ValueError for what `facts_key` doesn't make."""
    facts = []
    for part in key.split():
        code, _, strength = part.partition(":")
        if code not in MEANINGS:
            raise ValueError("a fact that isn't on the list")
        facts.append(Fact(code, Strength(strength) if strength else None))
    return tuple(facts)


def _is_crisis(chunk: FusedChunk, state: SessionState) -> bool:
    return (
        state.level is Level.CRITICAL
        or state.cause is not LevelCause.SCORE
        or state.critical_until is not None
        or state.high_until is not None
        or chunk.critical_cue
        or chunk.floor is not None
    )


def _strength(signal: KeySignal) -> Strength | None:
    if signal.modality is None:
        return None
    if abs(signal.logit) >= STRONG_LOGIT:
        return Strength.STRONG
    return Strength.MODERATE if abs(signal.logit) >= MODERATE_LOGIT else Strength.SLIGHT


def _place(fact: Fact) -> tuple[int, int]:
    strength = len(_STRENGTHS) if fact.strength is None else _STRENGTHS.index(fact.strength)
    return strength, _CODES.index(fact.code)
