"""Creates and shows people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.security.keyring import Keyring
from services.identity import events, people
from services.identity.people import PERSON_ROLES, AccountStatus, Person, Role
from services.identity.service.callers import actor_of, person_for, user_id_of
from services.identity.service.hashing import PasswordPool
from services.identity.store import requests, users


@dataclass(frozen=True)
class NewPerson:
    email: str = field(repr=False)
    password: str = field(repr=False)
    full_name: str = field(repr=False)
    role: Role
    timezone: str = people.DEFAULT_TIMEZONE


class People:
    def __init__(self, database: Database, keyring: Keyring, passwords: PasswordPool, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._passwords = passwords
        self._clock = clock

    async def create(self, caller: Caller, request_id: UUID, new: NewPerson) -> Person:
        """A repeated request gets the person whom the first one made."""
        _check(new)
        request = requests.Request(user_id_of(caller), request_id, uuid4(), self._digest(new))
        password_hash = await self._passwords.hash(new.password)
        async with self._database.transaction() as tx:
            earlier = await requests.find(tx, request.caller_id, request_id)
            if earlier is None:
                person = person_to_be(request.user_id, new, self._clock())
                await add_person(tx, person, credentials_of(self._keyring, new, password_hash), actor_of(caller))
                await requests.add(tx, request, person.create_time)
                return person
            account = await users.account_by_id(tx, earlier.user_id)
        assert account is not None, "a request goes with the person whom it made"
        same_password = await self._passwords.matches(new.password, account.password_hash)
        if not same_password or earlier.content_digest != request.content_digest:
            raise AppError(ErrorKind.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        return account.person

    async def get(self, caller: Caller, anonymous_id: str) -> Person:
        async with self._database.read() as tx:
            return await person_for(tx, caller, anonymous_id)

    async def page(self, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Person]:
        """Oldest first; `after` is the create_time and user_id of the last person of the page before."""
        async with self._database.read() as tx:
            return await users.page(tx, after, limit)

    def _digest(self, new: NewPerson) -> bytes:
        # Without the password: a fast hash of it would undo the slow one. The account's own hash knows it.
        content = [people.normalise_email(new.email), new.full_name, new.role, new.timezone]
        return self._keyring.blind_index(json.dumps(content), "request_ids.create_user")


def _check(new: NewPerson) -> None:
    if new.role not in PERSON_ROLES:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "ROLE_NOT_ALLOWED", field="role")
    if not people.is_timezone(new.timezone):
        raise AppError(ErrorKind.INVALID_ARGUMENT, "TIMEZONE_UNKNOWN", field="timezone")


def email_hash_of(keyring: Keyring, email: str) -> str:
    return keyring.blind_index(people.normalise_email(email), "users.email").hex()


def credentials_of(keyring: Keyring, new: NewPerson, password_hash: str) -> users.Credentials:
    return users.Credentials(
        email=keyring.encrypt(new.email, "users.email"),
        email_hash=email_hash_of(keyring, new.email),
        password_hash=password_hash,
        full_name=keyring.encrypt(new.full_name, "users.full_name"),
    )


def person_to_be(user_id: UUID, new: NewPerson, now: datetime) -> Person:
    return Person(
        user_id=user_id,
        anonymous_id=people.new_anonymous_id(),
        role=new.role,
        status=AccountStatus.ACTIVE,
        is_active=True,
        timezone=new.timezone,
        create_time=now,
    )


async def add_person(tx: Transaction, person: Person, credentials: users.Credentials, actor: str) -> None:
    """ALREADY_EXISTS EMAIL_TAKEN."""
    if not await users.create(tx, person, credentials):
        raise AppError(ErrorKind.ALREADY_EXISTS, "EMAIL_TAKEN")
    tx.append_to_outbox([events.user_created(person)])
    await append_audit(
        tx,
        user_id=person.user_id,
        actor=actor,
        action="user.created",
        resource_type="user",
        resource_id=person.anonymous_id,
        metadata={"role": person.role.value},
    )
