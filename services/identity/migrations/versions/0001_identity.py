"""People, their roles, keys and care."""

from alembic import op

from libs.common.db import shared_ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "identity"

TABLES = """
CREATE TABLE identity.roles (
    id BIGSERIAL PRIMARY KEY,
    name VARCHAR(32) UNIQUE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
INSERT INTO identity.roles (name) VALUES ('user'), ('counselor'), ('admin'), ('service'), ('device');

CREATE TABLE identity.users (
    user_id UUID PRIMARY KEY,
    anonymous_id VARCHAR(64) UNIQUE NOT NULL,
    email BYTEA NOT NULL,
    email_hash VARCHAR(256) UNIQUE,
    phone_hash VARCHAR(256),
    password_hash VARCHAR(255) NOT NULL,
    full_name BYTEA NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT true,
    account_status VARCHAR(20) DEFAULT 'active',
    data_retention_days INTEGER DEFAULT 90,
    consent_research BOOLEAN DEFAULT false,
    consent_emergency_contact BOOLEAN DEFAULT false,
    timezone VARCHAR(50) DEFAULT 'Africa/Nairobi',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_active TIMESTAMPTZ DEFAULT now(),
    CONSTRAINT valid_status CHECK (account_status IN ('active', 'suspended', 'deleted'))
);
CREATE INDEX idx_users_anonymous ON identity.users (anonymous_id);
CREATE INDEX idx_users_last_active ON identity.users (last_active);
CREATE INDEX idx_users_created_at ON identity.users (created_at);
CREATE INDEX idx_users_status ON identity.users (account_status) WHERE account_status != 'deleted';

CREATE TABLE identity.user_roles (
    user_id UUID NOT NULL REFERENCES identity.users (user_id) ON DELETE CASCADE,
    role_id BIGINT NOT NULL REFERENCES identity.roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);

CREATE TABLE identity.login_sessions (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES identity.users (user_id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_login_sessions_user_id ON identity.login_sessions (user_id);
CREATE INDEX idx_login_sessions_expires_at ON identity.login_sessions (expires_at);

CREATE TABLE identity.login_attempts (
    email_hash VARCHAR(256) PRIMARY KEY,
    full_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_login_attempts_full_at ON identity.login_attempts (full_at);

CREATE TABLE identity.api_keys (
    id UUID PRIMARY KEY,
    user_id UUID REFERENCES identity.users (user_id) ON DELETE CASCADE,
    kind VARCHAR(16) NOT NULL,
    device_id UUID UNIQUE,
    service VARCHAR(32),
    key_hash VARCHAR(255) UNIQUE NOT NULL,
    key_prefix VARCHAR(10),
    name VARCHAR(100),
    description TEXT,
    scopes TEXT[],
    active BOOLEAN DEFAULT true,
    last_used_at TIMESTAMPTZ,
    request_count BIGINT DEFAULT 0,
    created_at TIMESTAMPTZ DEFAULT now(),
    expires_at TIMESTAMPTZ,
    CONSTRAINT key_has_one_holder CHECK (
        (kind = 'device' AND user_id IS NOT NULL AND device_id IS NOT NULL AND service IS NULL)
        OR (kind = 'service' AND user_id IS NULL AND device_id IS NULL AND service IS NOT NULL)
    )
);
CREATE INDEX idx_api_keys_user_id ON identity.api_keys (user_id);
CREATE INDEX idx_api_keys_active ON identity.api_keys (active) WHERE active = true;

CREATE TABLE identity.encryption_keys (
    user_id UUID PRIMARY KEY REFERENCES identity.users (user_id) ON DELETE CASCADE,
    key_id UUID UNIQUE NOT NULL,
    public_key TEXT NOT NULL,
    private_key_encrypted TEXT NOT NULL,
    salt VARCHAR(64) NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now(),
    rotated_at TIMESTAMPTZ
);

CREATE TABLE identity.care_assignments (
    id UUID PRIMARY KEY,
    counselor_id UUID NOT NULL REFERENCES identity.users (user_id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES identity.users (user_id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX idx_care_assignments_standing ON identity.care_assignments (counselor_id, user_id)
    WHERE ended_at IS NULL;
CREATE INDEX idx_care_assignments_user_id ON identity.care_assignments (user_id);

CREATE TABLE identity.signing_keys (
    key_id UUID PRIMARY KEY,
    public_key BYTEA NOT NULL,
    private_key_encrypted BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE identity.request_ids (
    caller_id UUID NOT NULL REFERENCES identity.users (user_id) ON DELETE CASCADE,
    request_id UUID NOT NULL,
    user_id UUID NOT NULL REFERENCES identity.users (user_id) ON DELETE CASCADE,
    content_digest BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (caller_id, request_id)
);
CREATE INDEX idx_request_ids_user_id ON identity.request_ids (user_id);
"""

# Those that refer to others first.
NAMES = (
    "request_ids",
    "signing_keys",
    "care_assignments",
    "encryption_keys",
    "api_keys",
    "login_attempts",
    "login_sessions",
    "user_roles",
    "users",
    "roles",
)


def upgrade() -> None:
    for statement in TABLES.strip().split(";\n"):
        op.execute(statement)
    shared_ddl.create_audit_tables(op, SCHEMA)
    shared_ddl.create_feed_tables(op, SCHEMA)


def downgrade() -> None:
    shared_ddl.drop_feed_tables(op, SCHEMA)
    shared_ddl.drop_audit_tables(op, SCHEMA)
    for table in NAMES:
        op.execute(f"DROP TABLE {SCHEMA}.{table}")
