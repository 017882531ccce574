"""Everything that was told, read anew: each session's newest assessment and each person's current interface."""

from collections.abc import AsyncIterator

from libs.common.db.database import Transaction
from services.patterns.records import InterfaceGenerated, RiskAssessed, Told
from services.patterns.store.assessments import with_deviations
from services.patterns.store.interfaces import interface_in

PAGE_ROWS = 500

_ASSESSMENTS = """
SELECT a.*, told_receive_time, anonymous_id FROM risk_assessments a
JOIN session_inputs USING (session_id) JOIN users ON users.user_id = a.user_id
ORDER BY told_receive_time, session_id
"""
_INTERFACES = "SELECT * FROM interface_configs JOIN users USING (user_id) WHERE is_current ORDER BY config_id"


async def read(tx: Transaction) -> AsyncIterator[tuple[Told, str]]:
    """With each person's anonymous_id; assessments in the order of their telling."""
    cursor = await tx.driver.cursor(_ASSESSMENTS)
    while rows := await cursor.fetch(PAGE_ROWS):
        for row, record in zip(rows, await with_deviations(tx, rows), strict=True):
            yield RiskAssessed(record, row["told_receive_time"]), row["anonymous_id"]
    async for row in tx.driver.cursor(_INTERFACES, prefetch=PAGE_ROWS):
        yield InterfaceGenerated(interface_in(row)), row["anonymous_id"]
