"""The key that seals for a person: kept as identity tells it, used where the edge didn't seal."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from libs.common.db.database import Database
from libs.common.feed.handler import FeedEvent, read_event
from libs.common.timestamps import to_timestamp
from quietus.identity.v1.events_pb2 import Event, PublicKeyRegistered
from quietus_edge.sealing import SealingKey, key_id_of, unseal
from services.ingest.app import handlers
from services.ingest.sealing import NO_KEY, looks_sealed, seal_for
from services.ingest.store import sealing_keys
from services.ingest.vocabulary import TranscriptState
from tests.conftest import MakeDatabase

PRIVATE_KEY = X25519PrivateKey.generate()
PUBLIC_KEY = PRIVATE_KEY.public_key().public_bytes_raw()
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def registered(user_id: UUID, key_id: str, at: datetime = NOW) -> FeedEvent:
    event = PublicKeyRegistered(
        user_id=str(user_id),
        anonymous_id=f"anon_{user_id.hex[:8]}",
        key_id=key_id,
        public_key=PUBLIC_KEY,
        event_time=to_timestamp(at),
    )
    return read_event(handlers()["identity"], 1, 0, Event(public_key_registered=event).SerializeToString(), at)


async def known(database: Database, *user_ids: UUID) -> dict[UUID, SealingKey]:
    async with database.read() as tx:
        return await sealing_keys.find(tx, user_ids)


async def follow(database: Database, *events: FeedEvent) -> None:
    for event in events:
        async with database.transaction() as tx:
            await handlers()["identity"].apply(tx, [event])


async def test_each_person_has_the_key_that_identity_told(make_database: MakeDatabase) -> None:
    database, first, second = make_database("ingest"), uuid4(), uuid4()
    await follow(database, registered(first, "one"), registered(second, "two"))
    assert await known(database, first, second, uuid4()) == {
        first: SealingKey("one", PUBLIC_KEY),
        second: SealingKey("two", PUBLIC_KEY),
    }


async def test_the_newest_key_stands_however_often_keys_are_told(make_database: MakeDatabase) -> None:
    database = make_database("ingest")
    for order in permutations(range(3)):
        person = uuid4()
        events = [registered(person, f"key-{n}", NOW + timedelta(days=n)) for n in order]
        await follow(database, *events, *events)
        assert (await known(database, person))[person].key_id == "key-2"


async def test_a_person_who_goes_takes_the_key_along(make_database: MakeDatabase) -> None:
    database, person = make_database("ingest"), uuid4()
    await follow(database, registered(person, "one"))
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM users WHERE user_id = :user_id", {"user_id": person})
    assert await known(database, person) == {}


@pytest.mark.parametrize("words", ["", "Niko sawa 🙂", "x" * 10_000])
def test_what_ingest_seals_opens_with_the_persons_key_at_its_place(words: str) -> None:
    user_id, row_id = uuid4(), uuid4()
    key = SealingKey("key-1", PUBLIC_KEY)
    sealed = seal_for(key, words, table="analysis_records", user_id=user_id, row_id=row_id)
    assert sealed.state is TranscriptState.SEALED
    assert key_id_of(sealed.content) == "key-1"
    private_key = PRIVATE_KEY.private_bytes_raw()
    assert unseal(sealed.content, private_key, table="analysis_records", user_id=user_id, row_id=row_id) == words


def test_without_a_key_nothing_is_kept() -> None:
    assert (
        seal_for(None, "words", table="analysis_records", user_id=uuid4(), row_id=uuid4()) == NO_KEY == (b"", "no_key")
    )


HPKE_OVERHEAD = 48


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", False),
        (b"\x00", False),
        (b"\x00\x00" + bytes(HPKE_OVERHEAD), False),
        (b"\x00\x01k" + bytes(HPKE_OVERHEAD - 1), False),
        (b"\x00\x01k" + bytes(HPKE_OVERHEAD), True),
        (b"\x00\x41" + bytes(65 + HPKE_OVERHEAD), False),
        (b"I am fine, thank you for asking, and so is everybody else in this house", False),
    ],
)
def test_what_looks_sealed(content: bytes, expected: bool) -> None:
    assert looks_sealed(content) is expected


def test_what_the_edge_seals_looks_sealed() -> None:
    assert looks_sealed(seal_for(SealingKey("k", PUBLIC_KEY), "", table="t", user_id=uuid4(), row_id=uuid4()).content)
