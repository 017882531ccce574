"""What people may ask of patterns. Each use case is one snapshot of the slice."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.common.db.database import Database
from libs.common.people.access import Access
from libs.common.people.store import Person
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from services.patterns.baseline import Baseline
from services.patterns.records import AssessmentRecord, ChangeRecord, InterfaceRecord, PatternRecord
from services.patterns.store import assessments, interfaces, patterns


class Answers:
    """`anonymous_id` is '' for the caller. Everywhere: PERMISSION_DENIED NOT_YOUR_PERSON."""

    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self._access = access

    async def current_pattern(self, caller: Caller, anonymous_id: str) -> tuple[Person, PatternRecord]:
        """NOT_FOUND PATTERN_NOT_FOUND: no session has settled yet."""
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            pattern = await patterns.current(tx, person.user_id)
        if pattern is None:
            raise AppError(ErrorKind.NOT_FOUND, "PATTERN_NOT_FOUND")
        return person, pattern

    async def interface(self, caller: Caller, anonymous_id: str) -> tuple[Person, InterfaceRecord | None]:
        """None before the first pattern."""
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            return person, await interfaces.current(tx, person.user_id)

    async def changes(
        self, caller: Caller, anonymous_id: str, before: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[ChangeRecord]:
        """The newest first, from before (change_time, change_id) on."""
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            return await interfaces.changes(tx, person.user_id, before, limit)

    async def assessments(
        self, caller: Caller, anonymous_id: str, before: UUID | None, limit: int
    ) -> tuple[Person, Sequence[AssessmentRecord]]:
        """The newest sessions first, from before a session on."""
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            return person, await assessments.page(tx, person.user_id, before, limit)

    async def baselines(self, caller: Caller, anonymous_id: str) -> Sequence[Baseline]:
        """By feature."""
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            return await assessments.baselines(tx, person.user_id)
