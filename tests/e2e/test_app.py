"""An app that is killed while ingest is down: what record() returned for is stored once, and sealed."""

import pytest

from tests.e2e.apps import App
from tests.e2e.checker import not_stored_once, report, stored
from tests.e2e.rows import KEYS, read_rows
from tests.e2e.snapshot import Snapshot

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = ("ingest.vision_predictions", "ingest.audio_predictions", "ingest.text_predictions")


async def test_a_killed_app_loses_nothing_that_it_recorded(snapshot: Snapshot) -> None:
    person = next(iter(snapshot.work))
    async with snapshot.running("app", ("identity", "ingest")) as suite:
        spool = suite.plan.state_dir / "spool"
        killed = App(suite, person, spool, seed=1, count=1000, pause_seconds=0.01)
        await killed.start()
        await killed.record(20)
        ingest = suite.process_id("ingest")
        assert ingest
        suite.kill("ingest")
        await killed.record(20)
        await killed.kill()
        left = App(suite, person, spool, seed=2, count=50)
        await left.start()
        await left.finish()
        await suite.comes_back("ingest", ingest)
        rows = await read_rows(suite.dsn, [person.anonymous_id])

    recorded = [(said["session_id"], said["chunk_id"]) for said in killed.recorded + left.recorded]
    assert len(recorded) == 90
    lost = not_stored_once(((table, key) for table in TABLES for key in recorded), stored(KEYS, rows))
    assert not lost, report(lost)
    assert {row["transcript_state"] for row in rows["ingest.text_predictions"]} == {"sealed"}
    ended = {row["id"]: row["status"] for row in rows["ingest.sessions"]}
    assert set(ended.values()) == {"ENDED"}
    assert len(ended) == 2
