"""The people of a slice: who they are to it, and who cares for them. Identity has richer ones of its own."""

from sqlalchemy import Column, DateTime, ForeignKey, Index, MetaData, PrimaryKeyConstraint, String, Table, Uuid, func


def add_to(metadata: MetaData) -> None:
    """Adds `users` and `care_assignments` to the slice's metadata, in its schema."""
    Table(
        "users",
        metadata,
        Column("user_id", Uuid, primary_key=True),
        Column("anonymous_id", String(64), nullable=False, unique=True),
        # IANA name; unknown until identity's feed has told it.
        Column("timezone", String(50)),
        Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    Table(
        "care_assignments",
        metadata,
        Column("counselor_id", Uuid, nullable=False),
        Column("user_id", Uuid, ForeignKey(f"{metadata.schema}.users.user_id", ondelete="CASCADE"), nullable=False),
        Column("assign_time", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("counselor_id", "user_id"),
        Index("idx_care_assignments_user_id", "user_id"),
    )
