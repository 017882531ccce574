"""Trades a password for a token."""

from uuid import uuid4

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.security.keyring import Keyring
from services.identity.attempts import take_attempt
from services.identity.service.hashing import PasswordPool
from services.identity.service.people import email_hash_of
from services.identity.store import logins, users
from services.identity.store.users import Account
from services.identity.tokens import IssuedToken, TokenIssuer


class Logins:
    def __init__(
        self, database: Database, keyring: Keyring, passwords: PasswordPool, tokens: TokenIssuer, clock: Clock
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._passwords = passwords
        self._tokens = tokens
        self._clock = clock

    async def log_in(self, email: str, password: str) -> IssuedToken:
        """An unknown address, a wrong password and a suspended account get the same work and answer."""
        email_hash = email_hash_of(self._keyring, email)
        account = await self._account_to_try(email_hash)
        matches = await self._passwords.matches(password, account.password_hash if account else None)
        if account is None or not matches or not account.person.may_log_in:
            await self._record_failure(account)
            raise AppError(ErrorKind.UNAUTHENTICATED, "BAD_CREDENTIALS")
        return await self._open_session(account, email_hash)

    async def _account_to_try(self, email_hash: str) -> Account | None:
        """Takes an attempt before the password is looked at, so that attempts in parallel are counted too."""
        now = self._clock()
        async with self._database.transaction() as tx:
            attempt = take_attempt(await logins.lock_attempts(tx, email_hash, now), now)
            if attempt.allowed:
                await logins.keep_attempts(tx, email_hash, attempt.full_at)
                return await users.account_by_email_hash(tx, email_hash)
        raise AppError(
            ErrorKind.RESOURCE_EXHAUSTED, "TOO_MANY_ATTEMPTS", retry_after_seconds=attempt.retry_after_seconds
        )

    async def _open_session(self, account: Account, email_hash: str) -> IssuedToken:
        now, person, session_id = self._clock(), account.person, uuid4()
        token = self._tokens.for_person(person)
        async with self._database.transaction() as tx:
            await logins.forget_attempts(tx, email_hash)
            await logins.add_session(tx, session_id, person.user_id, now, token.expire_time)
            await users.record_activity(tx, person.user_id, now)
            await append_audit(
                tx,
                user_id=person.user_id,
                actor=f"{person.role}:{person.anonymous_id}",
                action="login.succeeded",
                resource_type="login_session",
                resource_id=str(session_id),
            )
        return token

    async def _record_failure(self, account: Account | None) -> None:
        """Of an unknown account too, so that the time of an answer tells nothing."""
        async with self._database.transaction() as tx:
            await append_audit(
                tx,
                user_id=account.person.user_id if account else None,
                actor="anonymous",
                action="login.failed",
                resource_type="user",
                resource_id=account.person.anonymous_id if account else None,
            )
