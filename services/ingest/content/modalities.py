"""The content of each modality, column by column. Scores have to be normalised: found in SCORES or VALENCES."""

from collections.abc import Sequence
from struct import Struct

from libs.common.db.copying import sized
from services.ingest.content.columns import Refused, Rows
from services.ingest.content.cues import Cues, cues_field
from services.ingest.content.distribution import Distribution, distributions
from services.ingest.content.features import Features, voice_features
from services.ingest.content.scalars import SCORES, VALENCES, Members, model_version
from services.ingest.sealing import looks_sealed
from services.ingest.vocabulary import EMOTIONS, NOT_KEPT, RISK_LEVELS, SEALED, TRANSCRIPT_STATES, Reason

FRAMES_MAX = 1_000_000
SEALED_TRANSCRIPT_MAX_BYTES = 65_536
# As of the records beside predictions. The server looks for cues in them, which costs it what a device else does.
PLAINTEXT_MAX_BYTES = 16_384

_EMOTIONS, _RISK_LEVELS, _TRANSCRIPT_STATES = map(Members, (EMOTIONS, RISK_LEVELS, TRANSCRIPT_STATES))
_INT4 = Struct(">ii")


def vision(
    rows: Rows,
    emotion: Sequence[int],
    confidence: Sequence[float],
    distress_score: Sequence[float],
    frames_processed: Sequence[int],
    distribution: Sequence[Distribution],
    version: Sequence[str],
) -> list[bytes]:
    return _joined(
        rows.fields(_EMOTIONS.__getitem__, emotion, "vision.emotion"),
        rows.fields(SCORES.__getitem__, confidence, "vision.confidence"),
        rows.fields(SCORES.__getitem__, distress_score, "vision.distress_score"),
        rows.fields(_frames, frames_processed, "vision.frames_processed"),
        distributions(rows, distribution, "vision.distribution"),
        rows.fields(model_version, version, "vision.model_version"),
    )


def audio(
    rows: Rows,
    emotion: Sequence[int],
    stress_score: Sequence[float],
    confidence: Sequence[float],
    distribution: Sequence[Distribution],
    features: Sequence[Features],
    version: Sequence[str],
) -> list[bytes]:
    return _joined(
        rows.fields(_EMOTIONS.__getitem__, emotion, "audio.emotion"),
        rows.fields(SCORES.__getitem__, stress_score, "audio.stress_score"),
        rows.fields(SCORES.__getitem__, confidence, "audio.confidence"),
        distributions(rows, distribution, "audio.distribution"),
        voice_features(rows, features, "audio.features"),
        rows.fields(model_version, version, "audio.model_version"),
    )


def text(
    rows: Rows,
    risk_level: Sequence[int],
    distress_probability: Sequence[float],
    confidence: Sequence[float],
    valence: Sequence[float | None],
    cues: Sequence[Cues | None],
    transcript: Sequence[tuple[bytes, int, str]],
    version: Sequence[str],
) -> list[bytes]:
    """`transcript` is what was sealed, what became of it, as known_state gives it, and what came unsealed."""
    return _joined(
        rows.fields(_RISK_LEVELS.__getitem__, risk_level, "text.risk_level"),
        rows.fields(SCORES.__getitem__, distress_probability, "text.distress_probability"),
        rows.fields(SCORES.__getitem__, confidence, "text.confidence"),
        rows.fields(VALENCES.__getitem__, valence, "text.valence"),
        rows.fields(cues_field, cues, "text.cues"),
        rows.fields(_transcript, transcript, "text"),
        rows.fields(model_version, version, "text.model_version"),
    )


def known_state(sealed_transcript: bytes, state: int) -> int:
    """Nothing sealed and nothing said means NOT_KEPT."""
    return state if state or sealed_transcript else NOT_KEPT


def _joined(*columns: list[bytes]) -> list[bytes]:
    return list(map(b"".join, zip(*columns, strict=True)))


def _frames(count: int) -> bytes:
    if count > FRAMES_MAX:
        raise Refused(Reason.OUT_OF_RANGE)
    return _INT4.pack(4, count)


def _unsealed(sealed: bytes, state: int, words: str) -> bytes:
    """SEALED without bytes, which no client can say: the same words sealed anew are the same content."""
    if sealed or state:
        raise Refused(Reason.UNKNOWN_VALUE, "transcript_state")
    if len(words.encode()) > PLAINTEXT_MAX_BYTES:
        raise Refused(Reason.TOO_LONG, "plaintext_transcript")
    return sized(b"") + _TRANSCRIPT_STATES[SEALED]


def _transcript(value: tuple[bytes, int, str]) -> bytes:
    """SEALED exactly when a sealed transcript is there, and not words that were taken for one."""
    sealed, state, words = value
    if words:
        return _unsealed(sealed, state, words)
    if len(sealed) > SEALED_TRANSCRIPT_MAX_BYTES:
        raise Refused(Reason.TOO_LONG, "sealed_transcript")
    if state == SEALED and not sealed:
        raise Refused(Reason.MISSING, "sealed_transcript")
    if state not in _TRANSCRIPT_STATES or (sealed and state != SEALED):
        raise Refused(Reason.UNKNOWN_VALUE, "transcript_state")
    if sealed and not looks_sealed(sealed):
        raise Refused(Reason.UNKNOWN_VALUE, "sealed_transcript")
    return sized(sealed) + _TRANSCRIPT_STATES[state]
