"""Keeps what people consent to."""

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database
from libs.common.rpc.caller import Caller
from quietus_edge.ids import uuid7
from services.identity import events
from services.identity.consents import ResearchConsent
from services.identity.service.callers import actor_of, user_id_of
from services.identity.store import consents


class Consents:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def set_research(self, caller: Caller, granted: bool) -> ResearchConsent:
        """What stands now; what stood already is neither told nor audited again."""
        user_id = user_id_of(caller)
        async with self._database.transaction() as tx:
            await consents.lock(tx, user_id)
            standing = await consents.of_person(tx, user_id)
            if standing.granted is granted:
                return standing
            changed = standing.changed(granted, self._clock())
            assert changed.change_time is not None
            if granted:
                await consents.grant(tx, uuid7(changed.change_time), user_id, changed.change_time)
            else:
                await consents.withdraw(tx, user_id, changed.change_time)
            tx.append_to_outbox([events.consent_changed(user_id, caller.anonymous_id, granted, changed.change_time)])
            await append_audit(
                tx,
                user_id=user_id,
                actor=actor_of(caller),
                action="consent.granted" if granted else "consent.withdrawn",
                resource_type="research_consent",
            )
        return changed

    async def get_research(self, caller: Caller) -> ResearchConsent:
        async with self._database.read() as tx:
            return await consents.of_person(tx, user_id_of(caller))
