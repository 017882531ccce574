"""What of the tables has to be the same in two runs over the same batches."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from tests.e2e.checker import Rows


@dataclass(frozen=True)
class Compared:
    """`key` tells rows apart; `ignored` are columns besides create_time."""

    key: tuple[str, ...]
    ignored: tuple[str, ...] = ()


CHUNK = ("session_id", "chunk_id")
# What the server's clock says of inputs. Nothing that is derived holds it.
RECEIVED = ("receive_time",)

COMPARED: Mapping[str, Compared] = {
    "ingest.sessions": Compared(("id",), ("receive_time", "end_receive_time", "created_at", "updated_at")),
    "ingest.vision_predictions": Compared(CHUNK, ("receive_time", "created_at")),
    "ingest.audio_predictions": Compared(CHUNK, ("receive_time", "created_at")),
    "ingest.text_predictions": Compared(CHUNK, ("receive_time", "created_at")),
    "fusion.chunk_inputs": Compared((*CHUNK, "batch_number"), RECEIVED),
    "fusion.fusion_results": Compared(CHUNK),
    "fusion.session_states": Compared(("session_id",)),
    "fusion.session_ends": Compared(("session_id",), RECEIVED),
    "fusion.dissonance_records": Compared(CHUNK),
    "fusion.llm_explanations": Compared(CHUNK),
    "patterns.session_inputs": Compared(("session_id",), ("told_receive_time",)),
    "patterns.ingested_batches": Compared(("session_id", "batch_number")),
    "patterns.chunk_features": Compared((*CHUNK, "ordinal")),
    "patterns.chunk_results": Compared(CHUNK),
    "patterns.session_features": Compared(("session_id",)),
    "patterns.user_baselines": Compared(("user_id", "baseline_type")),
    "patterns.session_deviations": Compared(("session_id", "deviation_type")),
    "patterns.risk_assessments": Compared(("session_id",)),
    "patterns.user_patterns": Compared(("user_id", "version")),
    "patterns.interface_configs": Compared(("user_id", "number")),
    "patterns.interface_changes": Compared(("change_id",)),
}
ALERTS = "alerts.risk_alerts"
KEYS: Mapping[str, tuple[str, ...]] = {
    **{table: compared.key for table, compared in COMPARED.items()},
    ALERTS: ("user_id", "ordinal"),
}

# Tables that aren't compared, and why.
IGNORED: Mapping[str, str] = {
    "audit_logs": "who did what at which moment of this run",
    "audit_head": "as audit_logs",
    "audit_salts": "random",
    "users": "the same snapshot",
    "care_assignments": "the same snapshot",
    "outbox": "groups differ; what followers made of it is compared",
    "feed_head": "a position",
    "feed_identity": "the same snapshot",
    "feed_followers": "a position",
    "feed_cursors": "a position",
    "parked_events": "empty, as is checked when a run has settled",
    "fusion.model_versions": "of the build, not of a person",
    "fusion.model_switches": "what people decided; nobody does here",
    "fusion.model_head": "holds a server time alone",
    "fusion.explanation_wordings": "a language model's, which no suite here asks",
    "patterns.waiting_fused": "empty, as is checked when a run has settled",
    "alerts.alert_events": "compared as the events of their alert",
    "alerts.risk_facts": "groups decide which of the facts that change nothing are kept",
    "alerts.notifications": "holds server times alone",
    **dict.fromkeys(
        (
            "ingest.analysis_records",
            "ingest.video_sessions",
            "ingest.video_analysis_events",
            "ingest.voice_sessions",
        ),
        "recorded by calls of their own, which no device here makes",
    ),
    "ingest.modality_heartbeats": "no device here sends any",
    "ingest.modality_silences": "as modality_heartbeats",
    "fusion.modality_silences": "as modality_heartbeats",
    "fusion.case_outcomes": "no counselor closes a case here",
    "ingest.session_senders": "when each was heard last, by the server's clock",
    "ingest.sender_clocks": "what the server's clock says of the device's",
    "ingest.sealing_keys": "the same snapshot",
    "ingest.research_consents": "the same snapshot",
}

_TABLE = """
SELECT to_jsonb(t) - $2::text[] FROM {table} AS t
WHERE user_id IN (SELECT user_id FROM identity.users WHERE anonymous_id = ANY($1))
"""
# The person, the opening cause, the highest level and the sequence of events.
_ALERTS = """
SELECT to_jsonb(a) FROM (
    SELECT user_id, ordinal, session_id, capture_time, delayed, risk_level, risk_score, risk_factors, state, (
        SELECT array_agg(concat_ws(' ', kind, risk_level, source, session_id, chunk_id)
                         ORDER BY event_time, chunk_id, source, kind)
        FROM alerts.alert_events WHERE alert_id = alert.alert_id
    ) AS events
    FROM alerts.risk_alerts AS alert
    WHERE user_id IN (SELECT user_id FROM identity.users WHERE anonymous_id = ANY($1))
) AS a
"""


async def read_rows(dsn: str, people: Collection[str]) -> Rows:
    """What the slices keep of these people, by anonymous id."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)
        found: dict[str, list[dict[str, Any]]] = {}
        for table, compared in COMPARED.items():
            ignored = ["create_time", *compared.ignored]
            records = await connection.fetch(_TABLE.format(table=table), list(people), ignored)
            found[table] = [record[0] for record in records]
        found[ALERTS] = [record[0] for record in await connection.fetch(_ALERTS, list(people))]
        return found
    finally:
        await connection.close()


def only_sessions(rows: Rows, session_ids: Collection[str]) -> Rows:
    """Of tables whose rows belong to a session."""
    return {table: [row for row in found if row.get("session_id") in session_ids] for table, found in rows.items()}


async def tables_in(dsn: str) -> set[str]:
    """Every table of ingest, fusion, patterns and alerts, without partitions."""
    connection = await asyncpg.connect(dsn)
    try:
        records = await connection.fetch(
            "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> 'alembic_version'"
            " AND relnamespace::regnamespace::text IN ('ingest', 'fusion', 'patterns', 'alerts')"
        )
        return {record[0] for record in records}
    finally:
        await connection.close()
