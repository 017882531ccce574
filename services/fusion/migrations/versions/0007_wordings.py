"""Facts of explanations, and what a language model made of them. Rows of before have no facts and are not worded."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WORDINGS = """
CREATE TABLE fusion.explanation_wordings (
    facts VARCHAR(128) NOT NULL,
    language_model VARCHAR(128) NOT NULL,
    prompt_version VARCHAR(16) NOT NULL,
    text TEXT,
    attempts SMALLINT NOT NULL,
    ask_after TIMESTAMPTZ NOT NULL,
    refusal VARCHAR(32),
    word_time TIMESTAMPTZ,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (facts, language_model, prompt_version)
);
ALTER TABLE fusion.llm_explanations ADD COLUMN facts VARCHAR(128);
CREATE INDEX idx_llm_explanations_facts ON fusion.llm_explanations (facts) WHERE facts IS NOT NULL
"""


def upgrade() -> None:
    for statement in WORDINGS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX fusion.idx_llm_explanations_facts")
    op.execute("ALTER TABLE fusion.llm_explanations DROP COLUMN facts")
    op.execute("DROP TABLE fusion.explanation_wordings")
