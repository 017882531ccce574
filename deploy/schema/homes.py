"""Which slice and table each seed table lives in, and which columns carry another name there."""

SLICES = ("identity", "ingest", "fusion", "patterns", "alerts")

HOMES: dict[str, str] = {
    "roles": "identity.roles",
    "users": "identity.users",
    "user_roles": "identity.user_roles",
    "api_keys": "identity.api_keys",
    "encryption_keys": "identity.encryption_keys",
    "ep_profiles": "identity.ep_profiles",
    "user_preferences": "identity.user_preferences",
    "audit_logs": "identity.audit_logs",
    "sessions": "ingest.sessions",
    "vision_predictions": "ingest.vision_predictions",
    "audio_predictions": "ingest.audio_predictions",
    "text_predictions": "ingest.text_predictions",
    "analysis_records": "ingest.analysis_records",
    "video_sessions": "ingest.video_sessions",
    "video_analysis_events": "ingest.video_analysis_events",
    "voice_sessions": "ingest.voice_sessions",
    "fusion_results": "fusion.fusion_results",
    "llm_explanations": "fusion.llm_explanations",
    "dissonance_records": "fusion.dissonance_records",
    "user_baselines": "patterns.user_baselines",
    "voice_baselines": "patterns.voice_baselines",
    "session_deviations": "patterns.session_deviations",
    "risk_assessments": "patterns.risk_assessments",
    "user_patterns": "patterns.user_patterns",
    "pattern_history": "patterns.pattern_history",
    "interface_configs": "patterns.interface_configs",
    "interface_changes": "patterns.interface_changes",
    "user_interfaces": "patterns.user_interfaces",
    "interface_evolution_log": "patterns.interface_evolution_log",
    "risk_alerts": "alerts.risk_alerts",
}

# The documents call one thing by several names; its column has the name that one of them uses.
RENAMED: dict[tuple[str, str], str] = {
    ("identity.users", "id"): "user_id",
    ("identity.audit_logs", "entity_type"): "resource_type",
    ("identity.audit_logs", "entity_id"): "resource_id",
    ("identity.audit_logs", "changes"): "metadata",
    ("identity.audit_logs", "performed_at"): "created_at",
}

# What is sealed can be found by its keyed hash alone, so keys and indexes are on that.
LOOKED_UP_BY: dict[tuple[str, str], str] = {("identity.users", "email"): "email_hash"}


def home_of(seed_table: str) -> str:
    """'slice.table' of a seed table; the journaling tables live in a slice of their own."""
    return HOMES.get(seed_table, f"journal.{seed_table}")


def slice_of(home: str) -> str:
    return home.partition(".")[0]


def referenced_home(seed_table: str, home: str) -> str:
    """What a reference from the home to the seed table refers to: each slice has people of its own."""
    return f"{slice_of(home)}.users" if seed_table == "users" else home_of(seed_table)


def column_in(home: str, column: str) -> str:
    return RENAMED.get((home, column), column)
