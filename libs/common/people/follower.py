"""What a slice does with identity's feed: it knows who is who, and who cares for whom."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.handler import FeedEvent, Read, UnknownEvent
from libs.common.people import store
from libs.common.timestamps import to_datetime
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus.identity.v1.events_pb2 import (
    CareAssigned,
    CareEnded,
    ConsentChanged,
    Event,
    PublicKeyRegistered,
    UserCreated,
)


class IdentityHandler:
    """A FeedHandler. A slice that keeps sealing keys overrides `public_key_registered`, one that exports for research
    `consent_changed`."""

    def read(self, event: bytes) -> Read:
        happened = _content(Event.FromString(event))
        return Read(UUID(happened.user_id), happened)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        for event in events:
            match event.content:
                case UserCreated() as created:
                    await self.user_created(tx, created)
                case PublicKeyRegistered() as registered:
                    await self.public_key_registered(tx, registered)
                case CareAssigned() as assigned:
                    await self.care_assigned(tx, assigned)
                case CareEnded() as ended:
                    await self.care_ended(tx, ended)
                case ConsentChanged() as changed:
                    await self.consent_changed(tx, changed)

    async def user_created(self, tx: Transaction, created: UserCreated) -> None:
        """Only of people who are monitored: a slice has nothing to keep of others."""
        if created.role != ROLE_USER:
            return
        user_id = UUID(created.user_id)
        await store.ensure_user(tx, user_id, created.anonymous_id)
        await store.set_timezone(tx, user_id, created.timezone)

    async def public_key_registered(self, tx: Transaction, registered: PublicKeyRegistered) -> None:
        """Nothing, in a slice that seals nothing."""

    async def consent_changed(self, tx: Transaction, changed: ConsentChanged) -> None:
        """Nothing, in a slice that exports nothing."""

    async def care_assigned(self, tx: Transaction, assigned: CareAssigned) -> None:
        user_id = UUID(assigned.user_id)
        await store.ensure_user(tx, user_id, assigned.anonymous_id)
        await store.assign_care(tx, UUID(assigned.counselor_id), user_id, to_datetime(assigned.event_time))

    async def care_ended(self, tx: Transaction, ended: CareEnded) -> None:
        await store.end_care(tx, UUID(ended.counselor_id), UUID(ended.user_id))


def _content(event: Event) -> UserCreated | PublicKeyRegistered | CareAssigned | CareEnded | ConsentChanged:
    match event.WhichOneof("event"):
        case "user_created":
            return event.user_created
        case "public_key_registered":
            return event.public_key_registered
        case "care_assigned":
            return event.care_assigned
        case "care_ended":
            return event.care_ended
        case "consent_changed":
            return event.consent_changed
        case _:
            raise UnknownEvent
