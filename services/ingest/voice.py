"""What a voice model said of one recording, and when that may have been."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson

from quietus_edge.ids import EPOCH
from services.ingest.digest import content_digest, score_part
from services.ingest.sealing import Sealed, Words
from services.ingest.sessions import AHEAD_MAX

DURATION_MAX = timedelta(days=1)

# By group (prosodic, spectral, temporal) and name, as the contract names them.
VoiceFeatures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class VoiceContent:
    """Without the words. Times are by the device's clock; `features` is None when nothing was measured."""

    start_time: datetime
    end_time: datetime
    emotion: str
    confidence: float
    features: VoiceFeatures | None
    language: str
    model_version: str

    @property
    def duration_seconds(self) -> int:
        return (self.end_time - self.start_time) // timedelta(seconds=1)

    def may_be(self, now: datetime) -> bool:
        return self.start_time <= self.end_time <= min(self.start_time + DURATION_MAX, now + AHEAD_MAX)

    def digest(self, words: Words) -> bytes:
        return content_digest(
            (self.start_time - EPOCH) // EPOCH.resolution,
            (self.end_time - EPOCH) // EPOCH.resolution,
            self.emotion,
            score_part(self.confidence),
            None if self.features is None else orjson.dumps(self.features, option=orjson.OPT_SORT_KEYS),
            self.language,
            self.model_version,
            *words.digest_parts(),
        )


@dataclass(frozen=True, slots=True)
class VoiceSession:
    """`delete_time`: from when on it is deleted, if its patterns are extracted."""

    voice_session_id: UUID
    user_id: UUID
    anonymous_id: str
    content: VoiceContent
    words: Sealed
    processed: bool
    patterns_extracted: bool
    delete_time: datetime
    receive_time: datetime
    digest: bytes
