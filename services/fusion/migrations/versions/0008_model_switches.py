"""Which version of the model makes results, from when on."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE fusion.model_switches (
    number INTEGER PRIMARY KEY,
    version VARCHAR(64) NOT NULL REFERENCES fusion.model_versions (version),
    effect_time TIMESTAMPTZ NOT NULL,
    actor VARCHAR(128) NOT NULL,
    switch_time TIMESTAMPTZ NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE fusion.model_head (
    id SMALLINT PRIMARY KEY,
    receive_time TIMESTAMPTZ NOT NULL,
    switches INTEGER NOT NULL,
    CONSTRAINT one_head CHECK (id = 1)
);
INSERT INTO fusion.model_head (id, receive_time, switches)
SELECT 1, greatest(now(), max(receive_time)), 0 FROM fusion.chunk_inputs
"""
# They exist nowhere else, and without them a slice that is built anew has other results.
CHECK_NONE_IS_LOST = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM fusion.model_switches WHERE number > 1) THEN
        RAISE EXCEPTION 'switches of the model would be lost: empty the slice by python -m services.fusion empty';
    END IF;
END $$
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute(CHECK_NONE_IS_LOST)
    op.execute("DROP TABLE fusion.model_head")
    op.execute("DROP TABLE fusion.model_switches")
