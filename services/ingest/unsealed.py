"""Words that a thin client sent unsealed: what may be known of them is found, then they are sealed, in memory.

Nothing that is stored, queued for a table or told on the feed is made before they are gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from quietus.ingest.v1.predictions_pb2 import Prediction, TextPrediction, TranscriptState
from quietus_edge import messages
from quietus_edge.cues import Extraction
from quietus_edge.sealing import TEXT_PREDICTIONS, SealingKey
from services.ingest.reading import Read, text_content
from services.ingest.sealing import seal_for
from services.ingest.vocabulary import TRANSCRIPT_STATES, Reason


@dataclass(frozen=True, slots=True)
class Sealer:
    """Of one person. Without a key the words are discarded once their cues are found."""

    user_id: UUID
    key: SealingKey | None

    def sealed(self, prediction: Prediction, words: str, found: Extraction) -> TextPrediction:
        """What it says with its words sealed. What the client found of its own stands."""
        text = TextPrediction()
        text.CopyFrom(prediction.text)
        text.ClearField("plaintext_transcript")
        if not text.HasField("cues"):
            text.cues.CopyFrom(messages.cues(found.cues))
        if found.valence is not None and not text.HasField("valence"):
            text.valence = found.valence
        sealed = seal_for(
            self.key, words, table=TEXT_PREDICTIONS, user_id=self.user_id, row_id=UUID(prediction.chunk_id)
        )
        text.sealed_transcript = sealed.content
        text.transcript_state = TranscriptState.ValueType(TRANSCRIPT_STATES.index(sealed.state))
        return text


def sealed_contents(
    read: Read,
    predictions: Sequence[Prediction],
    sealers: Sequence[Sealer | None],
    found: Mapping[int, Extraction],
) -> list[bytes]:
    """What is stored of each row; the words are gone from the messages then. `found`: what they say, by row. Those
    whose deployment takes no plain words (no sealer) are refused. Whatever it raises, it has changed nothing: the
    others' words are tried again.
    """
    contents = list(read.contents)
    texts = {
        row: sealer.sealed(predictions[row], words, found[row])
        for row, words in read.unsealed.items()
        if row not in read.refused and (sealer := sealers[row])
    }
    sealed = {row: text_content(text) for row, text in texts.items()}
    for row in read.unsealed:
        if text := texts.get(row):
            predictions[row].text.CopyFrom(text)
            contents[row] = sealed[row]
        else:
            predictions[row].text.ClearField("plaintext_transcript")
            read.refused.setdefault(row, ("text.plaintext_transcript", Reason.PLAINTEXT_NOT_ALLOWED))
    return contents
