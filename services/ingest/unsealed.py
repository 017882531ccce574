"""Words that a thin client sent unsealed: what may be known of them is found, then they are sealed, in memory.

Nothing that is stored, queued for a table or told on the feed is made before they are gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from quietus.ingest.v1.predictions_pb2 import Prediction, TranscriptState
from quietus_edge import messages
from quietus_edge.cues import extract
from quietus_edge.sealing import TEXT_PREDICTIONS, SealingKey
from services.ingest.reading import Read, text_content
from services.ingest.sealing import seal_for
from services.ingest.vocabulary import TRANSCRIPT_STATES, Reason


@dataclass(frozen=True, slots=True)
class Sealer:
    """Of one person. Without a key the words are discarded once their cues are found."""

    user_id: UUID
    key: SealingKey | None

    def seal(self, prediction: Prediction, words: str) -> None:
        """Changes the prediction, whose words are gone from it already. What the client found of its own stands."""
        text = prediction.text
        found = extract(words)
        if not text.HasField("cues"):
            text.cues.CopyFrom(messages.cues(found.cues))
        if found.valence is not None and not text.HasField("valence"):
            text.valence = found.valence
        sealed = seal_for(
            self.key, words, table=TEXT_PREDICTIONS, user_id=self.user_id, row_id=UUID(prediction.chunk_id)
        )
        text.sealed_transcript = sealed.content
        text.transcript_state = TranscriptState.ValueType(TRANSCRIPT_STATES.index(sealed.state))


def sealed_contents(read: Read, predictions: Sequence[Prediction], sealers: Sequence[Sealer | None]) -> list[bytes]:
    """What is stored of each row. Those whose deployment takes no plain words (no sealer) are refused."""
    contents = list(read.contents)
    for row, words in read.unsealed.items():
        sealer = sealers[row]
        if row in read.refused:
            continue
        if sealer is None:
            read.refused[row] = ("text.plaintext_transcript", Reason.PLAINTEXT_NOT_ALLOWED)
            continue
        sealer.seal(predictions[row], words)
        contents[row] = text_content(predictions[row].text)
    return contents
