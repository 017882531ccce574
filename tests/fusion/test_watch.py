"""WatchSession: resumed without a repeat or a miss, shared by many, and bounded for the slow."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest

from libs.common.clock import utc_now
from libs.common.db.database import Database
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.people.access import Access
from libs.common.rpc.caller import Caller
from libs.common.rpc.client import Metadata
from libs.common.rpc.drain import DrainSignal
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_USER
from quietus.fusion.v1 import fusion_pb2 as contract
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus_edge.errors import reason_of
from services.fusion.app import make_parts
from services.fusion.fold import Models
from services.fusion.service import live, watching
from services.fusion.service.live import LiveSessions, position_of
from services.fusion.settings import FusionSettings
from services.fusion.store import sessions
from tests.common.rpc.harness import Serving, serving
from tests.fusion import make
from tests.fusion.events import apply, committed, ended
from tests.fusion.make import SESSION_ID, batch, chunk, predictions, said

if TYPE_CHECKING:
    from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceAsyncStub

COUNSELOR_ID = UUID("00000000-0000-4000-8000-0000000000c0")
# Longer than anything here takes: a bound on a hanging test, not a measurement.
PATIENCE_SECONDS = 30.0
WATCHERS = 200

Call = grpc.aio.UnaryStreamCall[contract.WatchSessionRequest, contract.WatchSessionResponse]


def one_chunk(number: int, probability: float = 0.05) -> bytes:
    return committed(batch(number + 1, *predictions(chunk(number, text=said(probability, 1.0)))))


@dataclass(frozen=True)
class Room:
    at: Serving
    stub: "FusionServiceAsyncStub"

    @property
    def own(self) -> Metadata:
        return self.at.tokens.metadata(ROLE_USER, make.USER_ID, "anon_0001")

    @property
    def counselor(self) -> Metadata:
        return self.at.tokens.metadata(ROLE_COUNSELOR, COUNSELOR_ID, "anon_00c0")

    def watch(self, after_position: str = "", metadata: Metadata | None = None) -> Call:
        request = contract.WatchSessionRequest(session_id=str(SESSION_ID), after_position=after_position)
        return self.stub.WatchSession(request, metadata=metadata or self.own, timeout=PATIENCE_SECONDS)


@pytest.fixture
async def room(database: Database, models: Models) -> AsyncIterator[Room]:
    parts = make_parts(FusionSettings(port=0), database, models, Tail(database, Metrics("fusion")))
    async with serving(parts) as at:
        yield Room(at, FusionServiceStub(at.channel))


@pytest.fixture
async def session(database: Database, models: Models) -> None:
    await apply(database, models, [one_chunk(0)])


@pytest.fixture
async def care(database: Database, session: None) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO care_assignments (counselor_id, user_id, assign_time) VALUES (:counselor, :person, now())",
            {"counselor": COUNSELOR_ID, "person": make.USER_ID},
        )


async def read(call: Call) -> contract.WatchSessionResponse:
    response = await call.read()
    assert isinstance(response, contract.WatchSessionResponse)
    return response


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is watched tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("session")
class TestResuming:
    async def test_what_the_caller_has_is_not_sent_again(self, room: Room, database: Database, models: Models) -> None:
        first = room.watch()
        position = (await read(first)).position
        first.cancel()
        again = room.watch(position)
        await again.initial_metadata()
        await apply(database, models, [one_chunk(1)])
        response = await read(again)
        assert (response.risk.chunks, response.position != position) == (2, True)
        again.cancel()

    async def test_what_changed_meanwhile_is_not_missed(self, room: Room, database: Database, models: Models) -> None:
        first = room.watch()
        position = (await read(first)).position
        first.cancel()
        await apply(database, models, [one_chunk(1)], [one_chunk(2, 0.9)])
        again = room.watch(position)
        response = await read(again)
        assert (response.risk.chunks, len(response.risk.latest.contributions)) == (3, 1)
        again.cancel()

    async def test_a_revision_of_the_newest_chunk_is_another_state(
        self, room: Room, database: Database, models: Models
    ) -> None:
        call = room.watch()
        first = await read(call)
        face = predictions(chunk(0, vision=make.shown(probability=0.05)))
        await apply(database, models, [committed(batch(2, *face))])
        second = await read(call)
        assert (second.risk.chunks, second.risk.latest.revision) == (1, 2)
        assert second.position != first.position
        call.cancel()

    async def test_a_position_outlives_a_rebuild(
        self, database: Database, models: Models, second_database: Database
    ) -> None:
        events = [one_chunk(number, 0.1 * number) for number in range(1, 8)]
        await apply(database, models, *([event] for event in events))
        await apply(second_database, models, [one_chunk(0), *events])
        positions = []
        for one in (database, second_database):
            async with one.read() as tx:
                risk = await sessions.read_risk(tx, SESSION_ID)
            assert risk is not None
            positions.append(position_of(risk))
        assert positions[0] == positions[1]

    async def test_a_position_that_nobody_gave_gets_the_state(self, room: Room) -> None:
        call = room.watch("0" * 32)
        assert (await read(call)).risk.chunks == 1
        call.cancel()

    async def test_what_is_no_position_is_refused(self, room: Room) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await room.watch("yesterday").read()
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")

    async def test_a_drain_ends_the_watch_in_order(self, room: Room) -> None:
        call = room.watch()
        await read(call)
        draining = asyncio.ensure_future(room.at.server.drain(PATIENCE_SECONDS))
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        await draining

    async def test_an_ended_session_goes_on_to_be_watched(self, room: Room, database: Database, models: Models) -> None:
        call = room.watch()
        await read(call)
        await apply(database, models, [ended()])
        assert (await read(call)).risk.settled
        await apply(database, models, [one_chunk(1)])
        response = await read(call)
        assert (response.risk.chunks, response.risk.settled) == (2, True)
        call.cancel()


@pytest.mark.usefixtures("session")
async def test_many_watchers_share_a_look(
    room: Room, database: Database, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    read_risk = sessions.read_risk

    async def counted(*arguments: object) -> object:
        looks.append(arguments)
        return await read_risk(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(live.sessions, "read_risk", counted)
    # Only the commit itself can wake them.
    monkeypatch.setattr(watching, "LOOK_SECONDS", 10 * PATIENCE_SECONDS)
    calls = [room.watch() for _ in range(WATCHERS)]
    first = await asyncio.gather(*(read(call) for call in calls))
    assert {response.risk.chunks for response in first} == {1}
    looks.clear()
    await apply(database, models, [one_chunk(1)])
    second = await asyncio.gather(*(read(call) for call in calls))
    assert {response.risk.chunks for response in second} == {2}
    assert len(looks) == 1
    for call in calls:
        call.cancel()


@pytest.mark.usefixtures("session")
async def test_a_slow_reader_is_handed_the_newest(database: Database, models: Models) -> None:
    sessions_live = LiveSessions(database, Access(database))
    database.after_append.append(sessions_live.watchers.published)
    caller = Caller(make.USER_ID, ROLE_USER, frozenset(), "anon_0001", None, None, utc_now())
    states = sessions_live.states(caller, SESSION_ID, "", DrainSignal(asyncio.Event(), PATIENCE_SECONDS))
    position, risk = await anext(states)
    assert risk.chunks == 1
    await apply(database, models, *([one_chunk(number)] for number in range(1, 40)))
    # Besides the newest, what was seen or being looked at when the reader came back.
    handed = []
    while risk.chunks < 40:
        newest, risk = await anext(states)
        assert newest != position
        position = newest
        handed.append(risk.chunks)
    assert len(handed) <= 3
    await states.aclose()
    assert len(sessions_live.watchers) == 0


@pytest.mark.usefixtures("session")
async def test_what_nobody_watches_is_not_looked_at(
    room: Room, database: Database, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[watching.Watchers] = []
    watchers = watching.Watchers.watching

    def noted(self: watching.Watchers, session_id: UUID) -> object:
        made.append(self)
        return watchers(self, session_id)

    monkeypatch.setattr(watching.Watchers, "watching", noted)
    calls = [room.watch() for _ in range(3)]
    for call in calls:
        await read(call)
    assert {len(one) for one in made} == {1}
    for call in calls:
        call.cancel()
    await eventually(lambda: {len(one) for one in made} == {0})
    again = room.watch()
    assert (await read(again)).risk.chunks == 1
    again.cancel()


@pytest.mark.usefixtures("care")
async def test_a_watch_ends_with_the_care_though_nothing_else_changes(
    room: Room, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)
    mine, theirs = room.watch(metadata=room.counselor), room.watch()
    await read(mine)
    await read(theirs)
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM care_assignments")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await mine.read()
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    assert not theirs.done()
    theirs.cancel()


@pytest.mark.usefixtures("session")
async def test_a_new_carer_joins_at_once(room: Room, database: Database) -> None:
    """Nobody is judged by what others saw before."""
    theirs = room.watch()
    await read(theirs)
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO care_assignments (counselor_id, user_id, assign_time) VALUES (:counselor, :person, now())",
            {"counselor": COUNSELOR_ID, "person": make.USER_ID},
        )
    mine = room.watch(metadata=room.counselor)
    assert (await read(mine)).risk.chunks == 1
    mine.cancel()
    theirs.cancel()


@pytest.mark.usefixtures("care")
async def test_a_deleted_person_ends_every_watch(
    room: Room, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)
    calls = [room.watch(), room.watch(metadata=room.counselor)]
    for call in calls:
        await read(call)
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM users")
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


@pytest.mark.usefixtures("session")
async def test_a_look_that_fails_ends_the_watch_and_the_next_looks_anew(
    room: Room, database: Database, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = room.watch()
    position = (await read(call)).position

    async def broken(*arguments: object) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(live.sessions, "read_risk", broken)
        await apply(database, models, [one_chunk(1)])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
    again = room.watch(position)
    assert (await read(again)).risk.chunks == 2
    again.cancel()


async def test_what_changes_during_a_look_is_looked_at_again() -> None:
    """The look answers what was there when it began, as a snapshot does."""
    there, looks, go_on = [1], list[int](), asyncio.Event()

    async def look(session_id: UUID) -> watching.Sighting:
        seen = there[0]
        looks.append(seen)
        await go_on.wait()
        return watching.Sighting(None, frozenset({UUID(int=seen)}))

    watchers = watching.Watchers(look)
    with watchers.watching(SESSION_ID) as first:
        await eventually(lambda: looks == [1])
        there[0] = 2
        with watchers.watching(SESSION_ID) as second:
            go_on.set()
            assert (await second.next()).carers == {UUID(int=2)}
            while (await first.next()).carers != {UUID(int=2)}:
                pass
    assert looks == [1, 2]
    assert len(watchers) == 0
