"""Each statement on llm_explanations goes by an index, on a table of forty thousand rows."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.common.db.database import Database, Transaction
from services.fusion.fold import ChangedResult
from services.fusion.store import accounts, wordings
from tests.fusion import make
from tests.fusion.fold_support import folded
from tests.fusion.make import chunk, shown

FILL = """
INSERT INTO fusion.users (user_id, anonymous_id)
SELECT md5('u' || n)::uuid, 'anon_' || n FROM generate_series(1, 100) n;
INSERT INTO fusion.session_states (session_id, user_id, chunks, capture_end_time, chunk_id, level, state_logit,
    state_seconds, session_score, level_cause, leading_reason, judged_chunk_ids, judged_directions)
SELECT md5('s' || n)::uuid, md5('u' || 1 + n % 100)::uuid, 1, now(), md5('c' || n)::uuid, 'low', 0, 0, 0, 'SCORE',
    'NO_CONCERN', '{}', '{}' FROM generate_series(1, 1000) n;
INSERT INTO fusion.llm_explanations (id, session_id, user_id, chunk_id, summary, key_signals, recommended_action_level,
    explanation_confidence, facts)
SELECT md5('e' || n)::uuid, md5('s' || 1 + n % 1000)::uuid, md5('u' || 1 + n % 100)::uuid, md5('c' || n)::uuid, 'x',
    '[]', 'none', 0.5, CASE WHEN n % 3 > 0 THEN 'FACTS_' || n % 40 END FROM generate_series(1, 40000) n;
INSERT INTO fusion.explanation_wordings (facts, language_model, prompt_version, attempts, ask_after)
SELECT 'FACTS_' || n, 'model', '1', 1, now() FROM generate_series(1, 300) n;
ANALYZE
"""
FACTS = "idx_llm_explanations_facts"
BY_CHUNK = "llm_explanations_session_id_chunk_id_key"
BY_SESSION = "DELETE FROM llm_explanations WHERE session_id = $1"


async def _replace(tx: Transaction) -> None:
    (result,) = folded([chunk(0, shown(probability=0.9))])
    change = ChangedResult(result, is_stored=True, is_explained=False, finding=None)
    await accounts.write(tx, make.MODEL, [(make.SESSION_ID, make.USER_ID, [change])])


async def _with_the_session(tx: Transaction) -> None:
    """What the foreign key's cascade does."""
    await tx.driver.execute(BY_SESSION, UUID(int=1))


STATEMENTS: dict[str, tuple[str, Callable[[Transaction], Awaitable[Any]]]] = {
    "facts that wait": (FACTS, lambda tx: wordings.read_waiting(tx, "model", "1", 2, 20)),
    "explanations of replaced revisions": (BY_CHUNK, _replace),
    "explanations of a session that goes": (BY_CHUNK, _with_the_session),
}


@pytest.fixture
async def filled(fresh_dsn: str, database: Database) -> Database:
    connection = await asyncpg.connect(fresh_dsn)
    await connection.execute(FILL)
    await connection.close()
    return database


async def test_each_statement_goes_by_its_index(filled: Database) -> None:
    for index, act in STATEMENTS.values():
        plan = await _plan_of(filled, act)
        steps = list(_steps(plan))
        assert index in {step.get("Index Name") for step in steps}, plan
        read_whole = {step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"}
        assert "llm_explanations" not in read_whole, plan


async def test_facts_that_wait_are_found_without_reading_the_rows_that_have_them(filled: Database) -> None:
    async with filled.read() as tx:
        found = await wordings.read_waiting(tx, "another", "1", 2, 100)
        explained = await tx.driver.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {wordings.WAITING}", "another", "1", 2, 100
        )
    assert len(found) == len({key.facts for key in found}) == 40
    walked = [step for step in _steps(explained[0]["Plan"]) if step.get("Index Name") == FACTS]
    assert sum(step["Actual Rows"] * step["Actual Loops"] for step in walked) <= 41


async def _plan_of(database: Database, act: Callable[[Transaction], Awaitable[Any]]) -> Mapping[str, Any]:
    """Of the statement that it sends."""
    sent: list[Any] = []
    async with database.transaction() as tx:
        with tx.driver.query_logger(sent.append):
            await act(tx)
            await asyncio.sleep(0)  # the driver tells its loggers in the loop's next round
        (record,) = (one for one in sent if "llm_explanations" in one.query)
        found = await tx.driver.fetchval(f"EXPLAIN (FORMAT JSON) {record.query}", *record.args)
    plan: Mapping[str, Any] = found[0]["Plan"]
    return plan


def _steps(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _steps(child)
