"""explanation_wordings, by the primary key (facts, language_model, prompt_version), and which facts wait for one, by
idx_llm_explanations_facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.db.database import Transaction
from services.fusion.explanation import Wording

# One look into the index for each set of facts, however many rows have it.
_UNWORDED = """
WITH RECURSIVE known AS (
    (SELECT facts FROM llm_explanations WHERE facts IS NOT NULL ORDER BY facts LIMIT 1)
    UNION ALL
    SELECT (SELECT e.facts FROM llm_explanations e WHERE e.facts > known.facts ORDER BY e.facts LIMIT 1)
    FROM known WHERE known.facts IS NOT NULL
),
unworded AS (
    SELECT known.facts, w.ask_after FROM known
    LEFT JOIN explanation_wordings w
        ON w.facts = known.facts AND w.language_model = $1 AND w.prompt_version = $2
    WHERE known.facts IS NOT NULL AND (w.facts IS NULL OR w.text IS NULL AND w.attempts < $3)
)
"""
WAITING = f"""
{_UNWORDED} SELECT facts FROM unworded WHERE ask_after IS NULL OR ask_after <= now()
ORDER BY ask_after NULLS FIRST, facts LIMIT $4
"""  # noqa: S608 - our own names
_IS_ANYTHING_UNWORDED = f"{_UNWORDED} SELECT EXISTS (SELECT FROM unworded)"  # noqa: S608
_CLAIM = """
INSERT INTO explanation_wordings AS w (facts, language_model, prompt_version, attempts, ask_after)
VALUES ($1, $2, $3, 1, now() + make_interval(secs => $5))
ON CONFLICT (facts, language_model, prompt_version) DO UPDATE
    SET attempts = w.attempts + 1, ask_after = excluded.ask_after
    WHERE w.text IS NULL AND w.attempts < $4 AND w.ask_after <= now()
RETURNING attempts
"""
_GIVE_BACK = """
UPDATE explanation_wordings SET attempts = attempts - 1, ask_after = now() + make_interval(secs => $4)
WHERE facts = $1 AND language_model = $2 AND prompt_version = $3 AND text IS NULL
"""
_REFUSE = """
UPDATE explanation_wordings SET refusal = $4, ask_after = now() + make_interval(secs => $5)
WHERE facts = $1 AND language_model = $2 AND prompt_version = $3 AND text IS NULL
"""
_KEEP = """
UPDATE explanation_wordings SET text = $4, refusal = NULL, word_time = now()
WHERE facts = $1 AND language_model = $2 AND prompt_version = $3 AND text IS NULL
"""


@dataclass(frozen=True, slots=True)
class WordingKey:
    facts: str
    language_model: str
    prompt_version: str

    @property
    def columns(self) -> tuple[str, str, str]:
        return self.facts, self.language_model, self.prompt_version


async def read_waiting(
    tx: Transaction, language_model: str, prompt_version: str, most_attempts: int, limit: int
) -> Sequence[WordingKey]:
    """Facts of explanations that are neither worded nor given up; those that were never asked about first."""
    rows = await tx.driver.fetch(WAITING, language_model, prompt_version, most_attempts, limit)
    return [WordingKey(row["facts"], language_model, prompt_version) for row in rows]


async def is_anything_unworded(tx: Transaction, language_model: str, prompt_version: str, most_attempts: int) -> bool:
    """Whether anything waits, now or later."""
    found: bool = await tx.driver.fetchval(_IS_ANYTHING_UNWORDED, language_model, prompt_version, most_attempts)
    return found


async def claim(tx: Transaction, key: WordingKey, most_attempts: int, lease_seconds: float) -> bool:
    """False when another process asks at this moment, or nobody may ask any more. Counts as an attempt."""
    return await tx.driver.fetchval(_CLAIM, *key.columns, most_attempts, lease_seconds) is not None


async def give_back(tx: Transaction, key: WordingKey, pause_seconds: float) -> None:
    """For an attempt without an answer: it doesn't count."""
    await tx.driver.execute(_GIVE_BACK, *key.columns, pause_seconds)


async def refuse(tx: Transaction, key: WordingKey, refusal: str, pause_seconds: float) -> None:
    await tx.driver.execute(_REFUSE, *key.columns, refusal, pause_seconds)


async def keep(tx: Transaction, key: WordingKey, text: str) -> None:
    await tx.driver.execute(_KEEP, *key.columns, text)


async def read_all(tx: Transaction, language_model: str, prompt_version: str) -> dict[str, Wording]:
    """By facts. There are at most as many as there are sets of facts."""
    rows = await tx.driver.fetch(
        "SELECT facts, text FROM explanation_wordings"
        " WHERE language_model = $1 AND prompt_version = $2 AND text IS NOT NULL",
        language_model,
        prompt_version,
    )
    return {row["facts"]: Wording(row["text"], language_model, prompt_version) for row in rows}
