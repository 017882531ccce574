"""Sessions that were fused when a state kept only as many judged chunks as its model looked at keep as many as all."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# A shorter list is whole: the session has no more of them.
LEAST_KEPT = 8
MOST_KEPT = 16
LENGTHEN = f"""
UPDATE fusion.session_states s SET judged_chunk_ids = judged.chunk_ids, judged_directions = judged.directions
FROM fusion.session_states short CROSS JOIN LATERAL (
    SELECT array_agg(chunk_id ORDER BY capture_end_time, chunk_id) AS chunk_ids,
        array_agg(direction ORDER BY capture_end_time, chunk_id) AS directions
    FROM (
        SELECT r.chunk_id, r.capture_end_time,
            array_position(ARRAY['congruent', 'masking', 'coping'], r.dissonance_direction::text)::smallint AS direction
        FROM fusion.fusion_results r
        WHERE r.session_id = short.session_id AND r.dissonance_direction <> 'unclear'
        ORDER BY r.capture_end_time DESC, r.chunk_id DESC LIMIT {MOST_KEPT}
    ) AS newest
) AS judged
WHERE s.session_id = short.session_id
    AND cardinality(short.judged_chunk_ids) BETWEEN {LEAST_KEPT} AND {MOST_KEPT - 1}
    AND cardinality(judged.chunk_ids) > cardinality(short.judged_chunk_ids)
"""  # noqa: S608 - our own names


def upgrade() -> None:
    op.execute(LENGTHEN)


def downgrade() -> None:
    """Who keeps fewer takes the newest of them."""
