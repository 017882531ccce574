"""The tables of identity's slice. Names, types and nullability are the seeds'; sealed columns are BYTEA."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
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

SCHEMA = "identity"
METADATA = MetaData(schema=SCHEMA)
audit.add_to(METADATA)
feed_tables.add_to(METADATA)


def _moment(name: str, *, nullable: bool = True, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def _person(name: str = "user_id", *, primary_key: bool = False, nullable: bool = False) -> Column[object]:
    return Column(
        name,
        Uuid,
        ForeignKey(f"{SCHEMA}.users.user_id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=nullable,
    )


ROLES = Table(
    "roles",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("name", String(32), nullable=False, unique=True),
    _moment("created_at", nullable=False, now=True),
)

USERS = Table(
    "users",
    METADATA,
    Column("user_id", Uuid, primary_key=True),
    Column("anonymous_id", String(64), nullable=False, unique=True),
    Column("email", LargeBinary, nullable=False),
    Column("email_hash", String(256), unique=True),
    Column("phone_hash", String(256)),
    Column("password_hash", String(255), nullable=False),
    Column("full_name", LargeBinary, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("account_status", String(20), server_default="active"),
    Column("data_retention_days", Integer, server_default=text("90")),
    Column("consent_research", Boolean, server_default=text("false")),
    Column("consent_emergency_contact", Boolean, server_default=text("false")),
    Column("timezone", String(50), server_default="Africa/Nairobi"),
    _moment("created_at", nullable=False, now=True),
    _moment("updated_at", nullable=False, now=True),
    _moment("last_active", now=True),
    CheckConstraint("account_status IN ('active', 'suspended', 'deleted')", name="valid_status"),
    Index("idx_users_anonymous", "anonymous_id"),
    Index("idx_users_last_active", "last_active"),
    Index("idx_users_created_at", "created_at"),
    Index("idx_users_status", "account_status", postgresql_where=text("account_status != 'deleted'")),
)

USER_ROLES = Table(
    "user_roles",
    METADATA,
    _person(primary_key=True),
    Column("role_id", BigInteger, ForeignKey(f"{SCHEMA}.roles.id", ondelete="CASCADE"), primary_key=True),
)

LOGIN_SESSIONS = Table(
    "login_sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    _person(),
    _moment("created_at", nullable=False, now=True),
    _moment("expires_at", nullable=False),
    Index("idx_login_sessions_user_id", "user_id"),
    Index("idx_login_sessions_expires_at", "expires_at"),
)

LOGIN_ATTEMPTS = Table(
    "login_attempts",
    METADATA,
    Column("email_hash", String(256), primary_key=True),
    _moment("full_at", nullable=False),
    Index("idx_login_attempts_full_at", "full_at"),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Uuid, primary_key=True),
    _person(nullable=True),
    Column("kind", String(16), nullable=False),
    Column("device_id", Uuid, unique=True),
    Column("service", String(32)),
    Column("key_hash", String(255), nullable=False, unique=True),
    Column("key_prefix", String(10)),
    Column("name", String(100)),
    Column("description", Text),
    Column("scopes", ARRAY(Text)),
    Column("active", Boolean, server_default=text("true")),
    _moment("last_used_at"),
    Column("request_count", BigInteger, server_default=text("0")),
    _moment("created_at", now=True),
    _moment("expires_at"),
    CheckConstraint(
        "(kind = 'device' AND user_id IS NOT NULL AND device_id IS NOT NULL AND service IS NULL)"
        " OR (kind = 'service' AND user_id IS NULL AND device_id IS NULL AND service IS NOT NULL)",
        name="key_has_one_holder",
    ),
    Index("idx_api_keys_user_id", "user_id"),
    Index("idx_api_keys_active", "active", postgresql_where=text("active = true")),
)

ENCRYPTION_KEYS = Table(
    "encryption_keys",
    METADATA,
    _person(primary_key=True),
    Column("key_id", Uuid, nullable=False, unique=True),
    Column("public_key", Text, nullable=False),
    Column("private_key_encrypted", Text, nullable=False),
    Column("salt", String(64), nullable=False),
    _moment("created_at", now=True),
    _moment("rotated_at"),
)

CARE_ASSIGNMENTS = Table(
    "care_assignments",
    METADATA,
    Column("id", Uuid, primary_key=True),
    _person("counselor_id"),
    _person("user_id"),
    _moment("created_at", nullable=False, now=True),
    _moment("ended_at"),
    # At most one that stands; those that ended say who had whose consent, and when.
    Index(
        "idx_care_assignments_standing",
        "counselor_id",
        "user_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("idx_care_assignments_user_id", "user_id"),
)

RESEARCH_CONSENTS = Table(
    "research_consents",
    METADATA,
    Column("id", Uuid, primary_key=True),
    _person(),
    _moment("granted_at", nullable=False),
    _moment("withdrawn_at"),
    # At most one that stands; users.consent_research says whether one does.
    Index("idx_research_consents_standing", "user_id", unique=True, postgresql_where=text("withdrawn_at IS NULL")),
    Index("idx_research_consents_user_id", "user_id"),
)

SIGNING_KEYS = Table(
    "signing_keys",
    METADATA,
    Column("key_id", Uuid, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("private_key_encrypted", LargeBinary, nullable=False),
    _moment("created_at", nullable=False, now=True),
)

REQUEST_IDS = Table(
    "request_ids",
    METADATA,
    _person("caller_id"),
    Column("request_id", Uuid, nullable=False),
    _person("user_id"),
    Column("content_digest", LargeBinary, nullable=False),
    _moment("created_at", nullable=False, now=True),
    PrimaryKeyConstraint("caller_id", "request_id"),
    Index("idx_request_ids_user_id", "user_id"),
)
