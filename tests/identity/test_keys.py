import os

import grpc
import pytest

from libs.common.rpc.client import bearer
from quietus.identity.v1 import identity_pb2
from tests.identity.conftest import Client
from tests.identity.support import refused

pytestmark = pytest.mark.asyncio(loop_scope="package")


KEY = identity_pb2.RegisterKeyRequest(
    public_key=bytes(range(32)), wrapped_private_key=os.urandom(60), salt=os.urandom(16)
)


async def test_a_device_registers_the_key_that_its_person_unwraps(client: Client) -> None:
    person = await client.person()
    device = bearer(await client.exchange((await client.device(person)).api_key))

    key_id = (await client.keys.RegisterKey(KEY, metadata=device)).key_id

    for metadata in (device, person.metadata):
        public = await client.keys.GetPublicKey(identity_pb2.GetPublicKeyRequest(), metadata=metadata)
        assert (public.key_id, public.public_key) == (key_id, KEY.public_key)
    wrapped = await client.keys.GetWrappedKey(identity_pb2.GetWrappedKeyRequest(), metadata=person.metadata)
    assert (wrapped.key_id, wrapped.wrapped_private_key, wrapped.salt) == (key_id, KEY.wrapped_private_key, KEY.salt)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
        await client.keys.GetWrappedKey(identity_pb2.GetWrappedKeyRequest(), metadata=device)


async def test_the_first_key_stands(client: Client) -> None:
    person = await client.person()
    first = await client.keys.RegisterKey(KEY, metadata=person.metadata)

    assert await client.keys.RegisterKey(KEY, metadata=person.metadata) == first
    other = identity_pb2.RegisterKeyRequest(
        public_key=os.urandom(32), wrapped_private_key=KEY.wrapped_private_key, salt=KEY.salt
    )
    with refused(grpc.StatusCode.ALREADY_EXISTS, "KEY_ALREADY_REGISTERED"):
        await client.keys.RegisterKey(other, metadata=person.metadata)


async def test_two_people_with_one_public_key_have_two_key_ids(client: Client) -> None:
    ids = set()
    for person in (await client.person(), await client.person()):
        ids.add((await client.keys.RegisterKey(KEY, metadata=person.metadata)).key_id)
    assert len(ids) == 2


async def test_without_a_key_there_is_none(client: Client) -> None:
    person = await client.person()
    with refused(grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND"):
        await client.keys.GetPublicKey(identity_pb2.GetPublicKeyRequest(), metadata=person.metadata)
    with refused(grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND"):
        await client.keys.GetWrappedKey(identity_pb2.GetWrappedKeyRequest(), metadata=person.metadata)


async def test_a_key_of_another_size_is_refused(client: Client) -> None:
    person = await client.person()
    short = identity_pb2.RegisterKeyRequest(
        public_key=os.urandom(31), wrapped_private_key=KEY.wrapped_private_key, salt=KEY.salt
    )
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"):
        await client.keys.RegisterKey(short, metadata=person.metadata)


@pytest.mark.parametrize("low_order", [bytes(32), bytes([1, *bytes(31)])])
async def test_a_key_that_nothing_can_be_sealed_for_is_refused(client: Client, low_order: bytes) -> None:
    person = await client.person()
    weak = identity_pb2.RegisterKeyRequest(
        public_key=low_order, wrapped_private_key=KEY.wrapped_private_key, salt=KEY.salt
    )
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"):
        await client.keys.RegisterKey(weak, metadata=person.metadata)
