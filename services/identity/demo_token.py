"""A token for a demo person of this machine, made through the public contract with the secrets that bootstrap left."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc

from libs.common.rpc.client import bearer, channel
from libs.common.rpc.errors import reason_of
from quietus.common.v1.options_pb2 import Role
from quietus.identity.v1 import identity_pb2
from quietus.identity.v1.identity_pb2_grpc import TokenServiceStub, UserServiceStub
from services.identity.secret_files import write_secret
from services.identity.settings import IdentitySettings

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class _Login:
    email: str
    password: str = field(repr=False)


async def demo_token(settings: IdentitySettings, role: str) -> identity_pb2.AccessToken:
    """Makes the person when there is none. OSError: no secrets here. grpc.RpcError: identity refuses or is away."""
    admin = _read(settings.admin_path)
    path = settings.secrets_dir / f"demo-{role}.json"
    connection = channel(settings.identity_address)
    try:
        if role == "admin":
            return await _log_in(connection, admin)
        login = _read(path) if path.exists() else _new_login(path, role)
        try:
            return await _log_in(connection, login)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != "BAD_CREDENTIALS":
                raise
        await _create(connection, await _log_in(connection, admin), login, role)
        return await _log_in(connection, login)
    finally:
        await connection.close()


async def _log_in(connection: grpc.aio.Channel, login: _Login) -> identity_pb2.AccessToken:
    request = identity_pb2.LogInRequest(email=login.email, password=login.password)
    answer = await TokenServiceStub(connection).LogIn(request, timeout=TIMEOUT_SECONDS)
    return answer.token


async def _create(connection: grpc.aio.Channel, admin: identity_pb2.AccessToken, login: _Login, role: str) -> None:
    request = identity_pb2.CreateUserRequest(
        request_id=str(uuid4()),
        email=login.email,
        password=login.password,
        role=Role.Value(f"ROLE_{role.upper()}"),
    )
    metadata = bearer(admin.access_token)
    await UserServiceStub(connection).CreateUser(request, metadata=metadata, timeout=TIMEOUT_SECONDS)


def _new_login(path: Path, role: str) -> _Login:
    # A name of its own: whose password file was lost is not in the way of a new demo person.
    login = _Login(f"demo-{role}-{secrets.token_hex(4)}@quietus.local", secrets.token_urlsafe(24))
    write_secret(path, json.dumps({"email": login.email, "password": login.password}) + "\n")
    return login


def _read(path: Path) -> _Login:
    content = json.loads(path.read_text())
    return _Login(content["email"], content["password"])
