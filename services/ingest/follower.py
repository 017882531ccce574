"""What ingest does with identity's feed: it knows who is who, who cares for whom, and whose key seals, and who
consents to research."""

from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.people.follower import IdentityHandler
from libs.common.people.store import ensure_user
from libs.common.timestamps import to_datetime
from quietus.identity.v1.events_pb2 import ConsentChanged, PublicKeyRegistered
from quietus_edge.sealing import SealingKey
from services.ingest.store import consents, sealing_keys


class PeopleHandler(IdentityHandler):
    async def public_key_registered(self, tx: Transaction, registered: PublicKeyRegistered) -> None:
        user_id = UUID(registered.user_id)
        await ensure_user(tx, user_id, registered.anonymous_id)
        key = SealingKey(registered.key_id, registered.public_key)
        await sealing_keys.put(tx, user_id, key, to_datetime(registered.event_time))

    async def consent_changed(self, tx: Transaction, changed: ConsentChanged) -> None:
        user_id = UUID(changed.user_id)
        await ensure_user(tx, user_id, changed.anonymous_id)
        await consents.put(tx, user_id, changed.research, to_datetime(changed.event_time))
