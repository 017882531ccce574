"""Facts of the feeds, baselines, assessments, patterns and interfaces."""

from alembic import op

from libs.common.db import partitions, shared_ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "patterns"

TABLES = """
CREATE TABLE patterns.session_inputs (
    session_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    batches INTEGER NOT NULL,
    end_ordinal INTEGER,
    told_receive_time TIMESTAMPTZ
);

CREATE TABLE patterns.ingested_batches (
    session_id UUID NOT NULL,
    batch_number BIGINT NOT NULL,
    ordinal INTEGER NOT NULL,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    PRIMARY KEY (session_id, batch_number)
) PARTITION BY RANGE (session_id);

CREATE TABLE patterns.chunk_features (
    session_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    ordinal INTEGER NOT NULL,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    pitch_mean REAL,
    pitch_std REAL,
    pitch_range REAL,
    energy_mean REAL,
    energy_std REAL,
    speech_rate REAL,
    pause_ratio REAL,
    prosody_variance REAL,
    valence DOUBLE PRECISION,
    first_person REAL,
    negation REAL,
    absolutes REAL,
    language VARCHAR(20),
    code_switching BOOLEAN,
    deflections VARCHAR(50)[],
    topics VARCHAR(50)[],
    coping VARCHAR(50)[],
    PRIMARY KEY (session_id, chunk_id, ordinal)
) PARTITION BY RANGE (session_id);

CREATE TABLE patterns.chunk_results (
    session_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    capture_end_time TIMESTAMPTZ NOT NULL,
    level VARCHAR(16) NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    session_score DOUBLE PRECISION NOT NULL,
    critical_cue BOOLEAN NOT NULL,
    dissonance VARCHAR(16) NOT NULL,
    dissonance_score DOUBLE PRECISION NOT NULL,
    emotions JSONB NOT NULL,
    PRIMARY KEY (session_id, chunk_id)
) PARTITION BY RANGE (session_id);

CREATE TABLE patterns.waiting_fused (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    event BYTEA NOT NULL
);
CREATE INDEX idx_waiting_fused_user_id ON patterns.waiting_fused (user_id, sequence);

CREATE TABLE patterns.session_features (
    session_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    newest_capture_time TIMESTAMPTZ NOT NULL,
    newest_chunk_id UUID NOT NULL,
    level VARCHAR(16) NOT NULL,
    critical_cue BOOLEAN NOT NULL,
    current_score DOUBLE PRECISION NOT NULL,
    facts_ordinal INTEGER NOT NULL,
    results_seen INTEGER NOT NULL,
    next_summary_at INTEGER NOT NULL,
    end_time TIMESTAMPTZ,
    chunks INTEGER NOT NULL,
    highest_level VARCHAR(16) NOT NULL,
    judged_chunks INTEGER NOT NULL,
    masking_chunks INTEGER NOT NULL,
    masking_strength DOUBLE PRECISION NOT NULL,
    pitch_mean DOUBLE PRECISION,
    pitch_std DOUBLE PRECISION,
    pitch_range DOUBLE PRECISION,
    energy_mean DOUBLE PRECISION,
    energy_std DOUBLE PRECISION,
    speech_rate DOUBLE PRECISION,
    pause_ratio DOUBLE PRECISION,
    prosody_variance DOUBLE PRECISION,
    valence DOUBLE PRECISION,
    first_person DOUBLE PRECISION,
    negation DOUBLE PRECISION,
    absolutes DOUBLE PRECISION,
    session_score DOUBLE PRECISION,
    emotions JSONB NOT NULL,
    cues JSONB NOT NULL
);
CREATE INDEX idx_session_features_user_id ON patterns.session_features (user_id, session_id DESC);

CREATE TABLE patterns.user_baselines (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    baseline_type VARCHAR(50) NOT NULL,
    baseline_value JSONB NOT NULL,
    session_count INTEGER DEFAULT 0,
    established_at TIMESTAMPTZ DEFAULT now(),
    updated_at TIMESTAMPTZ DEFAULT now(),
    UNIQUE (user_id, baseline_type)
);
CREATE INDEX idx_user_baselines_type ON patterns.user_baselines (baseline_type);
CREATE INDEX idx_user_baselines_user_id ON patterns.user_baselines (user_id);

CREATE TABLE patterns.session_deviations (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    session_id UUID NOT NULL,
    deviation_type VARCHAR(50) NOT NULL,
    baseline_value JSONB,
    current_value JSONB,
    deviation_score DOUBLE PRECISION NOT NULL,
    detected_at TIMESTAMPTZ DEFAULT now()
);
CREATE INDEX idx_session_deviations_score ON patterns.session_deviations (deviation_score);
CREATE INDEX idx_session_deviations_session_id ON patterns.session_deviations (session_id);
CREATE INDEX idx_session_deviations_user_id ON patterns.session_deviations (user_id);

CREATE TABLE patterns.risk_assessments (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    session_id UUID NOT NULL,
    revision INTEGER NOT NULL,
    chunk_id UUID NOT NULL,
    risk_score DOUBLE PRECISION NOT NULL,
    risk_level VARCHAR(20) NOT NULL,
    highest_level VARCHAR(20) NOT NULL,
    risk_factors JSONB,
    fusion_contribution DOUBLE PRECISION NOT NULL,
    dissonance_contribution DOUBLE PRECISION,
    baseline_deviation_contribution DOUBLE PRECISION,
    pattern_contribution DOUBLE PRECISION,
    logit DOUBLE PRECISION NOT NULL,
    warming_up BOOLEAN NOT NULL,
    baseline_sessions INTEGER NOT NULL,
    method_version VARCHAR(50) NOT NULL,
    assessed_at TIMESTAMPTZ DEFAULT now(),
    action_taken VARCHAR(100),
    UNIQUE (session_id)
);
CREATE INDEX idx_risk_assessments_level ON patterns.risk_assessments (risk_level);
CREATE INDEX idx_risk_assessments_score ON patterns.risk_assessments (risk_score);
CREATE INDEX idx_risk_assessments_user_id ON patterns.risk_assessments (user_id);
CREATE INDEX idx_risk_assessments_user_session ON patterns.risk_assessments (user_id, session_id DESC);

CREATE TABLE patterns.user_patterns (
    pattern_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    version INTEGER NOT NULL DEFAULT 1,
    generated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    sessions_analyzed INTEGER NOT NULL,
    data_confidence DOUBLE PRECISION NOT NULL,
    primary_emotions VARCHAR(50)[],
    emotion_distribution JSONB,
    temporal_patterns JSONB,
    trajectory VARCHAR(20),
    trajectory_confidence DOUBLE PRECISION,
    variability_score DOUBLE PRECISION,
    recent_shift VARCHAR(200),
    primary_language VARCHAR(20),
    code_switching BOOLEAN,
    code_switching_pattern TEXT,
    deflection_phrases VARCHAR(50)[],
    deflection_frequency DOUBLE PRECISION,
    stoicism_level VARCHAR(20),
    cultural_stressors VARCHAR(50)[],
    communication_style VARCHAR(50),
    triggers JSONB,
    trigger_count INTEGER,
    most_severe_trigger VARCHAR(50),
    trigger_combinations JSONB,
    effective_strategies JSONB,
    ineffective_strategies JSONB,
    untried_suggestions VARCHAR(50)[],
    coping_consistency DOUBLE PRECISION,
    primary_coping_style VARCHAR(50),
    current_dissonance JSONB,
    current_risk_level VARCHAR(20),
    current_risk_score DOUBLE PRECISION,
    current_risk_factors TEXT[],
    primary_concerns VARCHAR(50)[],
    current_state VARCHAR(20),
    support_needs VARCHAR(50)[],
    identified_strengths TEXT[],
    identified_challenges TEXT[],
    is_current BOOLEAN DEFAULT true,
    CONSTRAINT valid_trajectory CHECK (
        trajectory IN ('improving', 'declining', 'stable', 'volatile', 'insufficient_data')
    ),
    CONSTRAINT valid_risk CHECK (current_risk_level IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT valid_state CHECK (current_state IN ('crisis', 'struggling', 'managing', 'stable', 'improving'))
);
CREATE UNIQUE INDEX idx_patterns_current ON patterns.user_patterns (user_id) WHERE is_current = true;
CREATE INDEX idx_patterns_generated ON patterns.user_patterns (generated_at DESC);
CREATE INDEX idx_patterns_overnight_build ON patterns.user_patterns (user_id, is_current) WHERE is_current = true;
CREATE INDEX idx_patterns_risk ON patterns.user_patterns (current_risk_level)
    WHERE current_risk_level IN ('high', 'critical');
CREATE INDEX idx_patterns_user_version ON patterns.user_patterns (user_id, version DESC);
CREATE INDEX idx_risk_monitoring ON patterns.user_patterns (current_risk_level, generated_at DESC)
    WHERE current_risk_level IN ('high', 'critical');

CREATE TABLE patterns.interface_configs (
    config_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    pattern_id UUID NOT NULL REFERENCES patterns.user_patterns (pattern_id),
    number INTEGER NOT NULL,
    version VARCHAR(20) NOT NULL,
    generated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    ui_config_encrypted BYTEA NOT NULL,
    theme VARCHAR(50),
    primary_components VARCHAR(50)[],
    hidden_components VARCHAR(50)[],
    crisis_prominence VARCHAR(20),
    rule_ids VARCHAR(50)[],
    deployed BOOLEAN DEFAULT false,
    deployed_at TIMESTAMPTZ,
    user_rating INTEGER,
    user_feedback TEXT,
    is_current BOOLEAN DEFAULT true,
    CONSTRAINT valid_theme CHECK (theme IN ('anxiety', 'depression', 'crisis', 'stable', 'balanced')),
    CONSTRAINT valid_prominence CHECK (crisis_prominence IN ('hidden', 'sidebar', 'card', 'top', 'modal'))
);
CREATE UNIQUE INDEX idx_configs_current ON patterns.interface_configs (user_id) WHERE is_current = true;
CREATE INDEX idx_configs_deployed ON patterns.interface_configs (deployed, deployed_at);
CREATE INDEX idx_configs_pattern ON patterns.interface_configs (pattern_id);
CREATE UNIQUE INDEX idx_configs_user_number ON patterns.interface_configs (user_id, number);
CREATE INDEX idx_configs_user_version ON patterns.interface_configs (user_id, generated_at DESC);
CREATE INDEX idx_user_login ON patterns.interface_configs (user_id, is_current)
    WHERE is_current = true AND deployed = true;

CREATE TABLE patterns.interface_changes (
    change_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES patterns.users (user_id) ON DELETE CASCADE,
    config_id UUID NOT NULL REFERENCES patterns.interface_configs (config_id),
    change_type VARCHAR(50) NOT NULL,
    component_affected VARCHAR(100),
    reason TEXT NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now(),
    shown_to_user BOOLEAN DEFAULT false,
    user_acknowledged BOOLEAN DEFAULT false,
    user_rating INTEGER,
    user_feedback TEXT,
    CONSTRAINT valid_change_type CHECK (
        change_type IN (
            'risk_escalation', 'risk_de_escalation', 'feature_added', 'feature_hidden',
            'theme_changed', 'language_adapted', 'cultural_adjustment',
            'baseline_established', 'trigger_detected', 'coping_identified'
        )
    )
);
CREATE INDEX idx_changes_config ON patterns.interface_changes (config_id);
CREATE INDEX idx_changes_unshown ON patterns.interface_changes (shown_to_user) WHERE shown_to_user = false;
CREATE INDEX idx_changes_user ON patterns.interface_changes (user_id, created_at DESC);
"""

PARTITIONED = ("ingested_batches", "chunk_features", "chunk_results")
NAMES = (
    "interface_changes",
    "interface_configs",
    "user_patterns",
    "risk_assessments",
    "session_deviations",
    "user_baselines",
    "session_features",
    "waiting_fused",
    "chunk_results",
    "chunk_features",
    "ingested_batches",
    "session_inputs",
)


def upgrade() -> None:
    shared_ddl.create_people_tables(op, SCHEMA)
    shared_ddl.create_audit_tables(op, SCHEMA)
    shared_ddl.create_feed_tables(op, SCHEMA)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    partitions.create_partitioning(op, SCHEMA, PARTITIONED)


def downgrade() -> None:
    partitions.drop_partitioning(op, SCHEMA)
    for name in NAMES:
        op.execute(f"DROP TABLE {SCHEMA}.{name}")
    shared_ddl.drop_feed_tables(op, SCHEMA)
    shared_ddl.drop_audit_tables(op, SCHEMA)
    shared_ddl.drop_people_tables(op, SCHEMA)
