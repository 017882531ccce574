from uuid import UUID, uuid4

import grpc
import pytest

from libs.common.rpc.client import bearer
from quietus.common.v1.options_pb2 import ROLE_DEVICE
from quietus.identity.v1 import identity_pb2
from tests.identity.conftest import Client
from tests.identity.support import refused
from tests.identity.test_tokens import verifier

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_device_trades_its_key_for_a_token_of_its_person(client: Client) -> None:
    person = await client.person()
    device = await client.device(person)

    caller = await (await verifier(client)).verify(await client.exchange(device.api_key))

    mine = await (await verifier(client)).verify(person.token)
    assert (caller.role, caller.device_id) == (ROLE_DEVICE, device.device_id)
    assert (caller.user_id, caller.anonymous_id) == (mine.user_id, person.anonymous_id)
    async with client.database.read() as tx:
        row = await tx.fetch_one("SELECT * FROM api_keys WHERE device_id = :id", {"id": UUID(device.device_id)})
    assert row is not None
    assert (row.kind, row.request_count, row.user_id) == ("device", 1, mine.user_id)
    assert device.api_key not in str(row)


async def test_a_revoked_key_is_worth_nothing(client: Client) -> None:
    person = await client.person()
    device = await client.device(person)
    revoke = identity_pb2.RevokeDeviceRequest(device_id=device.device_id)

    await client.devices.RevokeDevice(revoke, metadata=person.metadata)
    await client.devices.RevokeDevice(revoke, metadata=person.metadata)

    with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
        await client.exchange(device.api_key)


async def test_the_key_of_a_suspended_person_is_worth_nothing(client: Client) -> None:
    person = await client.person()
    device = await client.device(person)
    async with client.database.transaction() as tx:
        await tx.execute("UPDATE users SET is_active = false WHERE anonymous_id = :id", {"id": person.anonymous_id})
    with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
        await client.exchange(device.api_key)


async def test_a_repeated_registration_makes_no_second_device(client: Client) -> None:
    person = await client.person()
    request = identity_pb2.RegisterDeviceRequest(request_id=str(uuid4()), name="phone")
    await client.devices.RegisterDevice(request, metadata=person.metadata)

    with refused(grpc.StatusCode.ALREADY_EXISTS, "DEVICE_ALREADY_REGISTERED"):
        await client.devices.RegisterDevice(request, metadata=person.metadata)
    request.name = "tablet"
    with refused(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        await client.devices.RegisterDevice(request, metadata=person.metadata)

    async with client.database.read() as tx:
        devices = await tx.scalar(
            "SELECT count(*) FROM api_keys JOIN users USING (user_id) WHERE anonymous_id = :id",
            {"id": person.anonymous_id},
        )
    assert devices == 1


async def test_request_ids_of_two_people_are_two(client: Client) -> None:
    request = identity_pb2.RegisterDeviceRequest(request_id=str(uuid4()), name="phone")
    for person in (await client.person(), await client.person()):
        assert (await client.devices.RegisterDevice(request, metadata=person.metadata)).api_key


async def test_only_an_admin_acts_for_another(client: Client) -> None:
    person, other = await client.person(), await client.person()
    request = identity_pb2.RegisterDeviceRequest(request_id=str(uuid4()), anonymous_id=person.anonymous_id)

    with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_PERSON"):
        await client.devices.RegisterDevice(request, metadata=other.metadata)
    device = await client.devices.RegisterDevice(request, metadata=client.admin)

    revoke = identity_pb2.RevokeDeviceRequest(device_id=device.device_id)
    with refused(grpc.StatusCode.NOT_FOUND, "DEVICE_NOT_FOUND"):
        await client.devices.RevokeDevice(revoke, metadata=other.metadata)
    await client.devices.RevokeDevice(revoke, metadata=client.admin)
    with refused(grpc.StatusCode.NOT_FOUND, "DEVICE_NOT_FOUND"):
        unknown = identity_pb2.RevokeDeviceRequest(device_id=str(uuid4()))
        await client.devices.RevokeDevice(unknown, metadata=client.admin)


async def test_devices_and_counselors_register_none(client: Client) -> None:
    device = await client.device(await client.person())
    counselor = await client.counselor()
    request = identity_pb2.RegisterDeviceRequest(request_id=str(uuid4()))
    for metadata in (bearer(await client.exchange(device.api_key)), counselor.metadata):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            await client.devices.RegisterDevice(request, metadata=metadata)
