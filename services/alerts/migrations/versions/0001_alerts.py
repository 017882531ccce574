"""Alerts, the facts that they are derived from, their events and notifications."""

from alembic import op

from libs.common.db import shared_ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "alerts"

TABLES = """
CREATE TABLE alerts.risk_alerts (
    alert_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES alerts.users (user_id) ON DELETE CASCADE,
    pattern_id UUID,
    risk_level VARCHAR(20) NOT NULL,
    risk_score DOUBLE PRECISION NOT NULL,
    risk_factors TEXT[] NOT NULL,
    risk_interpretation TEXT NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now(),
    state VARCHAR(16) NOT NULL DEFAULT 'triggered',
    alert_sent BOOLEAN GENERATED ALWAYS AS (state <> 'triggered') STORED,
    alert_sent_at TIMESTAMPTZ,
    counselor_id UUID,
    counselor_anonymous_id VARCHAR(64),
    counselor_notified BOOLEAN GENERATED ALWAYS AS (state <> 'triggered') STORED,
    counselor_responded BOOLEAN GENERATED ALWAYS AS (state IN ('responded', 'resolved')) STORED,
    counselor_response BYTEA,
    counselor_response_at TIMESTAMPTZ,
    resolved BOOLEAN GENERATED ALWAYS AS (state = 'resolved') STORED,
    resolved_at TIMESTAMPTZ,
    resolution_notes BYTEA,
    resolution_reason VARCHAR(32),
    ordinal INTEGER NOT NULL,
    version INTEGER NOT NULL,
    session_id UUID NOT NULL,
    capture_time TIMESTAMPTZ NOT NULL,
    delayed BOOLEAN NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT valid_risk CHECK (risk_level IN ('high', 'critical')),
    CONSTRAINT risk_score_range CHECK (risk_score >= 0 AND risk_score <= 1),
    CONSTRAINT valid_alert_state CHECK (
        state IN ('triggered', 'notified', 'acknowledged', 'responded', 'resolved')
    )
);
CREATE UNIQUE INDEX idx_alerts_one_open ON alerts.risk_alerts (user_id) WHERE NOT resolved;
CREATE UNIQUE INDEX idx_alerts_ordinal ON alerts.risk_alerts (user_id, ordinal);
CREATE INDEX idx_alerts_user ON alerts.risk_alerts (user_id, created_at DESC);
CREATE INDEX idx_alerts_unresolved ON alerts.risk_alerts (resolved, created_at) WHERE NOT resolved;
CREATE INDEX idx_alerts_critical ON alerts.risk_alerts (risk_level, created_at) WHERE risk_level = 'critical';
CREATE INDEX idx_alerts_counselor ON alerts.risk_alerts (counselor_id, counselor_responded)
    WHERE counselor_id IS NOT NULL;

CREATE TABLE alerts.risk_facts (
    user_id UUID NOT NULL REFERENCES alerts.users (user_id) ON DELETE CASCADE,
    source SMALLINT NOT NULL,
    session_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    revision INTEGER NOT NULL,
    risk_level SMALLINT NOT NULL,
    risk_score DOUBLE PRECISION NOT NULL,
    risk_factors TEXT[] NOT NULL,
    capture_time TIMESTAMPTZ NOT NULL,
    receive_time TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, source, session_id, chunk_id, revision)
);
CREATE INDEX idx_risk_facts_since ON alerts.risk_facts (user_id, receive_time);

CREATE TABLE alerts.alert_events (
    event_id UUID PRIMARY KEY,
    alert_id UUID NOT NULL REFERENCES alerts.risk_alerts (alert_id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES alerts.users (user_id) ON DELETE CASCADE,
    kind VARCHAR(32) NOT NULL,
    risk_level VARCHAR(20) NOT NULL,
    risk_score DOUBLE PRECISION NOT NULL,
    source VARCHAR(16) NOT NULL,
    session_id UUID,
    chunk_id UUID,
    counselor_id UUID,
    counselor_anonymous_id VARCHAR(64),
    request_id UUID,
    event_time TIMESTAMPTZ NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_alert_events_alert ON alerts.alert_events (alert_id, event_time, event_id);
CREATE INDEX idx_alert_events_user ON alerts.alert_events (user_id);
CREATE UNIQUE INDEX idx_alert_events_request ON alerts.alert_events (alert_id, request_id)
    WHERE request_id IS NOT NULL;

CREATE TABLE alerts.notifications (
    notification_id UUID PRIMARY KEY,
    alert_id UUID NOT NULL REFERENCES alerts.risk_alerts (alert_id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES alerts.users (user_id) ON DELETE CASCADE,
    channel VARCHAR(16) NOT NULL,
    risk_level VARCHAR(20) NOT NULL,
    state VARCHAR(16) NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_time TIMESTAMPTZ,
    delivered_time TIMESTAMPTZ,
    last_failure VARCHAR(64),
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT valid_notification_state CHECK (state IN ('pending', 'delivered', 'failed'))
);
CREATE INDEX idx_notifications_due ON alerts.notifications (next_attempt_time) WHERE state = 'pending';
CREATE INDEX idx_notifications_alert ON alerts.notifications (alert_id);
CREATE INDEX idx_notifications_user ON alerts.notifications (user_id);
"""

NAMES = ("notifications", "alert_events", "risk_facts", "risk_alerts")


def upgrade() -> None:
    shared_ddl.create_people_tables(op, SCHEMA)
    shared_ddl.create_audit_tables(op, SCHEMA)
    shared_ddl.create_feed_tables(op, SCHEMA)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for name in NAMES:
        op.execute(f"DROP TABLE {SCHEMA}.{name}")
    shared_ddl.drop_feed_tables(op, SCHEMA)
    shared_ddl.drop_audit_tables(op, SCHEMA)
    shared_ddl.drop_people_tables(op, SCHEMA)
