"""Analyses, video sessions with their events, voice sessions."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ANALYSIS_RECORDS = """
CREATE TABLE ingest.analysis_records (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    input_text BYTEA NOT NULL,
    input_text_state VARCHAR(16) NOT NULL,
    source VARCHAR(32) NOT NULL,
    predicted_label VARCHAR(16) NOT NULL,
    confidence NUMERIC(5, 4) NOT NULL,
    model_version VARCHAR(64) NOT NULL,
    ai_processing_ms INTEGER NOT NULL,
    submitted_at TIMESTAMPTZ NOT NULL,
    analyzed_at TIMESTAMPTZ NOT NULL,
    request_id UUID NOT NULL UNIQUE,
    receive_time TIMESTAMPTZ NOT NULL,
    content_digest BYTEA NOT NULL,
    CONSTRAINT valid_confidence CHECK (confidence >= 0 AND confidence <= 1),
    CONSTRAINT valid_processing_time CHECK (ai_processing_ms >= 0),
    CONSTRAINT valid_state CHECK (input_text_state IN ('sealed', 'not_kept', 'no_key'))
);
CREATE INDEX idx_analysis_records_user_id ON ingest.analysis_records (user_id, analyzed_at DESC);
CREATE INDEX idx_analysis_records_predicted_label ON ingest.analysis_records (predicted_label, analyzed_at);
CREATE INDEX idx_analysis_records_analyzed_at ON ingest.analysis_records (analyzed_at)
"""

VIDEO = """
CREATE TABLE ingest.video_sessions (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    stream_session_id VARCHAR(128) NOT NULL UNIQUE,
    session_type VARCHAR(32) NOT NULL,
    client_platform VARCHAR(32) NOT NULL,
    status VARCHAR(16) NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT valid_type CHECK (session_type IN ('monitoring', 'check_in', 'counseling')),
    CONSTRAINT valid_platform CHECK (client_platform IN ('android', 'ios', 'web', 'desktop', 'kiosk')),
    CONSTRAINT valid_status CHECK (status IN ('ACTIVE', 'ENDED', 'FAILED'))
);
CREATE INDEX idx_video_sessions_user_id ON ingest.video_sessions (user_id, started_at DESC);
CREATE INDEX idx_video_sessions_status ON ingest.video_sessions (status, started_at);
CREATE TABLE ingest.video_analysis_events (
    id UUID PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES ingest.video_sessions (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    event_at TIMESTAMPTZ NOT NULL,
    risk_level VARCHAR(16) NOT NULL,
    confidence NUMERIC(5, 4) NOT NULL,
    signals JSONB NOT NULL,
    model_version VARCHAR(64) NOT NULL,
    latency_ms INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    content_digest BYTEA NOT NULL,
    CONSTRAINT valid_confidence CHECK (confidence >= 0 AND confidence <= 1),
    CONSTRAINT valid_latency CHECK (latency_ms >= 0),
    CONSTRAINT valid_risk CHECK (risk_level IN ('low', 'medium', 'high', 'critical'))
);
CREATE INDEX idx_video_analysis_events_session_id ON ingest.video_analysis_events (session_id, event_at DESC);
CREATE INDEX idx_video_analysis_events_risk_level ON ingest.video_analysis_events (risk_level, event_at);
CREATE INDEX idx_video_analysis_events_event_at ON ingest.video_analysis_events (event_at);
CREATE INDEX idx_video_analysis_events_user_id ON ingest.video_analysis_events (user_id, event_at DESC)
"""

VOICE_SESSIONS = """
CREATE TABLE ingest.voice_sessions (
    session_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    session_start TIMESTAMPTZ NOT NULL DEFAULT now(),
    session_end TIMESTAMPTZ,
    duration_seconds INTEGER,
    voice_emotion VARCHAR(50),
    emotion_confidence DOUBLE PRECISION,
    voice_features JSONB,
    transcript_encrypted BYTEA,
    transcript_state VARCHAR(16) NOT NULL,
    transcript_language VARCHAR(10),
    processed BOOLEAN DEFAULT false,
    patterns_extracted BOOLEAN DEFAULT false,
    delete_after TIMESTAMPTZ DEFAULT now() + INTERVAL '7 days',
    model_version VARCHAR(64) NOT NULL,
    receive_time TIMESTAMPTZ NOT NULL,
    content_digest BYTEA NOT NULL,
    CONSTRAINT valid_emotion CHECK (voice_emotion IN ('neutral', 'happy', 'sad', 'angry', 'fear', 'surprise', 'disgust',
                                                      'hopeless', 'resigned', 'numb')),
    CONSTRAINT valid_state CHECK (transcript_state IN ('sealed', 'not_kept', 'no_key'))
);
CREATE INDEX idx_voice_sessions_user_id ON ingest.voice_sessions (user_id, session_start DESC);
CREATE INDEX idx_voice_sessions_waiting ON ingest.voice_sessions (delete_after) WHERE NOT processed;
CREATE INDEX idx_voice_sessions_processed ON ingest.voice_sessions (processed, patterns_extracted);
CREATE INDEX idx_voice_sessions_extracted ON ingest.voice_sessions (delete_after) WHERE patterns_extracted = true
"""


def upgrade() -> None:
    for script in (ANALYSIS_RECORDS, VIDEO, VOICE_SESSIONS):
        for statement in script.split(";\n"):
            op.execute(statement)


def downgrade() -> None:
    for table in ("voice_sessions", "video_analysis_events", "video_sessions", "analysis_records"):
        op.execute(f"DROP TABLE ingest.{table}")
