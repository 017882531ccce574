"""All that the seed documents demand has a home or is built later, and docs/ says so; whatever breaks that is seen."""

import re

import asyncpg
import pytest

from deploy.schema.__main__ import PENDING_PAGE, SCHEMA_PAGE, seeds_folder
from deploy.schema.catalog import read_catalog
from deploy.schema.compare import compare
from deploy.schema.homes import SLICES
from deploy.schema.later import LATER_ITEMS, LATER_TABLES
from deploy.schema.pages import pending_page, schema_page
from deploy.schema.seeds import Table
from tests.schema.written import page_problems


async def test_everything_has_a_home_or_is_built_later(connection: asyncpg.Connection, seeds: list[Table]) -> None:
    comparison = await compare(connection, seeds)
    assert comparison.problems == []
    assert page_problems(SCHEMA_PAGE.read_text(), comparison) == []
    assert PENDING_PAGE.read_text() == pending_page(comparison)
    assert set(comparison.pending) >= LATER_ITEMS
    assert {table.name for table in seeds} >= LATER_TABLES


@pytest.mark.parametrize("slice_name", SLICES)
async def test_the_audit_log_of_every_slice_has_the_documents_indexes(
    connection: asyncpg.Connection, slice_name: str
) -> None:
    live = (await read_catalog(connection, [slice_name]))[f"{slice_name}.audit_logs"]
    assert {index.columns for index in live.indexes.values()} >= {("user_id", "created_at DESC"), ("created_at DESC",)}


@pytest.mark.usefixtures("seeds")
async def test_fusion_s_indexes_have_the_documents_names(connection: asyncpg.Connection) -> None:
    """The documents name those of dissonance_records, and of fusion's other tables only keys."""
    texts = "".join(path.read_text() for path in seeds_folder().glob("*.txt"))
    named = {
        index: tuple(column.strip() for column in columns.split(","))
        for table in ("fusion_results", "llm_explanations", "dissonance_records")
        for index, columns in re.findall(rf"CREATE INDEX (\w+) ON {table}\(([^)]*)\)", texts)
    }
    catalog = await read_catalog(connection, ["fusion"])
    indexes = {name: index.columns for table in catalog.values() for name, index in table.indexes.items()}
    assert named
    assert {name: indexes.get(name) for name in named} == named


def test_nothing_of_the_documents_is_overlooked(seeds: list[Table]) -> None:
    folder = seeds_folder()
    texts = {table.seed: next(folder.glob(f"{table.seed}_*.txt")).read_text() for table in seeds}
    sql = "\n".join(re.sub(r"--.*", "", text) for text in texts.values() if "CREATE TABLE" in text)
    listed = "\n".join(text for text in texts.values() if "CREATE TABLE" not in text)
    tables = len(re.findall(r"CREATE TABLE \w+ \(", sql)) + len(re.findall(r"^### \w+$", listed, re.MULTILINE))
    indexes = len(re.findall(r"CREATE (UNIQUE )?INDEX", sql)) + len(re.findall(r"^\d+\. \w+\(", listed, re.MULTILINE))
    checks = len(re.findall(r"\bCHECK \(", sql + listed)) + len(re.findall(r"\(`", listed))
    references = len(re.findall(r"\bREFERENCES\b", sql + listed))
    bodies = "".join(re.findall(r"CREATE TABLE \w+ \(.*?\n\);", sql, re.DOTALL)) + listed
    assert len(seeds) == tables
    assert sum(len(table.indexes) for table in seeds) == indexes
    assert sum(len(table.checks) for table in seeds) == checks
    assert sum(column.foreign_key is not None for table in seeds for column in table.columns) == references
    assert sum(len(table.keys) for table in seeds) == len(re.findall(r"\b(?:UNIQUE|PRIMARY KEY)\b", bodies))
    assert sum(bool(column.default) for table in seeds for column in table.columns) == bodies.count("DEFAULT ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("ALTER TABLE ingest.vision_predictions DROP COLUMN frames_processed", "has no home"),
        ("ALTER TABLE ingest.sessions DROP CONSTRAINT valid_status", "has no home"),
        ("ALTER TABLE alerts.risk_alerts DROP CONSTRAINT valid_risk", "has no home"),
        ("ALTER TABLE ingest.text_predictions DROP CONSTRAINT text_predictions_session_id_chunk_id_key", "has no home"),
        ("DROP INDEX identity.idx_users_status", "has no home"),
        ("DROP INDEX identity.idx_audit_logs_user_id", "has no home"),
        ("DROP TABLE fusion.dissonance_records", "has no home"),
        ("ALTER TABLE ingest.sessions ALTER status DROP NOT NULL", "is NULL where the document is not"),
        ("ALTER TABLE identity.users ALTER is_active DROP DEFAULT", "has the default none"),
        ("ALTER TABLE ingest.vision_predictions ALTER confidence TYPE real", "is real, not numeric(5,4)"),
        ("ALTER TABLE identity.user_roles DROP CONSTRAINT user_roles_role_id_fkey", "does not refer to"),
        ("ALTER TABLE identity.users ADD COLUMN locale VARCHAR(10)", "is listed as built later"),
        ("CREATE TABLE patterns.voice_baselines (user_id UUID)", "is listed as built later"),
    ],
)
async def test_difference_is_a_problem(
    connection: asyncpg.Connection, seeds: list[Table], change: str, problem: str
) -> None:
    await connection.execute(change)
    assert problem in "\n".join((await compare(connection, seeds)).problems)


async def test_difference_that_is_allowed_changes_the_page(connection: asyncpg.Connection, seeds: list[Table]) -> None:
    page = schema_page(await compare(connection, seeds))
    await connection.execute("""
        ALTER TABLE ingest.sessions DROP CONSTRAINT valid_status;
        ALTER TABLE ingest.sessions ADD CONSTRAINT valid_status CHECK (status IN ('PAUSED', 'ACTIVE', 'ENDED'))
    """)
    comparison = await compare(connection, seeds)
    assert comparison.problems == []
    assert page_problems(page, comparison) == [
        "000 sessions CHECK (status IN ('ACTIVE', 'ENDED')): CHECK_EXTENDED isn't told"
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("identity.roles.id |  |", "identity.roles.id | MERGED |", "000 roles.id: MERGED isn't needed"),
        ("identity.roles.id |  |", "identity.roles.id | FASTER |", "000 roles.id: FASTER is outside the closed list"),
        ("users.email | SEALED |", "users.email |  |", "000 users.email: SEALED isn't told"),
        ("| 000 | roles.id | identity.roles.id |  |\n", "", "000 roles.id: has no row"),
        ("| 000 | roles.id |", "| 000 | roles.rank |", "000 roles.rank: has a row and no home"),
        ("| identity.roles.id |", "| identity.users.id |", "000 roles.id: lives in identity.roles.id"),
        ("Generated by", "Written by", "the page isn't what `make docs` writes"),
    ],
)
async def test_page_that_says_otherwise_is_a_problem(
    connection: asyncpg.Connection, seeds: list[Table], right: str, wrong: str, problem: str
) -> None:
    comparison = await compare(connection, seeds)
    assert problem in page_problems(schema_page(comparison).replace(right, wrong, 1), comparison)


async def test_view_serves_by_the_tables_below_it(
    connection: asyncpg.Connection, seeds: list[Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.schema.later.LATER_TABLES", LATER_TABLES - {"user_interfaces"})
    await connection.execute("""
        CREATE VIEW patterns.user_interfaces AS
        SELECT config_id AS id, user_id, ui_config_encrypted AS interface_config, generated_at, 1 AS version,
               is_current AS active FROM patterns.interface_configs
    """)
    comparison = await compare(connection, seeds)
    deviations = {row.item: row.deviations for row in comparison.rows if row.item.startswith("user_interfaces")}
    assert deviations["user_interfaces.id"] == ("VIEW",)
    assert deviations["user_interfaces INDEX (user_id)"] == ("VIEW_INDEX_ON_BASE",)
