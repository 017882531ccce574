"""A device of the demo person of this machine, who is in the demo counselor's care; all of it through public RPCs."""

import asyncio
import secrets
from pathlib import Path
from uuid import uuid4

import grpc

from libs.common.rpc.client import Metadata, bearer, channel
from libs.common.rpc.errors import reason_of
from quietus.identity.v1 import identity_pb2 as pb
from quietus.identity.v1 import identity_pb2_grpc as contract
from quietus_edge.sealing import make_key_pair
from services.identity.demo_token import demo_token
from services.identity.secret_files import write_secret
from services.identity.settings import IdentitySettings

CALL_SECONDS = 10


async def register_device(identity_address: str, secrets_dir: Path, key_file: Path) -> None:
    """Writes the device's API key to `key_file`, 0600. OSError: no secrets here. AioRpcError: identity is away.

    The person's first device makes their sealing key too; what opens it is left in <key_file>.passphrase, 0600.
    """
    settings = IdentitySettings(identity_address=identity_address, secrets_dir=secrets_dir)
    person, counselor, admin = [
        bearer((await demo_token(settings, role)).access_token) for role in ("user", "counselor", "admin")
    ]
    async with channel(identity_address) as identity:
        await _register_key(identity, person, key_file.with_name(f"{key_file.name}.passphrase"))
        assignment = pb.AssignCareRequest(
            counselor_anonymous_id=await _anonymous_id(identity, counselor),
            anonymous_id=await _anonymous_id(identity, person),
            consent=True,
        )
        await contract.CareServiceStub(identity).AssignCare(assignment, metadata=admin, timeout=CALL_SECONDS)
        device = await contract.DeviceServiceStub(identity).RegisterDevice(
            pb.RegisterDeviceRequest(request_id=str(uuid4()), name="demo"), metadata=person, timeout=CALL_SECONDS
        )
    write_secret(key_file, device.api_key + "\n")


async def _register_key(identity: grpc.aio.Channel, person: Metadata, passphrase_file: Path) -> None:
    keys = contract.KeyServiceStub(identity)
    try:
        await keys.GetPublicKey(pb.GetPublicKeyRequest(), metadata=person, timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        if reason_of(error) != "KEY_NOT_FOUND":
            raise
    else:
        return
    passphrase = secrets.token_urlsafe(24)
    write_secret(passphrase_file, passphrase + "\n")
    pair = await asyncio.to_thread(make_key_pair, passphrase)
    request = pb.RegisterKeyRequest(
        public_key=pair.public_key, wrapped_private_key=pair.wrapped_private_key, salt=pair.salt
    )
    await keys.RegisterKey(request, metadata=person, timeout=CALL_SECONDS)


async def _anonymous_id(identity: grpc.aio.Channel, of: Metadata) -> str:
    found = await contract.UserServiceStub(identity).GetUser(pb.GetUserRequest(), metadata=of, timeout=CALL_SECONDS)
    return found.user.anonymous_id
