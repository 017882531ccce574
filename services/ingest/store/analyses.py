"""Analyses: found by id (primary key), listed by idx_analysis_records_user_id."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert

from libs.common.db.database import AnyRow, Transaction
from libs.common.pagination import Position
from services.ingest.analyses import Analysis, AnalysisContent
from services.ingest.sealing import Sealed
from services.ingest.store.pages import Page, page_of, within_bytes
from services.ingest.store.times import between
from services.ingest.tables import ANALYSIS_RECORDS, METADATA
from services.ingest.vocabulary import TranscriptState

USERS = METADATA.tables["ingest.users"]
_SELECT = select(ANALYSIS_RECORDS, USERS.c.anonymous_id).join(USERS, USERS.c.user_id == ANALYSIS_RECORDS.c.user_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Analyzed at or after start_time and before end_time; None doesn't bind, nor does an empty label."""

    predicted_label: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None


async def add(tx: Transaction, analysis: Analysis) -> bool:
    """False when the id is taken; nothing is written then."""
    content = analysis.content
    statement = insert(ANALYSIS_RECORDS).values(
        id=analysis.request_id,
        user_id=analysis.user_id,
        input_text=analysis.words.content,
        input_text_state=analysis.words.state,
        source=content.source,
        predicted_label=content.predicted_label,
        confidence=content.confidence,
        model_version=content.model_version,
        ai_processing_ms=content.processing_milliseconds,
        submitted_at=content.submit_time,
        analyzed_at=content.analyze_time,
        request_id=analysis.request_id,
        receive_time=analysis.receive_time,
        content_digest=analysis.digest,
    )
    return await tx.scalar(statement.on_conflict_do_nothing().returning(ANALYSIS_RECORDS.c.id)) is not None


async def find(tx: Transaction, request_id: UUID) -> Analysis | None:
    row = await tx.fetch_one(_SELECT.where(ANALYSIS_RECORDS.c.id == request_id))
    return None if row is None else _analysis(row)


async def page(
    tx: Transaction, user_id: UUID, wanted: Filter, before: Position | None, limit: int, words_bytes: int
) -> Page[Analysis]:
    """Newest first: at most `limit`, and at most one after `words_bytes` of sealed words. `before` is the analyze_time
    and id of the last one of the page before.
    """
    columns = ANALYSIS_RECORDS.c
    statement = _SELECT.where(
        columns.user_id == user_id, *between(columns.analyzed_at, wanted.start_time, wanted.end_time)
    )
    if wanted.predicted_label:
        statement = statement.where(columns.predicted_label == wanted.predicted_label)
    if before is not None:
        statement = statement.where(tuple_(columns.analyzed_at, columns.id) < before)
    statement = statement.order_by(columns.analyzed_at.desc(), columns.id.desc()).limit(limit + 1)
    statement = within_bytes(statement, "input_text", ["analyzed_at", "id"], words_bytes, newest_first=True)
    found = page_of(await tx.fetch_all(statement), limit)
    return Page([_analysis(row) for row in found.items], found.has_more)


def _analysis(row: AnyRow) -> Analysis:
    return Analysis(
        request_id=row.request_id,
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        content=AnalysisContent(
            source=row.source,
            predicted_label=row.predicted_label,
            confidence=float(row.confidence),
            model_version=row.model_version,
            processing_milliseconds=row.ai_processing_ms,
            submit_time=row.submitted_at,
            analyze_time=row.analyzed_at,
        ),
        words=Sealed(row.input_text, TranscriptState(row.input_text_state)),
        receive_time=row.receive_time,
        digest=row.content_digest,
    )
