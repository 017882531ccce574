"""What is sent: valid messages of a session, some of them mutated. The same seed makes the same mutations."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

from libs.common.timestamps import to_timestamp
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus.ingest.v1.sessions_pb2 import Heartbeat, ModalityHeartbeat
from quietus_edge.ids import uuid7
from tests.fuzz.mutation import mutate
from tests.ingest import make

# How many chunks a corpus has: most are sent again, as duplicates or conflicts.
_CHUNKS = 40
# Always the same, so that a session has few.
SENDER = "018f0000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Person:
    """A session that may be spoiled. `start_time` is also its id's."""

    session_id: UUID
    start_time: datetime

    @classmethod
    def new(cls) -> "Person":
        now = make.now()
        return cls(uuid7(now), now)


@dataclass(frozen=True)
class Case:
    """Messages of one stream, and whether its client ends it or goes away."""

    name: str
    messages: Sequence[bytes]
    goes_away: bool

    def write(self, folder: Path, person: Person) -> Path:
        file = folder / f"{self.name}.json"
        said = {
            "session_id": str(person.session_id),
            "start_time": person.start_time.isoformat(),
            "goes_away": self.goes_away,
            "messages": [message.hex() for message in self.messages],
        }
        file.write_text(json.dumps(said))
        return file

    @classmethod
    def read(cls, file: Path) -> "tuple[Case, Person]":
        said = json.loads(file.read_text())
        person = Person(UUID(said["session_id"]), datetime.fromisoformat(said["start_time"]))
        return cls(file.stem, list(map(bytes.fromhex, said["messages"])), said["goes_away"]), person


class Corpus:
    """Valid messages of one session."""

    def __init__(self, person: Person, random: Random) -> None:
        self._person = person
        times = [person.start_time + timedelta(seconds=5 * number) for number in range(_CHUNKS)]
        self._chunks = [(uuid7(time, random.getrandbits), time) for time in times]

    def opening(self) -> bytes:
        now = to_timestamp(make.now())
        opening = ingest_pb2.OpenStream(session_id=str(self._person.session_id), sender_id=SENDER, client_time=now)
        return ingest_pb2.StreamPredictionsRequest(open=opening).SerializeToString()

    def batch(self, number: int, random: Random) -> bytes:
        size = random.choice((1, 1, 2, 3, 12))
        batch = make.batch(number, [self._prediction(random) for _ in range(size)])
        return ingest_pb2.StreamPredictionsRequest(batch=batch).SerializeToString()

    def heartbeat(self, random: Random) -> bytes:
        now = to_timestamp(make.now())
        modalities = [
            ModalityHeartbeat(modality=number, state=random.randrange(1, 4), last_capture_time=now)  # type: ignore[arg-type]
            for number in random.sample((1, 2, 3), random.randrange(4))
        ]
        heartbeat = Heartbeat(modalities=modalities, client_time=now, round_trip_seconds=0.1)
        return ingest_pb2.StreamPredictionsRequest(heartbeat=heartbeat).SerializeToString()

    def case(self, name: str, random: Random) -> Case:
        messages = [self.opening(), *(self.batch(number, random) for number in range(1, random.randrange(2, 7)))]
        if random.random() < 0.4:
            messages.insert(random.randrange(1, len(messages) + 1), self.heartbeat(random))
        first = 0 if random.random() < 0.1 else 1
        for place in range(first, len(messages)):
            if random.random() < 0.4:
                messages[place] = mutate(messages[place], random)
        return Case(name, messages, goes_away=random.random() < 0.15)

    def _prediction(self, random: Random) -> Prediction:
        chunk_id, start = random.choice(self._chunks)
        message = random.choice((make.vision, make.audio, make.text))(chunk_id, start)
        if message.HasField("text") and random.random() < 0.3:
            message.text.ClearField("sealed_transcript")
            message.text.ClearField("transcript_state")
            message.text.plaintext_transcript = "niko sawa, it's nothing"
        return message
