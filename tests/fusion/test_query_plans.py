"""Each statement on fusion_results and dissonance_records, and each index that the documents ask for: rows are found by
index, in tables of hundreds of thousands.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from libs.common.db.database import Database, Transaction
from libs.common.db.roles import dsn_for, slice_role
from services.fusion.columns import FusedParts
from services.fusion.fold import ChangedResult
from services.fusion.records import BEGINNING
from services.fusion.store import accounts, courses, results, sessions
from services.fusion.store.packed_results import fused_fields
from tests.fusion import filling
from tests.fusion.make import MODELS
from tests.support import postgres

SESSION = 777
SESSION_ID = filling.session_id(SESSION)
USER_ID = filling.user_id(SESSION % filling.PEOPLE)
PLACE = 40
CHUNK_ID = filling.chunk_id(SESSION * filling.CHUNKS + PLACE)
MIDDLE = (filling.end_time(SESSION, PLACE), CHUNK_ID)
PAGE = 51
FEW = 2 * PAGE
CAPTURE = "idx_fusion_results_capture"
CHUNK = "fusion_results_session_id_chunk_id_key"
RECORD = "dissonance_records_session_id_chunk_id_key"
TABLES = ("fusion_results", "dissonance_records")

Statements = Callable[[Transaction], Awaitable[Any]]


async def _write(tx: Transaction) -> None:
    """Revisions in the place of older ones."""
    page = await results.read_page(tx, SESSION_ID, BEGINNING, PAGE)
    changes = [ChangedResult(one, is_stored=True, is_explained=False, finding=None) for one in page]
    await results.write(tx, [(SESSION_ID, USER_ID, changes)], FusedParts(fused_fields))
    await accounts.write(tx, MODELS, [(SESSION_ID, USER_ID, changes)])


def _sql(statement: str, *arguments: object) -> Statements:
    return lambda tx: tx.driver.fetch(statement, *arguments)


STATEMENTS: dict[str, tuple[set[str], Statements]] = {
    "a page of a session's results": ({CAPTURE}, lambda tx: results.read_page(tx, SESSION_ID, BEGINNING, PAGE)),
    "a later page of them": ({CAPTURE}, lambda tx: results.read_page(tx, SESSION_ID, MIDDLE, PAGE)),
    "what made the newest": ({CHUNK}, results.newest_version),
    "one result": ({CHUNK}, lambda tx: results.read_one(tx, SESSION_ID, CHUNK_ID)),
    "results from a late chunk on": ({CAPTURE}, lambda tx: results.read_from(tx, [(SESSION_ID, *MIDDLE)])),
    "where a session stood before it": (
        {CAPTURE},
        lambda tx: results.read_standings_before(tx, [(SESSION_ID, *MIDDLE)]),
    ),
    "where a session stands": ({CHUNK}, lambda tx: sessions.read_risk(tx, SESSION_ID)),
    "when a session first had each score": ({CAPTURE}, lambda tx: courses.read_among(tx, [SESSION_ID], ["fusion-1"])),
    "the same of a month's sessions": (
        {CAPTURE},
        lambda tx: courses.read_started(tx, filling.FIRST, filling.FIRST + timedelta(days=28), ["fusion-1"]),
    ),
    "revisions in the place of older ones": ({CHUNK, RECORD}, _write),
    "a page of a session's findings": (
        {"idx_dissonance_records_capture"},
        lambda tx: accounts.read_records(tx, SESSION_ID, BEGINNING, PAGE),
    ),
    "a later page of findings": (
        {"idx_dissonance_records_capture"},
        lambda tx: accounts.read_records(tx, SESSION_ID, MIDDLE, PAGE),
    ),
    # What the documents' indexes are for. A person who is deleted is found by the first.
    "findings of a person": (
        {"idx_dissonance_records_user_id"},
        _sql("SELECT * FROM dissonance_records WHERE user_id = $1 ORDER BY detected_at DESC LIMIT 51", USER_ID),
    ),
    "findings of a person that go": (
        {"idx_dissonance_records_user_id"},
        _sql("DELETE FROM ONLY dissonance_records WHERE user_id = $1", USER_ID),
    ),
    "the strongest findings": (
        {"idx_dissonance_records_score"},
        _sql("SELECT * FROM dissonance_records WHERE dissonance_score >= 0.99 ORDER BY dissonance_score DESC LIMIT 51"),
    ),
    "findings of a grave level": (
        {"idx_dissonance_records_risk"},
        _sql("SELECT * FROM dissonance_records WHERE risk_level = 'high'"),
    ),
    "results of a session that go": (set(), _sql("DELETE FROM fusion_results WHERE session_id = $1", SESSION_ID)),
}


@pytest.fixture(scope="module")
def filled_dsn(postgres_admin_dsn: str, template_database: str) -> Iterator[str]:
    dsn = asyncio.run(postgres.create_database(postgres_admin_dsn, template_database))
    asyncio.run(filling.fill(dsn))
    yield dsn
    asyncio.run(postgres.drop_database(postgres_admin_dsn, dsn))


@pytest.fixture
async def filled(filled_dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn_for(filled_dsn, slice_role("fusion")), "fusion", 1)
    yield database
    await database.close()


class _TakenBackError(Exception):
    pass


async def plans(database: Database, statements: Statements) -> list[Mapping[str, Any]]:
    """Of everything that was sent; what it changed is taken back."""
    sent: list[tuple[str, tuple[Any, ...]]] = []
    async with database.transaction() as tx:
        with suppress(_TakenBackError):
            async with tx.savepoint():
                with tx.driver.query_logger(lambda record: sent.append((record.query, record.args))):
                    await statements(tx)
                raise _TakenBackError
        return [
            (await tx.driver.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *arguments))[0]["Plan"]
            for query, arguments in sent
            if any(table in query for table in TABLES) and not query.startswith("COPY")
        ]


async def family(database: Database) -> Mapping[str, str]:
    """Of each partition and index of a partition: what it is a part of."""
    async with database.read() as tx:
        rows = await tx.driver.fetch(
            "SELECT part.relname AS part, whole.relname AS whole FROM pg_inherits"
            " JOIN pg_class part ON part.oid = inhrelid JOIN pg_class whole ON whole.oid = inhparent"
        )
    return {row["part"]: row["whole"] for row in rows}


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_rows_are_found_by_index(filled: Database, name: str) -> None:
    expected, statements = STATEMENTS[name]
    whole = await family(filled)
    steps = [step for plan in await plans(filled, statements) for step in nodes(plan)]
    assert steps
    used = {whole.get(index, index) for step in steps if (index := step.get("Index Name"))}
    assert expected <= used, steps
    read_whole = [step for step in steps if step["Node Type"] == "Seq Scan" and of(whole, step) in TABLES]
    assert not [step for step in read_whole if not step["Relation Name"].endswith("_default")], read_whole


def of(whole: Mapping[str, str], step: Mapping[str, Any]) -> str:
    """The table that is read. A partition for what has none, which is empty, may be read whole."""
    name = str(step["Relation Name"])
    return whole.get(name, name)


@pytest.mark.parametrize("name", [name for name in STATEMENTS if "page" in name])
async def test_a_page_sorts_no_more_than_a_few_rows(filled: Database, name: str) -> None:
    _, statements = STATEMENTS[name]
    steps = [step for plan in await plans(filled, statements) for step in nodes(plan)]
    assert not [step for step in steps if "Sort" in step["Node Type"] and step["Plan Rows"] > FEW], steps
