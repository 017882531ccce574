"""Makes, once, what nobody can ask a running identity for: its keys, the first admin and a key for each service."""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from libs.common.clock import Clock, utc_now
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.security.keyring import Keyring
from libs.common.settings import SERVICES
from quietus_edge.ids import uuid7
from services.identity.api_keys import new_api_key
from services.identity.passwords import Passwords
from services.identity.people import Role
from services.identity.secret_files import write_secret
from services.identity.service import signing
from services.identity.service.people import NewPerson, add_person, credentials_of, person_to_be
from services.identity.settings import IdentitySettings
from services.identity.store import api_keys, signing_keys

ADMIN_EMAIL = "admin@quietus.local"
ACTOR = "bootstrap"


@dataclass(frozen=True)
class Outcome:
    """`files` hold the secrets that were made; none when bootstrap had run before."""

    has_run_before: bool
    files: tuple[Path, ...] = ()


async def bootstrap(
    database: Database, settings: IdentitySettings, passwords: Passwords, clock: Clock = utc_now
) -> Outcome:
    """All or nothing: a run that was cut off is repeated as if it had never been."""
    now = clock()
    async with database.transaction() as tx:
        await signing_keys.lock(tx)
        if await signing_keys.newest_first(tx):
            return Outcome(has_run_before=True)
        keyring = _keyring(settings.keyring_path)
        await signing.add(tx, keyring, now)
        contents = {settings.admin_path: await _add_admin(tx, keyring, passwords, now)}
        for service in SERVICES:
            contents[settings.api_key_path(service)] = await _add_service_key(tx, service, now)
        # Before the commit: a secret that is only in the tables, as a hash, could not be had again.
        for path, content in contents.items():
            write_secret(path, content)
    return Outcome(has_run_before=False, files=(settings.keyring_path, *contents))


def _keyring(path: Path) -> Keyring:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Keyring.load(path) if path.exists() else Keyring.create(path)


async def _add_admin(tx: Transaction, keyring: Keyring, passwords: Passwords, now: datetime) -> str:
    password = secrets.token_urlsafe(24)
    new = NewPerson(ADMIN_EMAIL, password, full_name="", role=Role.ADMIN)
    credentials = credentials_of(keyring, new, passwords.hash(password))
    await add_person(tx, person_to_be(uuid4(), new, now), credentials, ACTOR)
    return json.dumps({"email": ADMIN_EMAIL, "password": password}) + "\n"


async def _add_service_key(tx: Transaction, service: str, now: datetime) -> str:
    key = new_api_key()
    await api_keys.add(tx, uuid7(now), key, api_keys.ServiceHolder(service), name=service, now=now)
    await append_audit(
        tx, user_id=None, actor=ACTOR, action="service.registered", resource_type="service", resource_id=service
    )
    return key.secret + "\n"
