"""The tables of alerts' slice. Names, types and nullability are the seeds'; what counselors write is BYTEA."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from libs.common.db import audit
from libs.common.feed import tables as feed_tables
from libs.common.people import tables as people_tables

SCHEMA = "alerts"
METADATA = MetaData(schema=SCHEMA)

people_tables.add_to(METADATA)
audit.add_to(METADATA)
feed_tables.add_to(METADATA)


def _moment(name: str, *, nullable: bool = True, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def _person() -> Column[object]:
    return Column("user_id", Uuid, ForeignKey(f"{SCHEMA}.users.user_id", ondelete="CASCADE"), nullable=False)


def _alert() -> Column[object]:
    return Column("alert_id", Uuid, ForeignKey(f"{SCHEMA}.risk_alerts.alert_id", ondelete="CASCADE"), nullable=False)


RISK_ALERTS = Table(
    "risk_alerts",
    METADATA,
    Column("alert_id", Uuid, primary_key=True),
    _person(),
    Column("pattern_id", Uuid),
    Column("risk_level", String(20), nullable=False),
    Column("risk_score", Double, nullable=False),
    Column("risk_factors", ARRAY(Text), nullable=False),
    Column("risk_interpretation", Text, nullable=False),
    _moment("created_at", now=True),
    Column("state", String(16), nullable=False, server_default="triggered"),
    Column("alert_sent", Boolean, Computed("state <> 'triggered'", persisted=True)),
    _moment("alert_sent_at"),
    Column("counselor_id", Uuid),
    Column("counselor_anonymous_id", String(64)),
    Column("counselor_notified", Boolean, Computed("state <> 'triggered'", persisted=True)),
    Column("counselor_responded", Boolean, Computed("state IN ('responded', 'resolved')", persisted=True)),
    Column("counselor_response", LargeBinary),
    _moment("counselor_response_at"),
    Column("resolved", Boolean, Computed("state = 'resolved'", persisted=True)),
    _moment("resolved_at"),
    Column("resolution_notes", LargeBinary),
    Column("resolution_reason", String(32)),
    Column("noise_reason", String(32)),
    # Of a resolved alert: the sessions in which fusion alarmed while it was open, and whether patterns did.
    Column("fusion_session_ids", ARRAY(Uuid)),
    Column("patterns_alarmed", Boolean),
    # The person's first alert is 1.
    Column("ordinal", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("session_id", Uuid, nullable=False),
    _moment("capture_time", nullable=False),
    Column("delayed", Boolean, nullable=False),
    _moment("create_time", nullable=False, now=True),
    CheckConstraint("risk_level IN ('high', 'critical')", name="valid_risk"),
    CheckConstraint("risk_score >= 0 AND risk_score <= 1", name="risk_score_range"),
    CheckConstraint(
        "state IN ('triggered', 'notified', 'acknowledged', 'responded', 'resolved')", name="valid_alert_state"
    ),
    Index("idx_alerts_one_open", "user_id", unique=True, postgresql_where=text("NOT resolved")),
    Index("idx_alerts_ordinal", "user_id", "ordinal", unique=True),
    Index("idx_alerts_user", "user_id", text("created_at DESC")),
    Index("idx_alerts_unresolved", "resolved", "created_at", postgresql_where=text("NOT resolved")),
    Index("idx_alerts_critical", "risk_level", "created_at", postgresql_where=text("risk_level = 'critical'")),
    Index(
        "idx_alerts_counselor",
        "counselor_id",
        "counselor_responded",
        postgresql_where=text("counselor_id IS NOT NULL"),
    ),
)

# What fusion and patterns said. Alerts and their risk events are derived from these rows.
RISK_FACTS = Table(
    "risk_facts",
    METADATA,
    _person(),
    Column("source", SmallInteger, nullable=False),
    Column("session_id", Uuid, nullable=False),
    Column("chunk_id", Uuid, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("risk_level", SmallInteger, nullable=False),
    Column("risk_score", Double, nullable=False),
    Column("risk_factors", ARRAY(Text), nullable=False),
    _moment("capture_time", nullable=False),
    _moment("receive_time", nullable=False),
    PrimaryKeyConstraint("user_id", "source", "session_id", "chunk_id", "revision"),
    Index("idx_risk_facts_since", "user_id", "receive_time"),
)

ALERT_EVENTS = Table(
    "alert_events",
    METADATA,
    Column("event_id", Uuid, primary_key=True),
    _alert(),
    _person(),
    Column("kind", String(32), nullable=False),
    Column("risk_level", String(20), nullable=False),
    Column("risk_score", Double, nullable=False),
    Column("source", String(16), nullable=False),
    Column("session_id", Uuid),
    Column("chunk_id", Uuid),
    Column("counselor_id", Uuid),
    Column("counselor_anonymous_id", String(64)),
    # Makes a counselor's repeated call safe.
    Column("request_id", Uuid),
    _moment("event_time", nullable=False),
    _moment("create_time", nullable=False, now=True),
    Index("idx_alert_events_alert", "alert_id", "event_time", "event_id"),
    Index("idx_alert_events_user", "user_id"),
    Index(
        "idx_alert_events_request",
        "alert_id",
        "request_id",
        unique=True,
        postgresql_where=text("request_id IS NOT NULL"),
    ),
)

NOTIFICATIONS = Table(
    "notifications",
    METADATA,
    Column("notification_id", Uuid, primary_key=True),
    _alert(),
    _person(),
    Column("channel", String(16), nullable=False),
    Column("risk_level", String(20), nullable=False),
    Column("state", String(16), nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _moment("next_attempt_time"),
    _moment("delivered_time"),
    Column("last_failure", String(64)),
    _moment("create_time", nullable=False, now=True),
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="valid_notification_state"),
    Index("idx_notifications_due", "next_attempt_time", postgresql_where=text("state = 'pending'")),
    Index("idx_notifications_alert", "alert_id"),
    Index("idx_notifications_user", "user_id"),
)
