"""An event that can't be applied parks its person, in every service that follows; everybody else goes on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import httpx
import pytest

from deploy.demo import duty
from deploy.demo.people import Person, make_person
from deploy.demo.suite import Suite as Client
from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.feed.outbox import OutboxEvent
from quietus.ingest.v1.events_pb2 import Event, PredictionsCommitted
from tests.e2e.devices import Devices
from tests.e2e.polling import eventually
from tests.e2e.rows import read_rows
from tests.e2e.scenario import PlannedSession, planned
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOLLOWERS = ("fusion", "patterns")


async def user_id_of(suite: Suite, person: Person) -> UUID:
    connection = await asyncpg.connect(suite.dsn)
    try:
        found = await connection.fetchval(
            "SELECT user_id FROM identity.users WHERE anonymous_id = $1", person.anonymous_id
        )
        return UUID(str(found))
    finally:
        await connection.close()


async def tell_poison(suite: Suite, person: Person) -> None:
    """As if ingest had a fault: its feed tells of a session that has no id."""
    user_id = await user_id_of(suite, person)
    committed = PredictionsCommitted(user_id=str(user_id), anonymous_id=person.anonymous_id, session_id="none")
    event = Event(predictions_committed=committed)
    database = Database(dsn_for(suite.dsn, slice_role("ingest")), "ingest", pool_size=1)
    try:
        async with database.transaction() as tx:
            tx.append_to_outbox([OutboxEvent(user_id, event.SerializeToString())])
    finally:
        await database.close()


async def mend(suite: Suite) -> None:
    """What an operator decides of the event itself; those behind it stay."""
    connection = await asyncpg.connect(suite.dsn)
    try:
        for follower in FOLLOWERS:
            await connection.execute(f"DELETE FROM {follower}.parked_events WHERE reason LIKE 'ValueError%'")  # noqa: S608
    finally:
        await connection.close()


async def degraded(suite: Suite, service: str) -> Sequence[str]:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{suite.plan.metrics_port(service)}/healthz")
    assert answer.status_code == 200
    reasons: list[str] = answer.json()["degraded"]
    return reasons


async def chunks_fused(suite: Suite, person: Person) -> int:
    return len((await read_rows(suite.dsn, [person.anonymous_id]))["fusion.fusion_results"])


async def test_poison_parks_one_person_until_it_is_mended(snapshot: Snapshot, suite: Suite, client: Client) -> None:
    poisoned = await make_person(client, "poisoned", snapshot.counselor)
    other = await make_person(client, "other", snapshot.counselor)
    now = datetime.now(UTC)
    work: dict[Person, list[PlannedSession]] = {
        poisoned: planned("calm", now)[-1:],
        other: planned("crisis", now)[-1:],
    }
    await tell_poison(suite, poisoned)
    async with Devices(suite.plan.address("ingest"), work) as devices:
        await devices.finish()

    shown = await duty.open_alerts(client, snapshot.counselor, {other.anonymous_id})
    assert poisoned.anonymous_id not in {alert.anonymous_id for alert in shown}
    for follower in FOLLOWERS:

        async def notices(follower: str = follower) -> str:
            return "" if "parked_events:ingest" in await degraded(suite, follower) else "healthz doesn't say so"

        await eventually(notices, f"{follower} is degraded")
        code, said = await suite.command(follower, "parked", "retry", "--source", "ingest")
        assert (code, "1 people left" in said) == (1, True), said
    assert await chunks_fused(suite, poisoned) == 0

    await mend(suite)
    for follower in FOLLOWERS:
        code, said = await suite.command(follower, "parked", "retry")
        assert code == 0, said
    await suite.settled()
    (session,) = work[poisoned]
    assert await chunks_fused(suite, poisoned) == len(session.batches)
