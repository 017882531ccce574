"""Domain to proto and back."""

from libs.common.timestamps import to_timestamp
from quietus.common.v1 import options_pb2
from quietus.identity.v1 import identity_pb2
from services.identity.people import Person, Role
from services.identity.tokens import IssuedToken


def to_user(person: Person) -> identity_pb2.User:
    return identity_pb2.User(
        anonymous_id=person.anonymous_id,
        role=options_pb2.Role.Value(f"ROLE_{person.role.upper()}"),
        active=person.may_log_in,
        timezone=person.timezone,
        create_time=to_timestamp(person.create_time),
    )


def to_token(token: IssuedToken) -> identity_pb2.AccessToken:
    return identity_pb2.AccessToken(access_token=token.access_token, expire_time=to_timestamp(token.expire_time))


def from_role(role: options_pb2.Role.ValueType) -> Role:
    """Validation has refused what is no role."""
    return Role(options_pb2.Role.Name(role).removeprefix("ROLE_").lower())
