"""Says which counselor cares for whom."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.ids import uuid7
from services.identity import events
from services.identity.people import Person, Role
from services.identity.service.callers import actor_of, user_id_of
from services.identity.store import care, users
from services.identity.store.care import Assignment


class Care:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def assign(self, caller: Caller, counselor_anonymous_id: str, anonymous_id: str, *, consent: bool) -> None:
        """Changes nothing when the person is in this counselor's care already."""
        if not consent:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "CONSENT_REQUIRED", field="consent")
        now = self._clock()
        async with self._database.transaction() as tx:
            counselor, person = await _counselor_and_person(tx, counselor_anonymous_id, anonymous_id)
            if await care.assign(tx, uuid7(now), counselor.user_id, person.user_id, now):
                tx.append_to_outbox([events.care_assigned(counselor.user_id, person.user_id, anonymous_id, now)])
                await _audit(tx, caller, "care.assigned", counselor, person)

    async def end(self, caller: Caller, counselor_anonymous_id: str, anonymous_id: str) -> None:
        """Changes nothing when the person is not in this counselor's care."""
        async with self._database.transaction() as tx:
            counselor, person = await _counselor_and_person(tx, counselor_anonymous_id, anonymous_id)
            end_time = await care.end(tx, counselor.user_id, person.user_id, self._clock())
            if end_time is not None:
                tx.append_to_outbox([events.care_ended(counselor.user_id, person.user_id, anonymous_id, end_time)])
                await _audit(tx, caller, "care.ended", counselor, person)

    async def page(self, caller: Caller, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Assignment]:
        """Of the calling counselor; `after` is the create_time and assignment_id of the last one of the page before."""
        async with self._database.read() as tx:
            return await care.page(tx, user_id_of(caller), after, limit)


async def _counselor_and_person(
    tx: Transaction, counselor_anonymous_id: str, anonymous_id: str
) -> tuple[Person, Person]:
    """FAILED_PRECONDITION NOT_A_COUNSELOR, NOT_A_PERSON_IN_CARE."""
    counselor = await users.by_anonymous_id(tx, counselor_anonymous_id)
    if counselor is None or counselor.role is not Role.COUNSELOR:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "NOT_A_COUNSELOR")
    person = await users.by_anonymous_id(tx, anonymous_id)
    if person is None or person.role is not Role.USER:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "NOT_A_PERSON_IN_CARE")
    return counselor, person


async def _audit(tx: Transaction, caller: Caller, action: str, counselor: Person, person: Person) -> None:
    await append_audit(
        tx,
        user_id=person.user_id,
        actor=actor_of(caller),
        action=action,
        resource_type="care_assignment",
        resource_id=person.anonymous_id,
        metadata={"counselor": counselor.anonymous_id},
    )
