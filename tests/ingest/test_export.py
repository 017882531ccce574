"""ExportSession: everything of a session once, in one order, wherever it is taken up again."""

import asyncio
import tracemalloc
from collections import deque
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.db.database import AnyRow
from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, reason_of
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus.common.v1.types_pb2 import MODALITY_TEXT
from quietus.ingest.v1 import ingest_pb2
from services.ingest.messages import to_stored_prediction
from services.ingest.service import exports as exports_module
from services.ingest.service.exports import PART_PREDICTIONS, ExportLimits, Exports, Part, Place
from services.ingest.store import predictions
from services.ingest.store.pages import Page
from services.ingest.vocabulary import Modality
from tests.conftest import MakeDatabase
from tests.ingest import filling, make
from tests.ingest.suite import PATIENCE_SECONDS, Person, Suite, running
from tests.ingest.test_sessions import care_for

CHUNKS = 10_000
KIB = 1024


async def messages(
    person: Person, session_id: UUID, page_token: str = ""
) -> AsyncIterator[ingest_pb2.ExportSessionResponse]:
    request = ingest_pb2.ExportSessionRequest(session_id=str(session_id), page_token=page_token)
    async for message in person.stub.ExportSession(request, metadata=person.metadata, timeout=PATIENCE_SECONDS):
        yield message


async def exported(person: Person, session_id: UUID) -> list[ingest_pb2.ExportSessionResponse]:
    return [message async for message in messages(person, session_id)]


def sequence(parts: Sequence[ingest_pb2.ExportSessionResponse]) -> list[ingest_pb2.StoredPrediction]:
    return [stored for part in parts for stored in part.predictions.predictions]


async def in_tables(suite: Suite, session_id: UUID) -> list[ingest_pb2.StoredPrediction]:
    async with suite.database.read() as tx:
        return [
            to_stored_prediction(modality, row)
            for modality in Modality
            for row in sorted(await predictions.of_session(tx, modality, session_id), key=lambda row: row.chunk_id)
        ]


async def refused(person: Person, session_id: UUID, page_token: str = "") -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        async for _ in messages(person, session_id, page_token):
            pass
    return error.value.code(), reason_of(error.value)


async def test_thirty_thousand_predictions_are_those_of_the_tables(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await filling.fill(suite.database, [session_id], CHUNKS)

    parts = await exported(person, session_id)

    assert sequence(parts) == await in_tables(suite, session_id)
    assert [(count.modality, count.predictions) for count in parts[-1].summary.counts] == [
        (modality, CHUNKS) for modality in Modality
    ]
    assert all(1 <= len(part.predictions.predictions) <= PART_PREDICTIONS for part in parts[:-1])
    assert max(part.ByteSize() for part in parts) < 3 * KIB * KIB


def test_taken_up_anywhere_it_is_the_same_sequence(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each example cuts the stream after some messages of each call."""
    monkeypatch.setattr(exports_module, "PART_PREDICTIONS", 40)
    with asyncio.Runner() as runner:
        context = running(make_database("ingest"))
        suite = runner.run(context.__aenter__())
        person, session_id = runner.run(_some_session(suite))
        whole = runner.run(exported(person, session_id))
        assert len(whole) == 13

        @given(st.lists(st.integers(1, 4), max_size=12))
        @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        def taken_up(cuts: list[int]) -> None:
            parts = runner.run(_in_pieces(person, session_id, cuts))
            assert sequence(parts) == sequence(whole)
            assert parts[-1].summary == whole[-1].summary

        taken_up()
        runner.run(context.__aexit__(None, None, None))
        runner.run(suite.database.close())


async def _some_session(suite: Suite) -> tuple[Person, UUID]:
    person = suite.person()
    session_id = await person.start_session()
    await filling.fill(suite.database, [session_id], 150)
    return person, session_id


async def _in_pieces(person: Person, session_id: UUID, cuts: list[int]) -> list[ingest_pb2.ExportSessionResponse]:
    parts: list[ingest_pb2.ExportSessionResponse] = []
    for cut in (*cuts, None):
        taken = 0
        token = parts[-1].page_token if parts else ""
        async for part in messages(person, session_id, token):
            if part.HasField("summary") and parts and parts[-1].HasField("summary"):
                parts.pop()
            parts.append(part)
            taken += 1
            if taken == cut:
                break
    return parts


async def test_large_transcripts_close_a_part_and_a_page(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await filling.fill(suite.database, [session_id], 100, transcript_bytes=60 * KIB)

    parts = await exported(person, session_id)

    assert sequence(parts) == await in_tables(suite, session_id)
    assert max(part.ByteSize() for part in parts) < 2 * KIB * KIB
    request = ingest_pb2.ListPredictionsRequest(session_id=str(session_id), modality=MODALITY_TEXT, page_size=1000)
    listed: list[ingest_pb2.StoredPrediction] = []
    while not listed or request.page_token:
        page = await person.stub.ListPredictions(request, metadata=person.metadata)
        assert page.ByteSize() < 2 * KIB * KIB
        listed.extend(page.predictions)
        request.page_token = page.next_page_token
    assert listed == sequence(parts)[200:]


async def test_an_empty_session_says_so(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()

    parts = await exported(person, session_id)

    assert [part.WhichOneof("content") for part in parts] == ["summary"]
    assert [count.predictions for count in parts[0].summary.counts] == [0, 0, 0]


async def test_who_may_export_a_session(suite: Suite) -> None:
    person, counselor = suite.person(ROLE_USER), suite.counselor()
    session_id = await suite.person().start_session()
    mine = await person.start_session()
    await person.record(mine, make.batch(1, make.chunk()))
    not_found = (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")

    assert await refused(person, session_id) == not_found
    assert await refused(counselor, mine) == not_found
    await care_for(suite, counselor, person)
    audited = await suite.count("audit_logs")
    assert sequence(await exported(counselor, mine)) == sequence(await exported(person, mine))
    assert await suite.count("audit_logs") == audited + 1


async def test_a_token_is_of_its_session_alone(suite: Suite) -> None:
    person = suite.person()
    first, second = await person.start_session(), await person.start_session()
    token = (await exported(person, first))[-1].page_token

    for wrong in (token, "made up"):
        assert await refused(person, second, wrong) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_client_that_does_not_read_grows_nothing(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await filling.fill(suite.database, [session_id], 1_000, transcript_bytes=60 * KIB)
    pages = 0
    page = predictions.page

    async def counted(*arguments: object) -> Page[AnyRow]:
        nonlocal pages
        pages += 1
        return await page(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(predictions, "page", counted)
    whole = await exported(person, session_id)
    needed, pages = pages, 0
    assert needed > 50
    request = ingest_pb2.ExportSessionRequest(session_id=str(session_id))
    call = person.stub.ExportSession(request, metadata=person.metadata, timeout=PATIENCE_SECONDS)
    await call.read()
    seen = -1
    while seen != pages:
        seen = pages
        await asyncio.sleep(0.3)
    assert pages < needed / 2
    rest: list[ingest_pb2.ExportSessionResponse] = []
    while (part := await call.read()) is not grpc.aio.EOF:
        rest.append(part)
    assert sequence(rest) == sequence(whole[1:])


async def test_memory_holds_a_page_and_not_the_session(suite: Suite) -> None:
    exports = Exports(suite.database, None, ExportLimits(1, 60))  # type: ignore[arg-type]
    session_id = await suite.person().start_session()
    await filling.fill(suite.database, [session_id], 4_000)

    async def peak(keep: int) -> int:
        """Bytes, with that many parts in hand."""
        parts: deque[Part] = deque(maxlen=keep)
        tracemalloc.start()
        async for part in exports.parts(session_id, Place.BEGINNING):
            parts.append(part)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    await peak(1)
    assert await peak(1) < await peak(100) / 4


class Told:
    """A reader who stops after some parts."""

    def __init__(self, parts: int) -> None:
        self._left = parts
        self.parts: list[Part] = []

    async def write(self, part: Part) -> None:
        if not self._left:
            await asyncio.Event().wait()
        self._left -= 1
        self.parts.append(part)


@pytest.fixture
async def exports(suite: Suite) -> tuple[Exports, Person, UUID]:
    person = suite.person()
    session_id = await person.start_session()
    await filling.fill(suite.database, [session_id], 600)

    class Readable:
        async def readable(self, *_: object) -> None:
            """Anybody may."""

    return Exports(suite.database, Readable(), ExportLimits(1, 0.05)), person, session_id  # type: ignore[arg-type]


async def send(exports: Exports, session_id: UUID, reader: Told, drained: asyncio.Event | None = None) -> None:
    drain = DrainSignal(drained or asyncio.Event(), 3600)
    await exports.send(None, session_id, Place.BEGINNING, reader.write, drain)  # type: ignore[arg-type]


async def test_a_reader_who_stops_is_given_up(exports: tuple[Exports, Person, UUID]) -> None:
    sender, _, session_id = exports
    with pytest.raises(AppError, match="STREAM_IDLE"):
        await send(sender, session_id, Told(2))
    reader = Told(100)
    await send(sender, session_id, reader)
    assert [len(part.rows) for part in reader.parts] == [500, 100, 500, 100, 500, 100, 0]


async def test_more_exports_than_allowed_are_refused(exports: tuple[Exports, Person, UUID]) -> None:
    sender, _, session_id = exports
    first = asyncio.create_task(send(sender, session_id, Told(1)))
    await asyncio.sleep(0)
    with pytest.raises(AppError, match="TOO_MANY_EXPORTS"):
        await send(sender, session_id, Told(1))
    with pytest.raises(AppError, match="STREAM_IDLE"):
        await first


async def test_a_drain_ends_an_export_with_where_to_go_on(exports: tuple[Exports, Person, UUID]) -> None:
    sender, _, session_id = exports
    drained, reader = asyncio.Event(), Told(100)
    drained.set()
    with pytest.raises(AppError, match="DRAINING"):
        await send(sender, session_id, reader, drained)
    place, taken = reader.parts[-1].place, reader.parts
    rest = [part async for part in sender.parts(session_id, place)]
    assert sum(len(part.rows) for part in (*taken, *rest)) == 1800
    assert rest[-1].place.counts == dict.fromkeys(Modality, 600)
    assert len(taken) == 1
