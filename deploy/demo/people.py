"""Creates people, their keys and devices, and a counselor, through public RPCs alone."""

import asyncio
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from deploy.demo.suite import Suite
from libs.common.rpc.client import Metadata
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_USER, Role
from quietus.identity.v1 import identity_pb2 as pb
from quietus.identity.v1.identity_pb2_grpc import (
    CareServiceStub,
    DeviceServiceStub,
    KeyServiceStub,
    UserServiceStub,
)
from quietus_edge import EdgeClient
from quietus_edge.sealing import make_key_pair

CALL_SECONDS = 30


@dataclass(frozen=True)
class Person:
    """Someone who can log in; `api_key` is the device's."""

    name: str
    anonymous_id: str
    token: Metadata = field(repr=False)
    api_key: str = field(default="", repr=False)


def edge_client(suite: Suite, person: Person, spool: Path) -> EdgeClient:
    """The person's device. Without TLS the demo trusts the network between containers, as it trusts loopback."""
    return EdgeClient(
        suite.addresses["ingest"],
        identity_address=suite.addresses["identity"],
        api_key=person.api_key,
        spool=spool,
        insecure=True,
    )


async def make_counselor(suite: Suite) -> Person:
    return await _make(suite, "counselor", ROLE_COUNSELOR)


async def make_person(suite: Suite, name: str, counselor: Person) -> Person:
    """A person in the counselor's care, with a sealing key and a device."""
    person = await _make(suite, name, ROLE_USER)
    key = await asyncio.to_thread(make_key_pair, secrets.token_urlsafe(16))
    await KeyServiceStub(suite.channels["identity"]).RegisterKey(
        pb.RegisterKeyRequest(public_key=key.public_key, wrapped_private_key=key.wrapped_private_key, salt=key.salt),
        metadata=person.token,
        timeout=CALL_SECONDS,
    )
    device = await DeviceServiceStub(suite.channels["identity"]).RegisterDevice(
        pb.RegisterDeviceRequest(request_id=str(uuid4()), name="demo"), metadata=person.token, timeout=CALL_SECONDS
    )
    await CareServiceStub(suite.channels["identity"]).AssignCare(
        pb.AssignCareRequest(
            counselor_anonymous_id=counselor.anonymous_id, anonymous_id=person.anonymous_id, consent=True
        ),
        metadata=suite.operator,
        timeout=CALL_SECONDS,
    )
    return Person(name, person.anonymous_id, person.token, device.api_key)


async def _make(suite: Suite, name: str, role: "Role.ValueType") -> Person:
    email = f"{name.replace(' ', '-')}-{uuid4().hex[:12]}@example.org"
    password = secrets.token_urlsafe(16)
    response = await UserServiceStub(suite.channels["identity"]).CreateUser(
        pb.CreateUserRequest(request_id=str(uuid4()), email=email, password=password, role=role),
        metadata=suite.operator,
        timeout=CALL_SECONDS,
    )
    return Person(name, response.user.anonymous_id, await suite.log_in(email, password))
