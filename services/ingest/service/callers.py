"""Who calls."""

from uuid import UUID

from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import Role


def actor_of(caller: Caller) -> str:
    """How the audit log names who acted."""
    role = Role.Name(caller.role).removeprefix("ROLE_").lower()
    return f"{role}:{caller.service or caller.device_id or caller.anonymous_id}"


def device_id_of(caller: Caller) -> UUID | None:
    return UUID(caller.device_id) if caller.device_id else None


def user_id_of(caller: Caller) -> UUID:
    """PERMISSION_DENIED NOT_A_PERSON for a caller who is none and acts for none."""
    if caller.user_id is None:
        raise AppError(ErrorKind.PERMISSION_DENIED, "NOT_A_PERSON")
    return caller.user_id
