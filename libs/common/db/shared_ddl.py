"""What each slice's first migration calls for the tables that every slice has. Frozen: a change is a new function."""

from typing import Any

from libs.common.feed import ddl as feed_ddl

_PEOPLE = """
CREATE TABLE {schema}.users (
    user_id UUID PRIMARY KEY,
    anonymous_id VARCHAR(64) NOT NULL UNIQUE,
    timezone VARCHAR(50),
    create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE {schema}.care_assignments (
    counselor_id UUID NOT NULL,
    user_id UUID NOT NULL REFERENCES {schema}.users (user_id) ON DELETE CASCADE,
    assign_time TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (counselor_id, user_id)
);
CREATE INDEX idx_care_assignments_user_id ON {schema}.care_assignments (user_id)
"""

_AUDIT = """
CREATE TABLE {schema}.audit_logs (
    id BIGSERIAL PRIMARY KEY,
    user_id UUID,
    person_hash BYTEA,
    actor VARCHAR(128) NOT NULL,
    action VARCHAR(64) NOT NULL,
    resource_type VARCHAR(64) NOT NULL,
    resource_id VARCHAR(128),
    metadata JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    previous_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL UNIQUE
);
CREATE INDEX idx_audit_logs_user_id ON {schema}.audit_logs (user_id, created_at DESC);
CREATE INDEX idx_audit_logs_created_at ON {schema}.audit_logs (created_at DESC);
CREATE TABLE {schema}.audit_salts (
    user_id UUID PRIMARY KEY,
    salt BYTEA NOT NULL
);
CREATE TABLE {schema}.audit_head (
    id SMALLINT PRIMARY KEY,
    hash BYTEA NOT NULL,
    CONSTRAINT one_head CHECK (id = 1)
);
INSERT INTO {schema}.audit_head (id, hash) VALUES (1, decode(repeat('00', 32), 'hex'))
"""


def create_people_tables(op: Any, schema: str) -> None:
    """Before the slice's own tables, which refer to people. Not for identity, who has people of its own."""
    _execute(op, _PEOPLE, schema)


def drop_people_tables(op: Any, schema: str) -> None:
    _drop(op, schema, "care_assignments", "users")


def create_audit_tables(op: Any, schema: str) -> None:
    _execute(op, _AUDIT, schema)


def drop_audit_tables(op: Any, schema: str) -> None:
    _drop(op, schema, "audit_head", "audit_salts", "audit_logs")


def create_feed_tables(op: Any, schema: str, partitions: int = 1) -> None:
    """The count of partitions never changes afterwards."""
    del op  # the feed's own helper takes it from Alembic
    feed_ddl.create_feed_tables(schema, partitions)


def drop_feed_tables(op: Any, schema: str) -> None:
    del op
    feed_ddl.drop_feed_tables(schema)


def _execute(op: Any, script: str, schema: str) -> None:
    """One statement at a time, because the driver prepares each."""
    for statement in script.format(schema=schema).split(";\n"):
        op.execute(statement)


def _drop(op: Any, schema: str, *tables: str) -> None:
    for table in tables:
        op.execute(f"DROP TABLE {schema}.{table}")
