"""What a team would write first: FastAPI under uvicorn with uvloop, pydantic, the ORM with a pool, a commit per POST.

It writes to ingest's own tables, and a POST may be repeated: what is there is looked up and left. It knows no tokens,
no digests and no feed.
"""

import argparse
import socket
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from libs.common.db.roles import driver_url
from services.ingest import tables

POOL_SIZE = 20
SCORE = Field(ge=0, le=1)
DIGEST = bytes(32)


class Base(DeclarativeBase):
    metadata = tables.METADATA


class MonitoringSession(Base):
    __table__ = tables.SESSIONS


class VisionRow(Base):
    __table__ = tables.VISION_PREDICTIONS


class AudioRow(Base):
    __table__ = tables.AUDIO_PREDICTIONS


class TextRow(Base):
    __table__ = tables.TEXT_PREDICTIONS


class Vision(BaseModel):
    kind: Literal["vision"]
    emotion: str
    confidence: float = SCORE
    distress_score: float = SCORE
    frames_processed: int = Field(ge=0)
    distribution_labels: list[int]
    distribution_probabilities: list[float]
    model_version: str = Field(max_length=64)


class Audio(BaseModel):
    kind: Literal["audio"]
    emotion: str
    stress_score: float = SCORE
    confidence: float = SCORE
    distribution_labels: list[int]
    distribution_probabilities: list[float]
    pitch_mean: float | None = None
    pitch_std: float | None = None
    pitch_range: float | None = None
    energy_mean: float | None = None
    energy_std: float | None = None
    speech_rate: float | None = None
    pause_ratio: float | None = None
    prosody_variance: float | None = None
    model_version: str = Field(max_length=64)


class Text(BaseModel):
    kind: Literal["text"]
    risk_level: Literal["low", "medium", "high", "critical"]
    distress_probability: float = SCORE
    confidence: float = SCORE
    valence: float | None = Field(default=None, ge=-1, le=1)
    cues: dict[str, Any] | None = None
    transcript: str
    transcript_state: str
    model_version: str = Field(max_length=64)


class Prediction(BaseModel):
    chunk_id: UUID
    capture_start_time: datetime
    capture_end_time: datetime
    content: Annotated[Vision | Audio | Text, Field(discriminator="kind")]


class Batch(BaseModel):
    batch_number: int = Field(ge=1)
    predictions: list[Prediction] = Field(min_length=1, max_length=5000)


ROWS: dict[str, type[Base]] = {"vision": VisionRow, "audio": AudioRow, "text": TextRow}


def row_of(session: Any, batch: Batch, index: int, prediction: Prediction) -> Base:
    content = prediction.content.model_dump(exclude={"kind"})
    if "transcript" in content:
        content["transcript"] = b64decode(content["transcript"])
    return ROWS[prediction.content.kind](
        id=prediction.chunk_id,
        session_id=session.id,
        user_id=session.user_id,
        chunk_id=prediction.chunk_id,
        capture_start_time=prediction.capture_start_time,
        capture_end_time=prediction.capture_end_time,
        receive_time=datetime.now(UTC),
        batch_number=batch.batch_number,
        batch_index=index,
        content_digest=DIGEST,
        **content,
    )


def make_app(dsn: str) -> FastAPI:
    app = FastAPI()
    sessions = async_sessionmaker(create_async_engine(driver_url(dsn), pool_size=POOL_SIZE), expire_on_commit=False)

    async def database() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    @app.post("/sessions/{session_id}/predictions", status_code=201)
    async def record(
        session_id: UUID, batch: Batch, database: Annotated[AsyncSession, Depends(database)]
    ) -> dict[str, int]:
        session = await database.get(MonitoringSession, session_id)
        if session is None:
            raise HTTPException(404)
        if session.__dict__["status"] != "ACTIVE":
            raise HTTPException(409)
        duplicates = 0
        for index, prediction in enumerate(batch.predictions):
            row_type = ROWS[prediction.content.kind]
            if await database.get(row_type, (session_id, prediction.chunk_id)):
                duplicates += 1
            else:
                database.add(row_of(session, batch, index, prediction))
        await database.commit()
        return {"accepted": len(batch.predictions) - duplicates, "duplicates": duplicates}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        make_app(parser.parse_args().dsn),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        timeout_keep_alive=600,
    )
    uvicorn.Server(config).run(sockets=[listener])
