"""Identity as its commands run it, and what it leaves in its log."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from libs.common.db.roles import dsn_for, slice_role
from libs.common.rpc.client import bearer, channel
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from tests.identity.support import refused


@pytest.fixture
def environment(fresh_dsn: str, tmp_path: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("QUIETUS_")}
    return inherited | {
        "QUIETUS_IDENTITY_PORT": "0",
        "QUIETUS_IDENTITY_METRICS_PORT": "0",
        "QUIETUS_DATABASE_URL": dsn_for(fresh_dsn, slice_role("identity")),
        "QUIETUS_SECRETS_DIR": str(tmp_path / "secrets"),
    }


async def start(environment: Mapping[str, str], *arguments: str) -> Process:
    command = (sys.executable, "-m", "services.identity", *arguments)
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=STDOUT)


async def run(environment: Mapping[str, str], *arguments: str) -> tuple[int | None, str]:
    process = await start(environment, *arguments)
    output, _ = await process.communicate()
    return process.returncode, output.decode().strip()


class Serving:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.log = ""
        self.address = ""

    async def until_it_serves(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log += line.decode()
            event = json.loads(line)
            if event["event"] == "listening":
                self.address = f"127.0.0.1:{event['port']}"
            if event["event"] == "serving":
                return
        raise AssertionError(self.log)

    async def stop(self) -> int | None:
        self.process.terminate()
        output, _ = await self.process.communicate()
        self.log += output.decode()
        return self.process.returncode


@asynccontextmanager
async def serving(environment: Mapping[str, str]) -> AsyncIterator[Serving]:
    service = Serving(await start(environment))
    try:
        await service.until_it_serves()
        yield service
    finally:
        if service.process.returncode is None:
            service.process.kill()
            await service.process.communicate()


async def test_it_does_not_start_before_it_is_bootstrapped(environment: dict[str, str]) -> None:
    status, output = await run(environment)
    assert status == 1
    assert len(output.splitlines()) == 1
    assert "KEYRING_UNUSABLE" in output


async def test_commands_make_serve_and_stop_and_the_log_names_nobody(
    environment: dict[str, str], tmp_path: Path
) -> None:
    status, output = await run(environment, "bootstrap", "--json")
    assert (status, json.loads(output)["has_run_before"]) == (0, False)
    assert await run(environment, "bootstrap") == (0, "bootstrap has run before; nothing is changed")

    async with serving(environment) as service:
        here = environment | {"QUIETUS_IDENTITY_ADDRESS": service.address}
        command = ("token", "--role", "counselor", "--minutes", "15")
        (status, token), (again, second_token) = await run(here, *command), await run(here, *command)
        assert (status, again) == (0, 0)
        status, user_token = await run(here, "token", "--role", "user", "--json")
        assert (status, json.loads(user_token).keys()) == (0, {"access_token", "expire_time"})
        said = [token, second_token, *await _exercise(service.address, token, tmp_path / "secrets")]
        assert await service.stop() == 0

    assert '"method":"/quietus.identity.v1.TokenService/LogIn"' in service.log
    for secret in said:
        assert secret not in service.log


async def test_without_secrets_a_token_command_says_so_in_one_line(environment: dict[str, str]) -> None:
    status, output = await run(environment, "token")
    assert status == 1
    assert len(output.splitlines()) == 1
    assert "has bootstrap run" in output


async def _exercise(address: str, counselor_token: str, secrets: Path) -> list[str]:
    """Calls that succeed and that fail; returns everything personal or secret that they said or were told."""
    admin = json.loads((secrets / "admin.json").read_text())
    demo = json.loads((secrets / "demo-counselor.json").read_text())
    email, password, name = f"{uuid4().hex}@example.org", f"password {uuid4().hex}", f"Name {uuid4().hex}"
    async with channel(address) as connection:
        users, tokens = identity_pb2_grpc.UserServiceStub(connection), identity_pb2_grpc.TokenServiceStub(connection)
        devices = identity_pb2_grpc.DeviceServiceStub(connection)
        counselor = await users.GetUser(identity_pb2.GetUserRequest(), metadata=bearer(counselor_token))
        assert counselor.user.role == ROLE_COUNSELOR
        login = identity_pb2.LogInRequest(email=admin["email"], password=admin["password"])
        admin_token = (await tokens.LogIn(login)).token.access_token
        request = identity_pb2.CreateUserRequest(
            request_id=str(uuid4()), email=email, password=password, full_name=name, role=ROLE_COUNSELOR
        )
        await users.CreateUser(request, metadata=bearer(admin_token))
        request.request_id = str(uuid4())
        with refused(grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN"):
            await users.CreateUser(request, metadata=bearer(admin_token))
        with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
            await tokens.LogIn(identity_pb2.LogInRequest(email=email, password=password + "?"))
        with refused(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"):
            await users.GetUser(identity_pb2.GetUserRequest(), metadata=bearer(admin_token + "x"))
        device = await devices.RegisterDevice(
            identity_pb2.RegisterDeviceRequest(request_id=str(uuid4()), name=name), metadata=bearer(admin_token)
        )
        exchanged = await tokens.ExchangeApiKey(identity_pb2.ExchangeApiKeyRequest(api_key=device.api_key))
        device_token = exchanged.token.access_token
    return [email, password, name, admin_token, device.api_key, device_token, *admin.values(), *demo.values()]
