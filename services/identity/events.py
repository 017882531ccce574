"""What identity tells the others: each change of people, keys, care and consent, as one event under the person."""

from datetime import datetime
from uuid import UUID

from libs.common.feed.outbox import OutboxEvent
from libs.common.timestamps import to_timestamp
from quietus.common.v1 import options_pb2
from quietus.identity.v1 import events_pb2
from services.identity.people import Person, Role

ROLES = {
    Role.USER: options_pb2.ROLE_USER,
    Role.COUNSELOR: options_pb2.ROLE_COUNSELOR,
    Role.ADMIN: options_pb2.ROLE_ADMIN,
    Role.SERVICE: options_pb2.ROLE_SERVICE,
    Role.DEVICE: options_pb2.ROLE_DEVICE,
}


def user_created(person: Person) -> OutboxEvent:
    event = events_pb2.UserCreated(
        user_id=str(person.user_id),
        anonymous_id=person.anonymous_id,
        role=ROLES[person.role],
        timezone=person.timezone,
        event_time=to_timestamp(person.create_time),
    )
    return _outbox(person.user_id, events_pb2.Event(user_created=event))


def public_key_registered(
    user_id: UUID, anonymous_id: str, key_id: UUID, public_key: bytes, at: datetime
) -> OutboxEvent:
    event = events_pb2.PublicKeyRegistered(
        user_id=str(user_id),
        anonymous_id=anonymous_id,
        key_id=str(key_id),
        public_key=public_key,
        event_time=to_timestamp(at),
    )
    return _outbox(user_id, events_pb2.Event(public_key_registered=event))


def care_assigned(counselor_id: UUID, user_id: UUID, anonymous_id: str, at: datetime) -> OutboxEvent:
    event = events_pb2.CareAssigned(
        counselor_id=str(counselor_id), user_id=str(user_id), anonymous_id=anonymous_id, event_time=to_timestamp(at)
    )
    return _outbox(user_id, events_pb2.Event(care_assigned=event))


def care_ended(counselor_id: UUID, user_id: UUID, anonymous_id: str, at: datetime) -> OutboxEvent:
    event = events_pb2.CareEnded(
        counselor_id=str(counselor_id), user_id=str(user_id), anonymous_id=anonymous_id, event_time=to_timestamp(at)
    )
    return _outbox(user_id, events_pb2.Event(care_ended=event))


def consent_changed(user_id: UUID, anonymous_id: str, research: bool, at: datetime) -> OutboxEvent:
    event = events_pb2.ConsentChanged(
        user_id=str(user_id), anonymous_id=anonymous_id, research=research, event_time=to_timestamp(at)
    )
    return _outbox(user_id, events_pb2.Event(consent_changed=event))


def _outbox(user_id: UUID, event: events_pb2.Event) -> OutboxEvent:
    return OutboxEvent(user_id, event.SerializeToString(deterministic=True))
