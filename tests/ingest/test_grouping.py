"""The first copy of a prediction stands: against a model that knows nothing of groups."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.content.chunk import CHUNK_MAX, chunks
from services.ingest.content.columns import Rows
from services.ingest.grouping import Batch, Candidate, Ledger, Origin, Stored
from services.ingest.vocabulary import Modality, Reason

START = 1_800_000_000_000_000
SESSIONS = (bytes(16), bytes(15) + b"\x01")


class Copy(NamedTuple):
    """A prediction as a client may send it again: `content` stands for everything but the interval."""

    session: int
    chunk: int
    modality: Modality
    interval: int
    content: int

    @property
    def digest(self) -> bytes:
        return repr((self.interval, self.content)).encode()


copies = st.builds(
    Copy, st.integers(0, 1), st.integers(0, 2), st.sampled_from(Modality), st.integers(0, 1), st.integers(0, 1)
)
batches_of_copies = st.lists(st.lists(copies, min_size=1, max_size=4), max_size=8)


def batch(number: int, session: int, sent: Sequence[Copy]) -> Batch:
    candidates: list[Candidate] = []
    for index, copy in enumerate(sent):
        chunk_id = f"018f0000-0000-7000-8000-{copy.chunk:012d}"
        times = np.array([[START], [START + copy.interval], [START], [START + CHUNK_MAX]])
        (fields,) = chunks(Rows([0], {}), [chunk_id], *times)
        candidates.append((index, copy.modality, fields, copy.digest, repr(copy).encode()))
    return Batch(Origin(SESSIONS[session], UUID(int=0), b""), number, START, len(sent), 0, b"", candidates, [])


class Model:
    """One prediction after the other, as the contract says it."""

    def __init__(self) -> None:
        self.stored: dict[tuple[int, int, Modality], bytes] = {}
        self.intervals: dict[tuple[int, int], int] = {}

    def take(self, copy: Copy) -> str:
        key = copy.session, copy.chunk, copy.modality
        if self.intervals.setdefault(key[:2], copy.interval) != copy.interval:
            return Reason.CHUNK_INTERVAL_CONFLICT.name
        if key in self.stored:
            return "duplicate" if self.stored[key] == copy.digest else Reason.CONFLICT.name
        self.stored[key] = copy.digest
        return "accepted"


@given(batches_of_copies, st.lists(st.booleans(), min_size=8, max_size=8))
def test_however_batches_are_grouped_the_first_copy_stands(sent: list[list[Copy]], ends: list[bool]) -> None:
    model = Model()
    remembered: dict[bytes, bytes] = {}
    ledger, stored_rows = Ledger(Stored(), remembered), 0
    for number, copies_sent in enumerate(sent):
        session = copies_sent[0].session
        copies_of_session = [copy._replace(session=session) for copy in copies_sent]
        expected = [model.take(copy) for copy in copies_of_session]
        outcome = ledger.decide(batch(number, session, copies_of_session))
        assert outcome.accepted == expected.count("accepted")
        assert outcome.duplicates == expected.count("duplicate")
        told = [(refusal.index, refusal.reason.name) for refusal in outcome.refusals]
        assert told == [(i, word) for i, word in enumerate(expected) if word not in ("accepted", "duplicate")]
        if ends[number]:  # the group commits, and the next one looks at what is stored
            stored_rows += sum(map(len, ledger.rows.values()))
            remembered.update(ledger.intervals)
            ledger = Ledger(Stored(ledger.digests, {}), remembered)
    assert stored_rows + sum(map(len, ledger.rows.values())) == len(model.stored)


def test_only_chunks_that_lack_a_modality_are_looked_for() -> None:
    ledger = Ledger(Stored(), {})
    whole = [Copy(0, 0, modality, 0, 0) for modality in Modality]
    ledger.decide(batch(1, 0, [*whole, Copy(0, 1, Modality.VISION, 0, 0)]))
    assert [len(ledger.unseen(modality)) for modality in Modality] == [0, 1, 1]
