import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from libs.common.rpc.errors import reason_of
from libs.common.security.tokens import StaticVerifierKeys, TokenVerifier
from libs.common.timestamps import to_datetime
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_SERVICE
from quietus.identity.v1 import identity_pb2
from services.identity.attempts import BURST, REFILL_SECONDS
from tests.identity.conftest import PASSWORD, Client, new_email, new_user
from tests.identity.support import refused

pytestmark = pytest.mark.asyncio(loop_scope="package")


WRONG = "not the password"


async def verifier(client: Client) -> TokenVerifier:
    """As another service makes it: from the public keys alone."""
    answer = await client.tokens.GetSigningKeys(identity_pb2.GetSigningKeysRequest())
    keys = {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in answer.keys}
    return TokenVerifier(StaticVerifierKeys(keys))


async def test_a_password_is_traded_for_a_token_that_every_service_verifies(client: Client) -> None:
    email = new_email()
    created = await client.users.CreateUser(new_user(email, ROLE_COUNSELOR), metadata=client.admin)

    answer = await client.tokens.LogIn(identity_pb2.LogInRequest(email=email.upper(), password=PASSWORD))

    caller = await (await verifier(client)).verify(answer.token.access_token)
    assert (caller.role, caller.anonymous_id) == (ROLE_COUNSELOR, created.user.anonymous_id)
    assert (caller.device_id, caller.service, caller.scopes) == (None, None, frozenset())
    assert caller.expires_at == to_datetime(answer.token.expire_time)
    assert caller.expires_at - datetime.now(UTC) <= timedelta(minutes=15)


async def test_a_login_is_a_row_an_activity_and_an_audit_entry(client: Client) -> None:
    person = await client.person()

    async with client.database.read() as tx:
        session = await tx.fetch_one(
            "SELECT expires_at - login_sessions.created_at AS life, last_active - login_sessions.created_at AS apart"
            " FROM login_sessions JOIN users USING (user_id) WHERE anonymous_id = :id",
            {"id": person.anonymous_id},
        )
        actions = await tx.fetch_all(
            "SELECT action FROM audit_logs JOIN users USING (user_id) WHERE anonymous_id = :id ORDER BY id",
            {"id": person.anonymous_id},
        )

    assert session is not None
    assert timedelta(minutes=14) < session.life <= timedelta(minutes=15)
    assert session.apart == timedelta(0)
    assert [row.action for row in actions] == ["user.created", "login.succeeded"]


async def test_whatever_was_wrong_the_answer_is_the_same(client: Client) -> None:
    suspended = await client.person()
    async with client.database.transaction() as tx:
        await tx.execute(
            "UPDATE users SET account_status = 'suspended' WHERE anonymous_id = :id", {"id": suspended.anonymous_id}
        )
    person = await client.person()

    answers = set()
    for email, password in (
        (person.email, WRONG),
        (new_email(), PASSWORD),
        (suspended.email, PASSWORD),
    ):
        with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS") as caught:
            await client.log_in(email, password)
        answers.add(caught.value.details())

    assert len(answers) == 1


async def test_an_account_locks_after_a_burst_whether_it_exists_or_not(client: Client) -> None:
    person = await client.person()
    for email in (person.email, new_email()):
        for _ in range(BURST):
            with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
                await client.log_in(email, WRONG)

        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_ATTEMPTS") as caught:
            await client.log_in(email)

        assert 0 < retry_seconds(caught.value) <= REFILL_SECONDS


async def test_attempts_at_once_are_counted_like_others(client: Client) -> None:
    nobody = new_email()
    calls = (client.log_in(nobody, WRONG) for _ in range(BURST + 5))
    reasons = Counter(reason_of(error) for error in await asyncio.gather(*calls, return_exceptions=True))
    assert reasons == {"BAD_CREDENTIALS": BURST, "TOO_MANY_ATTEMPTS": 5}


def retry_seconds(error: grpc.aio.AioRpcError) -> int:
    status, retry = rpc_status.from_call(error), RetryInfo()
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    return retry.retry_delay.seconds


async def test_a_success_forgets_what_failed_before(client: Client) -> None:
    person = await client.person()
    for _ in range(3):
        for _ in range(BURST - 1):
            with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
                await client.log_in(person.email, WRONG)
        assert await client.log_in(person.email)


async def test_the_lock_of_one_account_is_nobody_elses(client: Client) -> None:
    person, nobody = await client.person(), new_email()
    for _ in range(BURST):
        with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
            await client.log_in(nobody, WRONG)
    assert await client.log_in(person.email)


async def test_a_service_trades_its_key(client: Client) -> None:
    api_key = client.settings.api_key_path("fusion").read_text().strip()

    caller = await (await verifier(client)).verify(await client.exchange(api_key))

    assert (caller.role, caller.service, caller.user_id, caller.anonymous_id) == (ROLE_SERVICE, "fusion", None, "")


async def test_an_unknown_key_is_refused(client: Client) -> None:
    for api_key in ("qk_unknown", "'; DROP TABLE users; --", "\u00e9" * 40):
        with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
            await client.exchange(api_key)


async def test_an_expired_key_is_refused(client: Client) -> None:
    async with client.database.transaction() as tx:
        await tx.execute("UPDATE api_keys SET expires_at = now() WHERE service = 'alerts'")
    with refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS"):
        await client.exchange(client.settings.api_key_path("alerts").read_text().strip())
