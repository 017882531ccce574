"""What of the documents isn't built yet, and nothing else: docs/schema-pending.txt lists it item by item."""

LATER_TABLES = frozenset(
    {
        # patterns
        "voice_baselines",
        "pattern_history",
        "user_interfaces",
        "interface_evolution_log",
        # identity
        "ep_profiles",
        "user_preferences",
        # journal
        "journaling_sessions",
        "session_state_transitions",
        "safety_screening_logs",
        "journaling_artifacts",
        "journaling_embeddings",
        "journaling_themes",
        "sentiment_analysis",
        "technique_templates",
        "xr_scene_templates",
        "tts_cache",
        "user_progress",
        "session_feedback",
        "background_jobs",
    }
)

# Of tables that are there already.
LATER_ITEMS = frozenset(
    {
        "003 users.email_verified",
        "003 users.auth_provider",
        "003 users.display_name",
        "003 users.avatar_url",
        "003 users.locale",
        "003 users.subscription_tier",
        "003 users.last_login_at",
        "003 users.deleted_at",
        "003 users.metadata",
        "003 audit_logs.api_key_id",
        "003 audit_logs.ip_address",
        "003 audit_logs.user_agent",
        "003 audit_logs INDEX (action)",
        "003 audit_logs INDEX (entity_type, entity_id)",
    }
)


def is_later(seed: str, table: str, item: str) -> bool:
    return table in LATER_TABLES or f"{seed} {item}" in LATER_ITEMS
