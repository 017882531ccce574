"""Weeks of an invented person, made in an instant and always the same for the same seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from quietus_edge.errors import InvalidInputError
from quietus_edge.ids import uuid7
from quietus_edge.predictions import Audio, Chunk, Text, Vision
from quietus_edge.simulation import models
from quietus_edge.simulation.personas import PERSONAS, Moment

CHUNK_LENGTH = timedelta(seconds=10)


@dataclass(frozen=True)
class SimulatedChunk:
    """One window with what each model said of it; vision is None while the camera has failed."""

    chunk: Chunk
    vision: Vision | None
    audio: Audio
    text: Text


@dataclass(frozen=True)
class SimulatedSession:
    """One session, with the id and the times that a device would have given it."""

    session_id: UUID
    start: datetime
    end: datetime
    chunks: tuple[SimulatedChunk, ...]


def generate(
    persona: str,
    seed: int,
    end_time: datetime,
    *,
    weeks: float = 4,
    sessions_per_week: float = 4,
    chunks_per_session: int = 12,
) -> Iterator[SimulatedSession]:
    """Sessions from the oldest to the newest, which ends at `end_time`. InvalidInputError for an unknown persona."""
    if persona not in PERSONAS:
        raise InvalidInputError(f"persona is none of {', '.join(PERSONAS)}")
    person = _Person(persona, seed)
    count = max(round(weeks * sessions_per_week), 1)
    spacing = timedelta(weeks=weeks) / count
    for number in range(count):
        progress = number / (count - 1) if count > 1 else 1.0
        last = number == count - 1
        jitter = timedelta(0) if last else spacing * person.rng.uniform(0, 0.4)
        end = end_time - (count - 1 - number) * spacing - jitter
        yield person.session(progress, end - chunks_per_session * CHUNK_LENGTH, chunks_per_session)


class _Person:
    def __init__(self, persona: str, seed: int) -> None:
        self.rng = random.Random(f"{persona} {seed}")  # noqa: S311  # repeatable on purpose
        self._voice = models.Voice(self.rng)
        self._persona = PERSONAS[persona]

    def session(self, progress: float, start: datetime, chunks: int) -> SimulatedSession:
        moment = self._persona(progress)
        camera_chunks = moment.camera_share * chunks
        made = tuple(
            self._chunk(moment, start + number * CHUNK_LENGTH, camera=number < camera_chunks)
            for number in range(chunks)
        )
        end = start + chunks * CHUNK_LENGTH
        return SimulatedSession(uuid7(start, self.rng.getrandbits), start, end, made)

    def _chunk(self, moment: Moment, start: datetime, *, camera: bool) -> SimulatedChunk:
        end = start + CHUNK_LENGTH
        felt = models.felt_emotion(self.rng, moment.distress)
        return SimulatedChunk(
            Chunk(uuid7(end, self.rng.getrandbits), start, end),
            models.vision(self.rng, moment, felt) if camera else None,
            models.audio(self.rng, moment, felt, self._voice),
            models.text(self.rng, moment),
        )
