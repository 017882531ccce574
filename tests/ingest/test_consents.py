"""What ingest keeps of consents to research."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID, uuid4

from libs.common.db.database import Database
from libs.common.feed.handler import FeedEvent, read_event
from libs.common.timestamps import to_timestamp
from quietus.identity.v1.events_pb2 import ConsentChanged, Event
from services.ingest.app import handlers
from tests.conftest import MakeDatabase

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def changed(user_id: UUID, research: bool, at: datetime) -> FeedEvent:
    change = ConsentChanged(
        user_id=str(user_id), anonymous_id=f"p_{user_id.hex}", research=research, event_time=to_timestamp(at)
    )
    return read_event(handlers()["identity"], 1, 0, Event(consent_changed=change).SerializeToString(), NOW)


async def follow(database: Database, *events: FeedEvent) -> None:
    async with database.transaction() as tx:
        await handlers()["identity"].apply(tx, events)


async def granted(database: Database, user_id: UUID) -> bool | None:
    statement = "SELECT granted FROM research_consents WHERE user_id = :user_id"
    async with database.read() as tx:
        said: bool | None = await tx.scalar(statement, {"user_id": user_id})
    return said


async def test_what_was_said_last_stands_however_it_is_told_again(make_database: MakeDatabase) -> None:
    database = make_database("ingest")
    for number, order in enumerate(permutations(range(3))):
        person = uuid4()
        told = [changed(person, step != 1, NOW + timedelta(seconds=step)) for step in range(2 + number % 2)]
        await follow(database, *told)
        await follow(database, *(told[step] for step in order if step < len(told)))
        assert await granted(database, person) is (len(told) == 3)
    assert await granted(database, uuid4()) is None
