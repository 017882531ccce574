"""Of a session that is long and locked little is read, whatever the planner believes of its partition."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from services.ingest.store import predictions, silences
from services.ingest.store.predictions import BY_NEWEST_CHUNK, RECENT
from services.ingest.vocabulary import Modality
from tests.ingest import filling, make
from tests.ingest.suite import Suite

CHUNKS = 20 * RECENT
STATEMENTS: dict[str, tuple[str, tuple[datetime, ...]]] = {
    "newest capture": (predictions.NEWEST_CAPTURE, ()),
    **{modality.name: (silences.WINDOWS[modality], (make.now(),)) for modality in Modality},
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_the_newest_rows_alone_are_read_under_the_lock(suite: Suite, name: str) -> None:
    session_id = await long_session(suite)
    statement, since = STATEMENTS[name]
    async with suite.database.transaction() as tx:
        await predictions.walk_indexes(tx)
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.format(recent=BY_NEWEST_CHUNK)}"
        (found,) = await tx.driver.fetchval(explain, session_id, *since)
    scans = [node for node in nodes(found["Plan"]) if "Relation Name" in node and node["Actual Loops"]]
    assert len(scans) == (1 if since else 3)
    assert {scan["Actual Rows"] for scan in scans} == {RECENT}


async def test_the_recent_rows_of_a_short_session_are_all(suite: Suite) -> None:
    session_id = await long_session(suite, chunks=10)
    since = {Modality.AUDIO: make.now()}
    async with suite.database.transaction() as tx:
        assert await predictions.recent_capture(tx, session_id) == await predictions.newest_capture(tx, session_id)
        recent = await silences.recent_windows(tx, session_id, since)
        assert recent == await silences.windows(tx, session_id, since)
    assert [recent[modality].first_start is None for modality in Modality] == [True, False, True]


async def long_session(suite: Suite, chunks: int = CHUNKS) -> UUID:
    session_id = await suite.person().start_session()
    await filling.fill(suite.database, [session_id], chunks)
    return session_id


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(inner for part in node.get("Plans", ()) for inner in nodes(part))]
