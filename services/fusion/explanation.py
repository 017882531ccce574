"""Why a result is what it is, by template from its numbers alone: it can't hold anything that a person said.

A language model may have put the reasons into other words. Everything else is the template's always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from enum import IntEnum

from services.fusion.science.fuse import FusedChunk
from services.fusion.science.session_state import LevelCause, SessionState
from services.fusion.silence import Silence, SilenceReason
from services.fusion.vocabulary import Direction, Level, Modality


class Action(IntEnum):
    """What someone should do; the contract's numbers."""

    NONE = 1
    MONITOR = 2
    CHECK_IN = 3
    URGENT = 4

    @property
    def label(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class KeySignal:
    code: str
    modality: Modality | None = None  # None when it comes from several
    logit: float = 0.0  # its part in the chunk's logit; 0 for signals that set a level instead


@dataclass(frozen=True, slots=True)
class Wording:
    """Sentences of a language model, after they were checked."""

    text: str
    language_model: str
    prompt_version: str


@dataclass(frozen=True, slots=True)
class Explanation:
    summary: str
    key_signals: tuple[KeySignal, ...]  # strongest first
    recommended_action: Action
    confidence: float
    wording: Wording | None = None  # None: the template alone made the summary


_HEADLINES = {
    Level.LOW: "Nothing asks for attention",
    Level.MEDIUM: "Worth watching",
    Level.HIGH: "A counselor should look soon",
    Level.CRITICAL: "A counselor must act now",
}
_ACTIONS = {
    Level.LOW: Action.NONE,
    Level.MEDIUM: Action.MONITOR,
    Level.HIGH: Action.CHECK_IN,
    Level.CRITICAL: Action.URGENT,
}
_REASONS = {
    "CRISIS_CUE": "the words speak of a danger to life",
    "CRISIS_CUE_HELD": "the words spoke of a danger to life a short while ago",
    "WARNING_CUE": "the words warn of a danger to life",
    "WARNING_CUE_HELD": "the words warned of a danger to life a short while ago",
    "FACE_DISTRESS": "the face shows distress",
    "VOICE_DISTRESS": "the voice shows distress",
    "TEXT_DISTRESS": "the words show distress",
    "EARLIER_DISTRESS": "earlier moments of the session showed distress",
    "MASKING": "the words sound better than voice and face look",
    "COPING": "the words sound worse than voice and face look",
}
_DISSONANCE = ("MASKING", "COPING")
_NAMES = {Modality.VISION: "face", Modality.AUDIO: "voice", Modality.TEXT: "words"}
_CODES = {Modality.VISION: "FACE", Modality.AUDIO: "VOICE", Modality.TEXT: "TEXT"}

_SILENCES = {
    SilenceReason.SILENT: "silent",
    SilenceReason.OFF: "switched off",
    SilenceReason.FAILED: "failed",
}
NOBODY_SILENT: Mapping[Modality, Silence] = {}

NO_CONCERN = "NO_CONCERN"
MOST_REASONS = 3
NEGLIGIBLE_LOGIT = 0.05


def explain(
    chunk: FusedChunk,
    state: SessionState,
    silent: Mapping[Modality, Silence] = NOBODY_SILENT,
    wording: Wording | None = None,
) -> Explanation:
    """`silent` modalities are among those that lack; `wording` is of this result's facts."""
    signals = key_signals(chunk, state.level, state.cause)
    action = _ACTIONS[state.level]
    if chunk.direction is Direction.MASKING:
        action = max(action, Action.MONITOR)
    sentence = _sentence(state.level, signals) if wording is None else _worded(state.level, signals, wording)
    summary = " ".join((sentence, *_not_received(chunk, silent)))
    return Explanation(summary, signals, action, chunk.confidence, wording)


def leading_reason(chunk: FusedChunk, level: Level, cause: LevelCause) -> str:
    """The code that a reader should see first; NO_CONCERN at the low level unless someone masks."""
    if level is Level.LOW:
        return "MASKING" if chunk.direction is Direction.MASKING else NO_CONCERN
    return next(signal.code for signal in key_signals(chunk, level, cause) if signal.code in _REASONS)


def key_signals(chunk: FusedChunk, level: Level, cause: LevelCause) -> tuple[KeySignal, ...]:
    """Cues that set the level, then what the modalities add or take away, strongest first, then dissonance."""
    signals = [] if cause is LevelCause.SCORE else [KeySignal(cause.value)]
    parts = [part for part in chunk.contributions if abs(part.logit) >= NEGLIGIBLE_LOGIT]
    for part in sorted(parts, key=lambda part: (-abs(part.logit), part.modality)):
        side = "DISTRESS" if part.logit > 0 else "CALM"
        signals.append(KeySignal(f"{_CODES[part.modality]}_{side}", part.modality, part.logit))
    if level > Level.LOW and not any(signal.code in _REASONS for signal in signals):
        signals.append(KeySignal("EARLIER_DISTRESS"))
    if chunk.direction in (Direction.MASKING, Direction.COPING):
        signals.append(KeySignal(chunk.direction.name))
    return tuple(signals)


def lacking(chunk: FusedChunk) -> tuple[Modality, ...]:
    if len(chunk.contributions) == len(Modality):
        return ()
    used = {part.modality for part in chunk.contributions}
    return tuple(modality for modality in Modality if modality not in used)


def _sentence(level: Level, signals: Sequence[KeySignal]) -> str:
    codes = [signal.code for signal in signals if signal.code in _REASONS]
    if level is Level.LOW:
        codes = [code for code in codes if code in _DISSONANCE]
    reasons = " and ".join(_REASONS[code] for code in codes[:MOST_REASONS])
    return f"{_HEADLINES[level]}: {reasons}." if reasons else f"{_HEADLINES[level]}."


def _worded(level: Level, signals: Sequence[KeySignal], wording: Wording) -> str:
    dissonance = [f"{_REASONS[signal.code].capitalize()}." for signal in signals if signal.code in _DISSONANCE]
    return " ".join((f"{_HEADLINES[level]}.", wording.text, *dissonance))


def _not_received(chunk: FusedChunk, silent: Mapping[Modality, Silence]) -> Sequence[str]:
    """One sentence, or none."""
    missing = [_missing(modality, silent.get(modality)) for modality in lacking(chunk)]
    return [f"Not received: {', '.join(missing)}."] if missing else []


def _missing(modality: Modality, silence: Silence | None) -> str:
    if silence is None:
        return _NAMES[modality]
    since = silence.since_time.astimezone(UTC)
    return f"{_NAMES[modality]} ({_SILENCES[silence.reason]} since {since:%Y-%m-%d %H:%M:%S} UTC)"
