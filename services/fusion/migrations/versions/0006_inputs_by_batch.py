"""One row of inputs for all that a client batch brought of a chunk, where there was one a modality."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SHOWN = {
    "emotion": "SMALLINT",
    "probability": "DOUBLE PRECISION",
    "confidence": "DOUBLE PRECISION",
    "distribution": "REAL[]",
    "model_version": "VARCHAR(64)",
}
SAID = {
    "level": "SMALLINT",
    "probability": "DOUBLE PRECISION",
    "confidence": "DOUBLE PRECISION",
    "valence": "DOUBLE PRECISION",
    "deflection": "BOOLEAN",
    "signals": "SMALLINT[]",
    "model_version": "VARCHAR(64)",
}
# By the numbers of the modalities.
PARTS = {(1, "vision"): SHOWN, (2, "audio"): SHOWN, (3, "text"): SAID}
COLUMNS = {f"{name}_{part}": type_ for (_, name), parts in PARTS.items() for part, type_ in parts.items()}
COMMON = "session_id, user_id, chunk_id, batch_number, capture_start_time, capture_end_time, receive_time, create_time"
BY_MODALITY = {**SHOWN, **SAID}


def upgrade() -> None:
    chosen = ", ".join(f"{name}.{part} AS {name}_{part}" for (_, name), parts in PARTS.items() for part in parts)
    joined = " ".join(
        f"LEFT JOIN fusion.chunk_inputs {name} ON {name}.modality = {number} AND {name}.session_id = brought.session_id"
        f" AND {name}.chunk_id = brought.chunk_id AND {name}.batch_number = brought.batch_number"
        for number, name in PARTS
    )
    # Two batches of one number, of a sender that lost count, are one row as well.
    key = "session_id, chunk_id, batch_number"
    first = f"ORDER BY {key}, receive_time, create_time"
    brought = f"SELECT DISTINCT ON ({key}) {COMMON} FROM fusion.chunk_inputs {first}"  # noqa: S608 - our own names
    _keep(f"SELECT brought.*, {chosen} FROM ({brought}) brought {joined}")  # noqa: S608
    dropped = ", ".join(f"DROP COLUMN {name}" for name in ("modality", *BY_MODALITY))
    added = ", ".join(f"ADD COLUMN {name} {type_}" for name, type_ in COLUMNS.items())
    op.execute(f"ALTER TABLE fusion.chunk_inputs {dropped}")
    op.execute(f"ALTER TABLE fusion.chunk_inputs {added}, ADD PRIMARY KEY (session_id, chunk_id, batch_number)")
    _put_back(f"{COMMON}, {', '.join(COLUMNS)}")


def downgrade() -> None:
    rows = " UNION ALL ".join(
        f"SELECT {COMMON}, {number} AS modality, "  # noqa: S608 - our own names
        + ", ".join(
            f"{name}_{part} AS {part}" if part in parts else f"CAST(NULL AS {type_}) AS {part}"
            for part, type_ in BY_MODALITY.items()
        )
        + f" FROM fusion.chunk_inputs WHERE {name}_model_version IS NOT NULL"
        for (number, name), parts in PARTS.items()
    )
    _keep(rows)
    dropped = ", ".join(f"DROP COLUMN {name}" for name in COLUMNS)
    required = ("probability", "confidence", "model_version")
    added = ", ".join(
        f"ADD COLUMN {name} {type_}{' NOT NULL' if name in required else ''}" for name, type_ in BY_MODALITY.items()
    )
    op.execute(f"ALTER TABLE fusion.chunk_inputs DROP CONSTRAINT chunk_inputs_pkey, {dropped}")
    op.execute(f"ALTER TABLE fusion.chunk_inputs ADD COLUMN modality SMALLINT NOT NULL, {added}")
    op.execute("ALTER TABLE fusion.chunk_inputs ADD PRIMARY KEY (session_id, chunk_id, modality)")
    _put_back(f"{COMMON}, modality, {', '.join(BY_MODALITY)}")


def _keep(rows: str) -> None:
    op.execute(f"CREATE TEMPORARY TABLE kept_inputs ON COMMIT DROP AS {rows}")
    op.execute("TRUNCATE fusion.chunk_inputs")


def _put_back(columns: str) -> None:
    op.execute(f"INSERT INTO fusion.chunk_inputs ({columns}) SELECT {columns} FROM kept_inputs")  # noqa: S608
    op.execute("DROP TABLE kept_inputs")
