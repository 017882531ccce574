"""Whose data a caller may reach. Who is refused learns nothing: not even whether the person or the thing exists."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.people import store
from libs.common.people.store import Person
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import (
    RELATION_SELF,
    RELATION_SELF_OR_CARE,
    ROLE_COUNSELOR,
    ROLE_DEVICE,
    ROLE_USER,
    Relation,
)

_OWN_DATA_ROLES = (ROLE_USER, ROLE_DEVICE)


@dataclass(frozen=True, slots=True)
class InCareOf:
    """Everybody in a counselor's care."""

    counselor_id: UUID


Reach = Person | InCareOf


class Access:
    """Users and devices reach their own data; counselors that of people in their care; admins and services nobody's.

    A counselor's look at someone is audited under that person, in the transaction, or right after it if it only reads.
    """

    def __init__(self, database: Database) -> None:
        self._slice_name = database.slice_name

    async def person_for(
        self,
        tx: Transaction,
        caller: Caller,
        anonymous_id: str,
        relation: "Relation.ValueType" = RELATION_SELF_OR_CARE,
    ) -> Person:
        """The person whom a request names; '' names the caller. Raises PERMISSION_DENIED NOT_YOUR_PERSON."""
        if _is_own(caller) and caller.user_id is not None and anonymous_id in ("", caller.anonymous_id):
            return Person(caller.user_id, caller.anonymous_id)
        if _may_care(caller, relation) and caller.user_id is not None and anonymous_id:
            person = await store.person_in_care(tx, caller.user_id, anonymous_id)
            if person is not None:
                await self._audit(tx, caller, person.user_id)
                return person
        raise AppError(ErrorKind.PERMISSION_DENIED, "NOT_YOUR_PERSON")

    async def reach(self, tx: Transaction, caller: Caller, anonymous_id: str) -> Reach:
        """Like person_for, but '' from a counselor names everybody in care, and audit_looks says who was seen."""
        if caller.role == ROLE_COUNSELOR and caller.user_id is not None and not anonymous_id:
            return InCareOf(caller.user_id)
        return await self.person_for(tx, caller, anonymous_id)

    async def audit_looks(self, tx: Transaction, caller: Caller, seen: Iterable[UUID]) -> None:
        """Once for each person in the answer."""
        for user_id in sorted(set(seen)):
            await self._audit(tx, caller, user_id)

    async def people_for(self, tx: Transaction, caller: Caller, anonymous_ids: Collection[str]) -> Sequence[Person]:
        """A counselor's people whom a request names, all of them. Raises PERMISSION_DENIED NOT_YOUR_PERSON."""
        if caller.role == ROLE_COUNSELOR and caller.user_id is not None:
            people = await store.people_in_care(tx, caller.user_id, anonymous_ids)
            if len(people) == len(set(anonymous_ids)):
                await self.audit_looks(tx, caller, (person.user_id for person in people))
                return people
        raise AppError(ErrorKind.PERMISSION_DENIED, "NOT_YOUR_PERSON")

    async def check_owner(
        self,
        tx: Transaction,
        caller: Caller,
        owner_user_id: UUID | None,
        reason: str,
        relation: "Relation.ValueType" = RELATION_SELF_OR_CARE,
    ) -> None:
        """For reads by id; None owns what isn't there. Raises NOT_FOUND with the reason in every bad case."""
        if caller.user_id is not None and owner_user_id is not None:
            if _is_own(caller) and caller.user_id == owner_user_id:
                return
            if _may_care(caller, relation) and await store.is_in_care(tx, caller.user_id, owner_user_id):
                await self._audit(tx, caller, owner_user_id)
                return
        raise AppError(ErrorKind.NOT_FOUND, reason)

    async def _audit(self, tx: Transaction, caller: Caller, user_id: UUID) -> None:
        actor = f"counselor:{caller.anonymous_id}"
        await append_audit(tx, user_id=user_id, actor=actor, action="read", resource_type=self._slice_name)


def _is_own(caller: Caller) -> bool:
    return caller.role in _OWN_DATA_ROLES


def _may_care(caller: Caller, relation: "Relation.ValueType") -> bool:
    return caller.role == ROLE_COUNSELOR and relation != RELATION_SELF
