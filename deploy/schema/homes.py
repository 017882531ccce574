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

# The documents call a person's key by two names; in identity one column serves both.
RENAMED: dict[tuple[str, str], str] = {("identity.users", "id"): "user_id"}


def home_of(seed_table: str) -> str:
    """'slice.table' of a seed table; the journaling tables live in a slice of their own."""
    return HOMES.get(seed_table, f"journal.{seed_table}")


def column_in(home: str, column: str) -> str:
    return RENAMED.get((home, column), column)
