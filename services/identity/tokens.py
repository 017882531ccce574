"""Access tokens: what each kind of caller carries in one, and for how long."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from libs.common.clock import Clock
from libs.common.rpc.caller import Caller
from libs.common.security.tokens import TokenSigner
from quietus.common.v1.options_pb2 import ROLE_DEVICE, ROLE_SERVICE, Role
from services.identity.people import Person

LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True)
class IssuedToken:
    access_token: str = field(repr=False)
    expire_time: datetime


class TokenIssuer:
    """Signs tokens that every service verifies locally: nobody can take one back, so they are short."""

    def __init__(self, signer: TokenSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock

    def for_person(self, person: Person, lifetime: timedelta = LIFETIME) -> IssuedToken:
        role = Role.Value(f"ROLE_{person.role.upper()}")
        return self._issue(role, lifetime, user_id=person.user_id, anonymous_id=person.anonymous_id)

    def for_device(self, person: Person, device_id: UUID) -> IssuedToken:
        return self._issue(
            ROLE_DEVICE, LIFETIME, user_id=person.user_id, anonymous_id=person.anonymous_id, device_id=str(device_id)
        )

    def for_service(self, service: str) -> IssuedToken:
        return self._issue(ROLE_SERVICE, LIFETIME, service=service)

    def _issue(
        self,
        role: Role.ValueType,
        lifetime: timedelta,
        *,
        user_id: UUID | None = None,
        anonymous_id: str = "",
        device_id: str | None = None,
        service: str | None = None,
    ) -> IssuedToken:
        now = self._clock()
        # A token holds whole seconds; what is told must not be later than what is signed.
        expire_time = (now + lifetime).replace(microsecond=0)
        caller = Caller(user_id, role, frozenset(), anonymous_id, device_id, service, expire_time)
        return IssuedToken(self._signer.sign(caller, now), expire_time)
