"""All that the feed has ever told, read from the tables that it told of."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from libs.common.db.database import Transaction
from services.identity.people import Person
from services.identity.store.sealing_keys import public_key_of
from services.identity.store.users import person_of

# Sorted by person, and for each in the order of the feed; a person is created before anything else happens to one.
_HISTORY = text("""
SELECT told.kind, told.at, told.key_id, told.public_key, told.counselor_id,
       users.user_id, users.anonymous_id, roles.name AS role, users.account_status, users.is_active, users.timezone,
       users.created_at
FROM (
    SELECT 'user_created' AS kind, created_at AS at, user_id, NULL::uuid AS key_id, NULL AS public_key,
           NULL::uuid AS counselor_id
    FROM users
    UNION ALL
    SELECT 'public_key_registered', created_at, user_id, key_id, public_key, NULL FROM encryption_keys
    UNION ALL
    SELECT 'care_assigned', created_at, user_id, NULL, NULL, counselor_id FROM care_assignments
    UNION ALL
    SELECT 'care_ended', ended_at, user_id, NULL, NULL, counselor_id FROM care_assignments WHERE ended_at IS NOT NULL
    UNION ALL
    SELECT 'consent_granted', granted_at, user_id, NULL, NULL, NULL FROM research_consents
    UNION ALL
    SELECT 'consent_withdrawn', withdrawn_at, user_id, NULL, NULL, NULL FROM research_consents
    WHERE withdrawn_at IS NOT NULL
) AS told
JOIN users USING (user_id) JOIN user_roles USING (user_id) JOIN roles ON roles.id = user_roles.role_id
ORDER BY users.user_id, told.kind <> 'user_created', told.at, told.kind
""")


@dataclass(frozen=True)
class Created:
    person: Person


@dataclass(frozen=True)
class KeyRegistered:
    person: Person
    key_id: UUID
    public_key: bytes
    at: datetime


@dataclass(frozen=True)
class CareChanged:
    """Assigned, or ended."""

    person: Person
    counselor_id: UUID
    at: datetime
    ended: bool


@dataclass(frozen=True)
class ConsentChanged:
    """To research: granted, or withdrawn."""

    person: Person
    granted: bool
    at: datetime


Happening = Created | KeyRegistered | CareChanged | ConsentChanged


async def read(tx: Transaction) -> AsyncIterator[Happening]:
    """Streamed: memory is bounded however many people there are."""
    async with tx.connection.stream(_HISTORY) as rows:
        async for row in rows:
            person = person_of(row)
            if row.kind == "user_created":
                yield Created(person)
            elif row.kind == "public_key_registered":
                yield KeyRegistered(person, row.key_id, public_key_of(row), row.at)
            elif row.kind in ("consent_granted", "consent_withdrawn"):
                yield ConsentChanged(person, row.kind == "consent_granted", row.at)
            else:
                yield CareChanged(person, row.counselor_id, row.at, ended=row.kind == "care_ended")
