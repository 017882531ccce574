"""People as identity knows them: who one is, and how one is found."""

import base64
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

ANONYMOUS_ID_CHARACTERS = 20  # of 5 bits: 100 random bits
DEFAULT_TIMEZONE = "Africa/Nairobi"


class Role(StrEnum):
    USER = "user"
    COUNSELOR = "counselor"
    ADMIN = "admin"
    SERVICE = "service"
    DEVICE = "device"


PERSON_ROLES = frozenset({Role.USER, Role.COUNSELOR, Role.ADMIN})


class AccountStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True)
class Person:
    user_id: UUID
    anonymous_id: str
    role: Role
    status: AccountStatus
    is_active: bool
    timezone: str
    create_time: datetime

    @property
    def may_log_in(self) -> bool:
        return self.is_active and self.status is AccountStatus.ACTIVE


def new_anonymous_id() -> str:
    return "p_" + base64.b32encode(secrets.token_bytes(15)).decode().lower()[:ANONYMOUS_ID_CHARACTERS]


def normalise_email(email: str) -> str:
    """One spelling for all spellings that people take for the same address."""
    return unicodedata.normalize("NFC", email.strip()).casefold()


def is_timezone(name: str) -> bool:
    """Whether this machine's tz database knows the IANA name."""
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder, or not a name at all
        return False
    return True
