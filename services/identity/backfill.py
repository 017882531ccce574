"""Identity's feed anew, from its tables, for a follower that must be rebuilt from before what is retained."""

from collections.abc import AsyncIterator

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from services.identity import events
from services.identity.store import history
from services.identity.store.history import CareChanged, ConsentChanged, Created, KeyRegistered


class History:
    """A BackfillSource."""

    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        async for happening in history.read(tx):
            match happening:
                case Created(person):
                    yield events.user_created(person)
                case KeyRegistered(person, key_id, public_key, at):
                    yield events.public_key_registered(person.user_id, person.anonymous_id, key_id, public_key, at)
                case ConsentChanged(person, granted, at):
                    yield events.consent_changed(person.user_id, person.anonymous_id, granted, at)
                case CareChanged(person, counselor_id, at, ended):
                    tell = events.care_ended if ended else events.care_assigned
                    yield tell(counselor_id, person.user_id, person.anonymous_id, at)
