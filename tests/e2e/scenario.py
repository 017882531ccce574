"""What people's devices send in every run: the same sessions, in batches of the same numbers and bounds."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from uuid import UUID

from deploy.demo.people import Person
from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch
from quietus_edge.messages import predictions
from quietus_edge.simulation import SimulatedSession, generate
from tests.e2e.checker import Key
from tests.e2e.ledger import Ledger

PERSONAS = ("declining", "masking", "crisis", "camera_failure")
WEEKS = 4
SESSIONS = 8
CHUNKS_PER_SESSION = 48
SEED = 11
# Some of a chunk's modalities come a batch later, so that chunks are revised; some predictions are sent twice.
LATE_TEXT_EVERY = 4
REPEATED_EVERY = 7
MOST_CHUNKS_IN_A_BATCH = 6
LATE_SHARE = REPEATED_SHARE = 0.2


@dataclass(frozen=True)
class PlannedSession:
    """`batches` are numbered from 1."""

    session_id: UUID
    start: datetime
    end: datetime
    batches: Sequence[PredictionBatch]


def planned(persona: str, end_time: datetime) -> list[PlannedSession]:
    """A person's sessions, oldest first; the newest ends at `end_time`."""
    sessions = generate(
        persona,
        SEED,
        end_time,
        weeks=WEEKS,
        sessions_per_week=SESSIONS / WEEKS,
        chunks_per_session=CHUNKS_PER_SESSION,
    )
    return [
        PlannedSession(session.session_id, session.start, session.end, list(_batches(session))) for session in sessions
    ]


def acknowledged(work: Mapping[Person, Sequence[PlannedSession]], ledger: Ledger) -> Iterator[tuple[str, Key]]:
    """(table, key) of each prediction in an acknowledged batch."""
    for session in chain.from_iterable(work.values()):
        for batch in session.batches:
            if (session.session_id, batch.batch_number) in ledger.acknowledged:
                for prediction in batch.predictions:
                    table = f"ingest.{prediction.WhichOneof('modality')}_predictions"
                    yield table, (str(session.session_id), prediction.chunk_id)


def _batches(session: SimulatedSession) -> Iterator[PredictionBatch]:
    """One for each chunk."""
    kept_back: list[Prediction] = []
    for number, chunk in enumerate(session.chunks, start=1):
        sent = predictions(chunk.chunk, chunk.vision, chunk.audio, chunk.text, seal=None)
        later = [sent.pop()] if number % LATE_TEXT_EVERY == 0 and number < len(session.chunks) else []
        yield PredictionBatch(batch_number=number, predictions=kept_back + sent)
        kept_back = [*later, *(sent[:1] if number % REPEATED_EVERY == 0 else ())]


def seeded(seed: int, persona: str, end_time: datetime, *, sessions: int, chunks: int) -> list[PlannedSession]:
    """Sessions in batches of one to six chunks, with late modalities and predictions that are sent once more."""
    rng = random.Random(f"{seed} {persona}")  # noqa: S311 - repeatable on purpose
    made = generate(persona, seed, end_time, weeks=WEEKS, sessions_per_week=sessions / WEEKS, chunks_per_session=chunks)
    return [PlannedSession(one.session_id, one.start, one.end, list(_uneven_batches(one, rng))) for one in made]


def _uneven_batches(session: SimulatedSession, rng: random.Random) -> Iterator[PredictionBatch]:
    kept_back: list[Prediction] = []
    chunks = list(session.chunks)
    number = 0
    while chunks:
        number += rng.choice((1, 1, 1, 2))
        taken, chunks = chunks[: (size := rng.randint(1, MOST_CHUNKS_IN_A_BATCH))], chunks[size:]
        sent = [p for one in taken for p in predictions(one.chunk, one.vision, one.audio, one.text, seal=None)]
        later = [sent.pop()] if chunks and rng.random() < LATE_SHARE else []
        yield PredictionBatch(batch_number=number, predictions=kept_back + sent)
        kept_back = [*(sent[:1] if rng.random() < REPEATED_SHARE else ()), *later]
