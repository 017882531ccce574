"""What another version would change in what is stored, as the command asks: whoever works on the database."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.database import Database
from libs.common.rpc.errors import AppError
from quietus_edge.ids import uuid7
from services.fusion.comparison import MOST_EXAMPLES, Tally
from services.fusion.disclosure import Counts, Findings, everything
from services.fusion.fold import Models
from services.fusion.models import SHIPPED
from services.fusion.records import BEGINNING
from services.fusion.service import comparing
from services.fusion.service.comparing import Comparisons, Question
from services.fusion.store import comparing as store
from services.fusion.vocabulary import CrisisSignal, Level
from tests.fusion import versions
from tests.fusion.compared_sessions import (
    ENTER,
    ENTER_EARLY,
    LEAVE,
    LEAVE_EARLY,
    SESSION_IDS,
    day,
    fuse_sessions,
    person,
)
from tests.fusion.events import apply, committed, table
from tests.fusion.make import MODEL, batch, chunk, predictions, said, shown
from tests.fusion.reference import reference

LEVELS = ("low", "medium", "high", "critical")
OPERATOR = "operator:test"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that sessions cross pages and pages cross sessions."""
    monkeypatch.setattr(comparing, "PAGE_CHUNKS", 7)
    monkeypatch.setattr(comparing, "PAGE_SESSIONS", 2)


@pytest.fixture
async def sessions(database: Database, models: Models) -> None:
    await fuse_sessions(database, models, people=2)


async def compared(database: Database, question: Question) -> tuple[Findings, Tally]:
    report = [report async for report in Comparisons(database).compare(OPERATOR, question)][-1]
    return everything(report), report.tally


def matrix(counts: Counts) -> dict[tuple[str, str], int]:
    return {(stored.label, candidate.label): count for (stored, candidate), count in counts.items() if count}


def other_levels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A session's levels by other thresholds, from its stored scores: with hysteresis, and crises held to the end of a
    session as short as these.
    """
    level, in_crisis, levels = 0, False, []
    for row in rows:
        score = row["session_score"]
        while level < 3 and score >= ENTER[LEVELS[level + 1]]:
            level += 1
        while level > 0 and score < LEAVE[LEVELS[level]]:
            level -= 1
        in_crisis = in_crisis or row["critical_cue"]
        level = 3 if in_crisis else level
        levels.append(LEVELS[level])
    return levels


async def sessions_in(database: Database) -> dict[UUID, list[dict[str, Any]]]:
    rows: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(await table(database, "fusion_results"), key=lambda row: row["capture_end_time"]):
        rows[row["session_id"]].append(row)
    return rows


@pytest.mark.usefixtures("sessions")
async def test_other_thresholds_change_the_levels_that_they_should(database: Database) -> None:
    candidate = await versions.register(database, "eager-1", session__enter=ENTER, session__leave=LEAVE)
    answer, tally = await compared(database, Question("eager-1", candidate.checksum))
    chunks: Counter[tuple[str, str]] = Counter()
    highest: Counter[tuple[str, str]] = Counter()
    examples = {}
    for session_id, rows in (await sessions_in(database)).items():
        pairs = list(zip([row["final_risk"] for row in rows], other_levels(rows), strict=True))
        chunks.update(pairs)
        reached = max((one for one, _ in pairs), key=LEVELS.index), max((one for _, one in pairs), key=LEVELS.index)
        highest[reached] += 1
        if reached[0] != reached[1]:
            first = next(row for row, (stored, would) in zip(rows, pairs, strict=True) if stored != would)
            examples[session_id] = first["chunk_id"]
    assert len(chunks) > 4
    assert matrix(answer.chunk_levels) == chunks
    assert matrix(answer.session_levels) == highest
    assert (len(answer.chunk_levels), len(answer.session_levels)) == (16, 16)
    assert {one.session_id: one.chunk_id for one in tally.examples} == examples
    opens = sum(count for (stored, would), count in highest.items() if stored in LEVELS[:2] and would in LEVELS[2:])
    assert answer.newly_alerting_sessions == opens > 0
    assert answer.no_longer_alerting_sessions == 0
    assert (answer.sessions, answer.total_sessions, answer.chunks) == (12, 12, 144)
    assert (answer.mean_score_change, answer.mean_session_score_change) == (0.0, 0.0)
    assert answer.done


@pytest.mark.usefixtures("sessions")
async def test_scores_change_as_a_reference_says(database: Database) -> None:
    candidate = await versions.register(database, "calm-1", distress__prior=0.02)
    answer, _ = await compared(database, Question("calm-1", ""))
    moved = []
    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT * FROM chunk_inputs")
    inputs = {(row.session_id, row.chunk_id): row for row in rows}
    for session_id, results in (await sessions_in(database)).items():
        for number, result in enumerate(results):
            row = inputs[session_id, result["chunk_id"]]
            signals = frozenset({CrisisSignal.PLAN_OR_INTENT}) if result["critical_cue"] else frozenset()
            one = chunk(
                number,
                audio=shown(probability=row.audio_probability, confidence=row.audio_confidence),
                text=said(row.text_probability, row.text_confidence, signals=signals),
            )
            moved.append(abs(reference(candidate.model, one).score - reference(MODEL, one).score))
    assert answer.mean_score_change == pytest.approx(sum(moved) / len(moved), abs=1e-12)
    assert answer.mean_session_score_change > 0.01
    assert answer.no_longer_alerting_sessions > 0


@pytest.mark.usefixtures("sessions")
async def test_the_version_that_made_it_all_would_change_nothing(database: Database) -> None:
    answer, tally = await compared(database, Question(SHIPPED, ""))
    assert all(stored == would for stored, would in matrix(answer.chunk_levels))
    assert (answer.mean_score_change, answer.mean_session_score_change) == (0.0, 0.0)
    assert tally.examples == []


@pytest.mark.usefixtures("sessions")
async def test_a_period_and_a_person_can_be_asked_for(database: Database) -> None:
    answer, _ = await compared(database, Question(SHIPPED, "", day(2), day(7)))
    assert (answer.sessions, answer.total_sessions, answer.chunks) == (5, 5, 60)
    of_days, _ = await compared(database, Question(SHIPPED, "", day(2), day(7), "anon_0002"))
    assert (of_days.sessions, of_days.total_sessions, of_days.chunks) == (2, 2, 24)
    of_person, _ = await compared(database, Question(SHIPPED, "", anonymous_id="anon_0001"))
    assert (of_person.sessions, of_person.total_sessions) == (6, 6)
    with pytest.raises(AppError, match="PERSON_NOT_FOUND"):
        await compared(database, Question(SHIPPED, "", anonymous_id="anon_9999"))


@pytest.mark.usefixtures("sessions")
async def test_sessions_whose_inputs_are_gone_are_counted_apart(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM chunk_inputs WHERE session_id = :session_id", {"session_id": SESSION_IDS[3]})
        one = {"session_id": SESSION_IDS[4], "chunk_id": chunk(5).chunk_id}
        await tx.execute("DELETE FROM chunk_inputs WHERE session_id = :session_id AND chunk_id = :chunk_id", one)
    answer, _ = await compared(database, Question(SHIPPED, ""))
    assert (answer.sessions, answer.expired_sessions, answer.total_sessions) == (10, 2, 12)
    assert (answer.chunks, answer.mean_session_score_change) == (120, 0.0)


@pytest.mark.usefixtures("sessions")
async def test_a_look_at_one_person_is_audited_under_them_and_changes_nothing(database: Database) -> None:
    await versions.register(database, "eager-1", session__enter=ENTER, session__leave=LEAVE)
    before = await table(database, "fusion_results")
    await compared(database, Question("eager-1", "", anonymous_id="anon_0002"))
    assert await table(database, "fusion_results") == before
    (entry,) = await table(database, "audit_logs")
    assert (entry["action"], entry["user_id"], entry["actor"]) == ("model.compare", person(2), OPERATOR)


async def test_examples_are_some_of_each_kind(database: Database, models: Models) -> None:
    calm, alarmed = chunk(0, text=said(0.05)), chunk(0, text=said(0.9, 1.0))
    events = [
        committed(batch(1, *predictions(one), session_id=uuid7(day(number)), user_id=person(number)))
        for number, one in enumerate([calm] * (MOST_EXAMPLES + 3) + [alarmed])
    ]
    await apply(database, models, events)
    await versions.register(database, "eager-1", session__enter=ENTER_EARLY, session__leave=LEAVE_EARLY)
    answer, tally = await compared(database, Question("eager-1", ""))
    kinds = Counter(one.levels for one in tally.examples)
    assert kinds[Level.LOW, Level.HIGH] == MOST_EXAMPLES
    assert sum(kinds.values()) <= MOST_EXAMPLES + 1
    assert all(candidate is not Level.CRITICAL for _, candidate in kinds)
    assert answer.newly_alerting_sessions >= MOST_EXAMPLES + 3


async def test_pages_come_in_the_order_of_an_index(database: Database) -> None:
    async with database.read() as tx:
        await tx.driver.execute("SET LOCAL enable_seqscan = off")
        after = (SESSION_IDS[0], *BEGINNING)
        rows = await tx.driver.fetch(f"EXPLAIN {store.PAGE}", *after, SESSION_IDS[-1], 250)
    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan" in plan
    assert "Sort" not in plan
