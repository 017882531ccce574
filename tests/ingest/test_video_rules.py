"""What may stand in a video session, and what becomes of a batch."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as some

from services.ingest.video import VideoEvent, VideoSession, first_wrong, outcome
from services.ingest.vocabulary import VideoSessionStatus

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, MOMENT = timedelta(days=1), timedelta(microseconds=1)
SESSION = VideoSession(
    uuid4(), uuid4(), "anon", "stream", "check_in", "web", VideoSessionStatus.ACTIVE, START, None, START
)


def event(at: datetime = START, event_id: UUID | None = None, signals: tuple = ()) -> VideoEvent:
    return VideoEvent(event_id or uuid4(), at, "low", 0.5, signals, "face-1", 40)


def test_events_lie_between_a_day_before_the_start_and_a_day_ahead() -> None:
    now = START + timedelta(hours=1)
    assert first_wrong(SESSION, [event(START - DAY), event(now + DAY)], now) is None
    assert first_wrong(SESSION, [event(), event(START - DAY - MOMENT)], now) == "events[1].event_time"
    assert first_wrong(SESSION, [event(now + DAY + MOMENT)], now) == "events[0].event_time"


def test_what_is_repeated_is_named() -> None:
    one = event()
    assert first_wrong(SESSION, [one, event(), event(event_id=one.event_id)], START) == "events[2].event_id"
    twice = event(signals=(("gaze", 0.1), ("gaze", 0.2)))
    assert first_wrong(SESSION, [one, twice], START) == "events[1].signals"


def test_a_session_ends_between_its_start_and_a_day_ahead() -> None:
    now = START + timedelta(hours=1)
    assert SESSION.may_end_at(START, now)
    assert SESSION.may_end_at(now + DAY, now)
    assert not SESSION.may_end_at(START - MOMENT, now)
    assert not SESSION.may_end_at(now + DAY + MOMENT, now)


@given(some.dictionaries(some.uuids(), some.sampled_from(["new", "duplicate", "changed", "elsewhere"]), max_size=12))
def test_every_event_is_accepted_or_a_duplicate_or_a_conflict(fates: dict[UUID, str]) -> None:
    here, sent = uuid4(), {event_id: event_id.bytes for event_id in fates}
    known = {
        event_id: (uuid4() if fate == "elsewhere" else here, b"other" if fate == "changed" else event_id.bytes)
        for event_id, fate in fates.items()
        if fate != "new"
    }
    became = outcome(here, sent, known)
    assert became.accepted == list(fates.values()).count("new")
    assert became.duplicates == list(fates.values()).count("duplicate")
    assert set(became.conflicting) == {key for key, fate in fates.items() if fate in ("changed", "elsewhere")}
    assert became.accepted + became.duplicates + len(became.conflicting) == len(sent)
