"""Two feeds, any interleaving, any grouping: the same rows and the same events."""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.db.database import Database, Transaction
from quietus.common.v1.types_pb2 import RiskLevel
from services.patterns.app import handlers
from services.patterns.service import derivation, gate
from services.patterns.service import history as history_of_sessions
from services.patterns.service.history import History
from tests.conftest import MakeDatabase
from tests.patterns.feeds import (
    Batch,
    Chunk,
    End,
    Happening,
    apply,
    empty,
    from_fusion,
    from_ingest,
    rows_of,
    told_by,
    waiting_in,
)

four_decimals = st.integers(0, 10_000).map(lambda n: n / 10_000)
chunks = st.builds(
    Chunk,
    number=st.integers(1, 6),
    score=four_decimals,
    level=st.sampled_from([RiskLevel.RISK_LEVEL_LOW, RiskLevel.RISK_LEVEL_LOW, RiskLevel.RISK_LEVEL_CRITICAL]),
    masking=st.sampled_from([0.0, 0.0, 0.8]),
    critical_cue=st.booleans(),
    pitch_mean=st.none() | st.sampled_from([120.0, 200.5, 230.25]),
    cues=st.none() | st.just({"language": "en", "topics": ["work"], "deflections": ["im_fine"], "first_person": 0.125}),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Happening]:
    """Sessions of one or two people in the order of ingest's feed, with batches that come again to a chunk, with and
    without facts, with numbers that jump and repeat, and after the end of their session."""
    people, count = draw(st.integers(1, 2)), draw(st.integers(2, 9))
    sequences: list[list[Happening]] = []
    for session in range(count):
        user = session % people
        one: list[Happening] = [
            Batch(
                user, session, draw(st.integers(1, 5)), draw(st.lists(chunks, max_size=3, unique_by=lambda c: c.number))
            )
            for _ in range(draw(st.integers(0, 3)))
        ]
        if draw(st.integers(0, 4)):
            one.insert(draw(st.integers(len(one) // 2, len(one))), End(user, session))
        sequences.append(one)
    merged: list[Happening] = []
    while left := [sequence for sequence in sequences if sequence]:
        merged.append(draw(st.sampled_from(left)).pop(0))
    return merged


ENGLISH = {"language": "en", "topics": ["work"]}


class Accident(StrEnum):
    """What happens before events are applied."""

    NONE = "none"
    ROLLED_BACK = "they are applied, and all is taken back"
    RESTARTED = "the process knows nothing any more"
    # Two processes share the work.
    OTHER_PROCESS = "another process applies them"


Schedule = Sequence[tuple[str, int, Accident]]
EVERYTHING = 10**6


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Which follower applies how many events next, and what goes wrong."""
    steps = st.tuples(
        st.sampled_from(["ingest", "fusion"]), st.integers(1, 4), st.sampled_from([Accident.NONE, *Accident])
    )
    return draw(st.lists(steps, max_size=20))


class TakenBackError(Exception):
    pass


async def run(database: Database, feeds: Mapping[str, Sequence[bytes]], schedule: Schedule) -> None:
    here, there = handlers(), handlers()
    left = {source: list(events) for source, events in feeds.items()}
    rest = [(source, EVERYTHING, Accident.NONE) for source in ("fusion", "ingest")]
    for source, count, accident in [*schedule, *rest]:
        events, left[source] = left[source][:count], left[source][count:]
        if not events:
            continue
        if accident is Accident.RESTARTED:
            here = handlers()
        if accident is Accident.ROLLED_BACK:
            with pytest.raises(TakenBackError):
                await apply(database, here[source], events, raising=TakenBackError())
        await apply(database, (there if accident is Accident.OTHER_PROCESS else here)[source], events)


def feeds_of(history: Sequence[Happening]) -> dict[str, list[bytes]]:
    fused = [one for one in history if isinstance(one, End) or one.chunks]
    return {"ingest": [from_ingest(one) for one in history], "fusion": [from_fusion(one) for one in fused]}


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("patterns")


@pytest.fixture
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many waiting events, results and kept facts are held at once."""
    waiting, summarised, kept = request.param
    monkeypatch.setattr(gate, "WAITING_EVENTS", waiting)
    monkeypatch.setattr(derivation, "SUMMARISED_AT_ONCE", summarised)
    monkeypatch.setattr(history_of_sessions, "KEPT_MAX", kept)
    monkeypatch.setattr(history_of_sessions, "KEPT_OF_ONE_MAX", kept)


any_bounds = pytest.mark.parametrize("bounds", [(256, 5_000, 50_000), (1, 1, 4), (3, 4, 12)], indirect=True)


@any_bounds
@pytest.mark.usefixtures("bounds")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), schedule=schedules())
async def test_any_interleaving_makes_the_same_rows_and_tells_the_same(
    database: Database, history: list[Happening], schedule: Schedule
) -> None:
    feeds = feeds_of(history)
    await empty(database)
    await run(database, feeds, [("ingest", EVERYTHING, Accident.NONE)])
    expected = await rows_of(database), await told_by(database)
    await empty(database)
    await run(database, feeds, schedule)
    assert (await rows_of(database), await told_by(database)) == expected
    assert await waiting_in(database) == 0


@any_bounds
@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("accident", Accident)
async def test_whoever_folds_knows_all_of_a_long_session(database: Database, accident: Accident) -> None:
    """Every second batch meets the accident. Chunks come again, revised, and numbers of batches too, late."""
    history: list[Happening] = [
        Batch(
            0,
            1,
            number - 6 * (number % 10 == 7),
            [Chunk(number % 27 + 1, number / 100, revision=number // 27 + 1, pitch_mean=3.0 * number, cues=ENGLISH)],
        )
        for number in range(1, 38)  # the last one makes a summary due
    ]
    feeds = feeds_of(history)
    await run(database, feeds, [("ingest", EVERYTHING, Accident.NONE)])
    expected = await rows_of(database), await told_by(database)
    await empty(database)
    steps = [Accident.NONE, accident] * (len(history) // 2)
    await run(database, feeds, [(source, 1, step) for step in steps for source in ("ingest", "fusion")])
    assert (await rows_of(database), await told_by(database)) == expected


@pytest.mark.parametrize(("at_once", "people_a_read"), [(1, 1), (2, 2), (5_000, 3)])
async def test_a_fold_reads_for_a_bounded_number_of_results(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int, people_a_read: int
) -> None:
    read: list[int] = []
    really_read = derivation.read

    async def counted(tx: Transaction, histories: Mapping[UUID, History], through: Mapping[UUID, int]) -> None:
        read.append(len(through))
        await really_read(tx, histories, through)

    feeds = feeds_of([Batch(user, user, number, [Chunk(number, 0.1)]) for number in (1, 2) for user in range(3)])
    await run(
        database, {source: events[:3] for source, events in feeds.items()}, [("ingest", EVERYTHING, Accident.NONE)]
    )
    monkeypatch.setattr(derivation, "SUMMARISED_AT_ONCE", at_once)
    monkeypatch.setattr(derivation, "read", counted)
    await run(
        database, {source: events[3:] for source, events in feeds.items()}, [("ingest", EVERYTHING, Accident.NONE)]
    )
    assert max(read) == people_a_read
    assert sum(read) == 3


async def test_when_a_baseline_was_established_does_not_hang_on_grouping(database: Database) -> None:
    history = [
        happening
        for session in range(1, 9)
        for happening in (Batch(0, session, 1, [Chunk(1, 0.05 + session / 1000)]), End(0, session))
    ]
    feeds = feeds_of(history)
    await run(database, feeds, [("ingest", EVERYTHING, Accident.NONE), *[("fusion", 1, Accident.NONE)] * len(history)])
    expected = await rows_of(database)
    await empty(database)
    await run(database, feeds, [("ingest", EVERYTHING, Accident.NONE)])
    assert await rows_of(database) == expected


async def test_two_followers_at_once(database: Database) -> None:
    history: list[Happening] = []
    for session in range(12):
        for number in range(1, 5):
            one = Chunk(number, 0.1 + session / 20, pitch_mean=200.0 - session, cues={"language": "sw"})
            history.append(Batch(session % 3, session, number, [one, Chunk(number + 1, 0.2)]))
        history.append(End(session % 3, session))
    feeds = feeds_of(history)
    await run(database, feeds, [("ingest", EVERYTHING, Accident.NONE)])
    expected = await rows_of(database), await told_by(database)
    await empty(database)

    shared = handlers()

    async def follow(source: str, at_a_time: int) -> None:
        handler = shared[source]
        for start in range(0, len(feeds[source]), at_a_time):
            await apply(database, handler, feeds[source][start : start + at_a_time])

    await asyncio.gather(follow("fusion", 3), follow("ingest", 2))
    assert (await rows_of(database), await told_by(database)) == expected
    assert await waiting_in(database) == 0
