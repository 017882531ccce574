"""Who calls, and whom they may name."""

from uuid import UUID

from libs.common.db.audit import append_audit
from libs.common.db.database import Transaction
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_COUNSELOR, Role
from services.identity.people import Person
from services.identity.store import care, users


def actor_of(caller: Caller) -> str:
    """How the audit log names who acted."""
    role = Role.Name(caller.role).removeprefix("ROLE_").lower()
    return f"{role}:{caller.device_id or caller.anonymous_id or caller.service}"


def user_id_of(caller: Caller) -> UUID:
    """PERMISSION_DENIED NOT_A_PERSON for a caller who is none and acts for none."""
    if caller.user_id is None:
        raise AppError(ErrorKind.PERMISSION_DENIED, "NOT_A_PERSON")
    return caller.user_id


async def person_for(tx: Transaction, caller: Caller, anonymous_id: str) -> Person:
    """The person whom a request names; the empty id names the caller.

    An admin may name anybody: NOT_FOUND USER_NOT_FOUND. Others get PERMISSION_DENIED NOT_YOUR_PERSON for anybody but
    themselves and the people in their care, whether such a person exists or not.
    """
    if anonymous_id in ("", caller.anonymous_id):
        person = await users.by_id(tx, user_id_of(caller))
    else:
        person = await users.by_anonymous_id(tx, anonymous_id)
        if caller.role != ROLE_ADMIN:
            await _check_care(tx, caller, person)
    if person is None:
        raise AppError(ErrorKind.NOT_FOUND, "USER_NOT_FOUND")
    return person


async def _check_care(tx: Transaction, caller: Caller, person: Person | None) -> None:
    """A counselor's look at someone is audited under that person."""
    counselor_id = caller.user_id if caller.role == ROLE_COUNSELOR else None
    if counselor_id is None or person is None or not await care.stands(tx, counselor_id, person.user_id):
        raise AppError(ErrorKind.PERMISSION_DENIED, "NOT_YOUR_PERSON")
    await append_audit(tx, user_id=person.user_id, actor=actor_of(caller), action="user.read", resource_type="user")
