"""What a model said of one text, and when that may have been."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quietus_edge.ids import EPOCH
from services.ingest.digest import content_digest, score_part
from services.ingest.sealing import Sealed, Words
from services.ingest.sessions import AHEAD_MAX


@dataclass(frozen=True, slots=True)
class AnalysisContent:
    """Without the words. Times are by the device's clock."""

    source: str
    predicted_label: str
    confidence: float
    model_version: str
    processing_milliseconds: int
    submit_time: datetime
    analyze_time: datetime

    def wrong_field(self, now: datetime) -> str | None:
        """The time that can't be."""
        if self.analyze_time > now + AHEAD_MAX:
            return "analyze_time"
        return "submit_time" if self.submit_time > self.analyze_time else None

    def digest(self, words: Words) -> bytes:
        return content_digest(
            self.source,
            self.predicted_label,
            score_part(self.confidence),
            self.model_version,
            self.processing_milliseconds,
            (self.submit_time - EPOCH) // EPOCH.resolution,
            (self.analyze_time - EPOCH) // EPOCH.resolution,
            *words.digest_parts(),
        )


@dataclass(frozen=True, slots=True)
class Analysis:
    request_id: UUID
    user_id: UUID
    anonymous_id: str
    content: AnalysisContent
    words: Sealed
    receive_time: datetime
    digest: bytes
