"""Consent to research: who says so, and what is kept of it."""

import asyncio
from datetime import datetime

import grpc
import pytest

from libs.common.rpc.client import bearer
from libs.common.timestamps import to_datetime
from quietus.identity.v1 import identity_pb2
from tests.identity.conftest import Client, Person
from tests.identity.support import refused

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def stored(client: Client, person: Person) -> tuple[bool, list[tuple[datetime, datetime | None]]]:
    """The seed's column, and the consents from when to when."""
    async with client.database.read() as tx:
        parameters = {"anonymous_id": person.anonymous_id}
        flag = await tx.scalar("SELECT consent_research FROM users WHERE anonymous_id = :anonymous_id", parameters)
        rows = await tx.fetch_all(
            "SELECT granted_at, withdrawn_at FROM research_consents JOIN users USING (user_id)"
            " WHERE anonymous_id = :anonymous_id ORDER BY granted_at",
            parameters,
        )
    return flag, [tuple(row) for row in rows]


async def standing(client: Client, person: Person) -> identity_pb2.ResearchConsent:
    request = identity_pb2.GetResearchConsentRequest()
    return (await client.consents.GetResearchConsent(request, metadata=person.metadata)).consent


async def test_nobody_consents_who_never_said_so(client: Client) -> None:
    person = await client.person()
    consent = await standing(client, person)
    assert (consent.granted, consent.HasField("change_time")) == (False, False)
    assert await client.consent(person, False) == consent
    assert await stored(client, person) == (False, [])


async def test_a_consent_is_given_and_withdrawn_and_given_again(client: Client) -> None:
    person = await client.person()
    changes = [await client.consent(person, granted) for granted in (True, False, True)]

    assert await standing(client, person) == changes[-1]
    assert [change.granted for change in changes] == [True, False, True]
    times = [to_datetime(change.change_time) for change in changes]
    assert times == sorted(set(times))
    assert await stored(client, person) == (True, [(times[0], times[1]), (times[2], None)])


async def test_saying_it_again_changes_nothing_also_at_the_same_time(client: Client) -> None:
    person = await client.person()
    changes = await asyncio.gather(*(client.consent(person, True) for _ in range(4)))
    assert len({change.change_time.ToNanoseconds() for change in changes}) == 1
    assert len((await stored(client, person))[1]) == 1


async def test_each_change_is_audited_under_the_person(client: Client) -> None:
    person = await client.person()
    for granted in (True, True, False):
        await client.consent(person, granted)
    async with client.database.read() as tx:
        rows = await tx.fetch_all(
            "SELECT action, actor FROM audit_logs JOIN users USING (user_id) WHERE anonymous_id = :anonymous_id"
            " AND resource_type = 'research_consent' ORDER BY id",
            {"anonymous_id": person.anonymous_id},
        )
    actor = f"user:{person.anonymous_id}"
    assert [tuple(row) for row in rows] == [("consent.granted", actor), ("consent.withdrawn", actor)]


async def test_only_the_person_speaks(client: Client) -> None:
    person, counselor = await client.person(), await client.counselor()
    await client.assign(counselor, person)
    device = bearer(await client.exchange((await client.device(person)).api_key))
    for metadata in (device, counselor.metadata, client.admin):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            request = identity_pb2.SetResearchConsentRequest(consent=True)
            await client.consents.SetResearchConsent(request, metadata=metadata)
