"""Reads a session back as an app does: page by page, and as an export."""

import time
from uuid import UUID

import grpc

from libs.common.rpc.client import bearer
from quietus.common.v1.types_pb2 import MODALITY_AUDIO, MODALITY_TEXT, MODALITY_VISION
from quietus.ingest.v1.ingest_pb2 import ExportSessionRequest, ListPredictionsRequest
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub

MODALITIES = (MODALITY_VISION, MODALITY_AUDIO, MODALITY_TEXT)
PAGE_SIZE = 1000
CALL_SECONDS = 60


async def read_session(channel: grpc.aio.Channel, session_id: UUID, token: str, chunks: int) -> tuple[float, float]:
    """Seconds by ListPredictions and by ExportSession. RuntimeError when one of them doesn't tell all."""
    stub, metadata = IngestServiceStub(channel), bearer(token)
    start = time.perf_counter()
    listed = 0
    for modality in MODALITIES:
        page_token = ""
        while True:
            request = ListPredictionsRequest(
                session_id=str(session_id), modality=modality, page_size=PAGE_SIZE, page_token=page_token
            )
            page = await stub.ListPredictions(request, metadata=metadata, timeout=CALL_SECONDS)
            listed += len(page.predictions)
            page_token = page.next_page_token
            if not page_token:
                break
    between = time.perf_counter()
    exported = 0
    export = stub.ExportSession(
        ExportSessionRequest(session_id=str(session_id)), metadata=metadata, timeout=CALL_SECONDS
    )
    async for part in export:
        exported += len(part.predictions.predictions)
    end = time.perf_counter()
    if listed != 3 * chunks or exported != 3 * chunks:
        raise RuntimeError(f"of {3 * chunks} predictions {listed} were listed and {exported} exported")
    return between - start, end - between
