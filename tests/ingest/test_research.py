"""The export for research: who is in it, what of them, and that it is what the tables hold."""

import json
import stat
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.db.database import AnyRow
from libs.common.feed.handler import read_event
from libs.common.rpc.errors import AppError
from libs.common.timestamps import to_timestamp
from quietus.common.v1.feed_pb2 import FeedPartition, GetFeedResponse
from quietus.identity.v1.events_pb2 import ConsentChanged, Event
from services.ingest import cli, parquet
from services.ingest.app import handlers
from services.ingest.parquet import GROUP_ROWS, SCHEMAS, ResearchFiles
from services.ingest.research import Months, Names, Report, dataset_of, month_of, offset_milliseconds
from services.ingest.service import research
from services.ingest.service.research import ResearchExport
from services.ingest.settings import IngestSettings
from services.ingest.store import predictions
from services.ingest.vocabulary import EMOTIONS, FEATURES, Modality
from tests.ingest import filling, make
from tests.ingest.suite import Person, Suite

FEED_ID = UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
HEAD = 7
NOW = datetime.now(UTC)
MONTHS = Months(NOW.date().replace(day=1), NOW.date().replace(day=1))
EXPORT_ID = "export-1"


@pytest.fixture
async def current(suite: Suite) -> Suite:
    """Ingest has taken all that identity told."""
    await followed(suite, HEAD)
    return suite


async def followed(suite: Suite, position: int) -> None:
    statement = (
        "INSERT INTO feed_cursors (source, partition, feed_id, position) VALUES ('identity', 0, :feed_id, :position)"
        " ON CONFLICT (source, partition) DO UPDATE SET position = :position"
    )
    await suite.execute(statement, {"feed_id": FEED_ID, "position": position})


async def identity_feed() -> GetFeedResponse:
    return GetFeedResponse(feed_id=str(FEED_ID), partitions=[FeedPartition(partition=0, head_position=HEAD)])


async def consent(suite: Suite, person: Person, granted: bool = True, seconds: int = 0) -> None:
    changed = ConsentChanged(
        user_id=str(person.user_id),
        anonymous_id=person.anonymous_id,
        research=granted,
        event_time=to_timestamp(NOW + timedelta(seconds=seconds)),
    )
    handler = handlers()["identity"]
    event = read_event(handler, 1, 0, Event(consent_changed=changed).SerializeToString(), NOW)
    async with suite.database.transaction() as tx:
        await handler.apply(tx, [event])


async def recorded(suite: Suite, chunks: int = 20, months: Months = MONTHS) -> tuple[Person, UUID]:
    """Somebody with a session in the month; its ids and times are of the middle of it, or of now in a young month."""
    person = suite.person()
    session_id = await person.start_session(min(NOW, months.start + timedelta(days=1)))
    await filling.fill(suite.database, [session_id], chunks)
    await person.record(session_id, make.batch(1, make.chunk(months.start + timedelta(days=1))))
    return person, session_id


async def run(suite: Suite, folder: Path, names: Names | None = None, **changed: Any) -> Report:
    export = ResearchExport(suite.database, identity_feed, "operator:test", **changed)
    with ResearchFiles(folder, {"export_id": EXPORT_ID, "months": str(MONTHS)}, names or Names()) as files:
        return await export.run(MONTHS, EXPORT_ID, files)


def read(folder: Path, modality: Modality) -> pa.Table:
    return pq.read_table(folder / f"{dataset_of(modality)}.parquet")


def listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def anonymous_ids(folder: Path) -> set[str]:
    return {name for modality in Modality for name in read(folder, modality)["anonymous_id"].to_pylist()}


async def stored(suite: Suite, modality: Modality, session_id: UUID) -> Sequence[AnyRow]:
    async with suite.database.read() as tx:
        return await predictions.of_session(tx, modality, session_id)


def expected(names: Names, person: Person, session_id: UUID, start: datetime, modality: Modality, row: Any) -> Any:
    """What a researcher gets of a row, said in other words than the code."""
    got = {
        "anonymous_id": person.anonymous_id,
        "session": names.of(session_id),
        "session_month": MONTHS.first,
        "chunk": names.of(row.chunk_id),
        "start_offset_ms": round((row.capture_start_time - start).total_seconds() * 1000 - 0.4995),
        "end_offset_ms": round((row.capture_end_time - start).total_seconds() * 1000 - 0.4995),
    }
    same = ["model_version", "confidence"]
    if modality is Modality.TEXT:
        same += ["risk_level", "distress_probability", "valence"]
        cues = row.cues or {}
        got |= {
            key: cues.get(key) for key in ("crisis_signals", "code_switching", "first_person", "negation", "absolutes")
        }
    else:
        labels = row.distribution_labels
        got["distribution_labels"] = None if labels is None else [EMOTIONS[label] for label in labels]
        got["distribution_probabilities"] = row.distribution_probabilities
        same += ["emotion"]
        same += ["distress_score", "frames_processed"] if modality is Modality.VISION else ["stress_score", *FEATURES]
    return got | {name: getattr(row, name) for name in same}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(value) if hasattr(value, "as_tuple") else value for key, value in row.items()}


async def test_what_is_read_back_is_what_the_tables_hold(current: Suite, tmp_path: Path) -> None:
    people = [await recorded(current, chunks) for chunks in (20, 50)]
    names = Names()
    for person, _ in people:
        await consent(current, person)

    report = await run(current, tmp_path / "out", names)

    for modality in Modality:
        rows = read(tmp_path / "out", modality).to_pylist()
        wanted = []
        for person, session_id in people:
            async with current.database.read() as tx:
                start = await tx.scalar("SELECT started_at FROM sessions WHERE id = :id", {"id": session_id})
            for row in await stored(current, modality, session_id):
                wanted.append(plain(expected(names, person, session_id, start, modality, row)))
        assert sorted(rows, key=lambda row: row["chunk"]) == sorted(wanted, key=lambda row: row["chunk"])
    assert report.rows == {dataset_of(modality): 72 for modality in Modality}
    assert (report.people, report.sessions, report.people_withheld, report.rows_withheld) == (2, 2, 0, 0)


async def test_who_has_not_said_so_or_has_withdrawn_is_withheld(current: Suite, tmp_path: Path) -> None:
    silent, willing, withdrawn, again = [(await recorded(current))[0] for _ in range(4)]
    for person in (willing, withdrawn, again):
        await consent(current, person)
    await consent(current, withdrawn, granted=False, seconds=1)
    await consent(current, again, granted=False, seconds=1)
    await consent(current, again, seconds=2)

    report = await run(current, tmp_path / "first")

    assert anonymous_ids(tmp_path / "first") == {willing.anonymous_id, again.anonymous_id}
    assert (report.people, report.people_withheld, report.sessions_withheld) == (2, 2, 2)
    assert report.rows_withheld == 2 * 3 * 21
    await consent(current, willing, granted=False, seconds=3)
    await run(current, tmp_path / "second")
    assert anonymous_ids(tmp_path / "second") == {again.anonymous_id}
    assert silent.anonymous_id not in anonymous_ids(tmp_path / "first")


async def test_whose_last_word_waits_unread_is_withheld(current: Suite, tmp_path: Path) -> None:
    person, _ = await recorded(current)
    await consent(current, person)
    await current.execute(
        "INSERT INTO parked_events (source, partition, position, index, user_id, event, commit_time, reason)"
        " VALUES ('identity', 0, 3, 0, :user_id, '', now(), 'test')",
        {"user_id": person.user_id},
    )
    report = await run(current, tmp_path / "out")
    assert (report.people, report.people_withheld) == (0, 1)


@pytest.mark.parametrize("position", [None, HEAD - 1])
async def test_without_identitys_last_word_nothing_leaves(
    suite: Suite, tmp_path: Path, position: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(research, "CURRENT_WAIT_SECONDS", 0)
    person, _ = await recorded(suite)
    await consent(suite, person)
    if position is not None:
        await followed(suite, position)
    with pytest.raises(AppError, match="CONSENT_NOT_CURRENT"):
        await run(suite, tmp_path / "out")
    assert listed(tmp_path) == []


async def test_a_withdrawal_meanwhile_leaves_nothing_behind(current: Suite, tmp_path: Path) -> None:
    people = [(await recorded(current))[0] for _ in range(2)]
    for person in people:
        await consent(current, person)

    class Withdrawing(ResearchFiles):
        """Consents end when everything has been written."""

        def publish(self) -> None:
            raise AssertionError("published")

    done = 0

    async def feed() -> GetFeedResponse:
        nonlocal done
        done += 1
        if done == 2:
            await consent(current, people[0], granted=False, seconds=1)
        return await identity_feed()

    export = ResearchExport(current.database, feed, "operator:test")
    with pytest.raises(AppError, match="CONSENT_WITHDRAWN"), Withdrawing(tmp_path / "out", {}, Names()) as files:
        await export.run(MONTHS, EXPORT_ID, files)
    assert listed(tmp_path) == []


async def test_nothing_says_who_or_when(current: Suite, tmp_path: Path) -> None:
    person, session_id = await recorded(current)
    await consent(current, person)

    await run(current, tmp_path / "out")

    secrets = [person.user_id, session_id]
    for modality in Modality:
        secrets += [row.chunk_id for row in await stored(current, modality, session_id)]
        table = read(tmp_path / "out", modality)
        values = json.dumps(table.to_pylist(), default=str)
        assert not [secret for secret in secrets if str(secret) in values or secret.hex in values]
        assert not set(table.column_names) & {"user_id", "session_id", "chunk_id", "transcript", "device_id", "cues"}
        times = [field.name for field in table.schema if pa.types.is_temporal(field.type)]
        assert times == ["session_month"]
        assert set(table["session_month"].to_pylist()) == {MONTHS.first}
        raw = (tmp_path / "out" / f"{dataset_of(modality)}.parquet").read_bytes()
        assert person.user_id.bytes not in raw
        assert str(person.user_id).encode() not in raw


async def test_sessions_of_other_months_stay(current: Suite, tmp_path: Path) -> None:
    earlier = (MONTHS.start - timedelta(days=1)).date().replace(day=1)
    person = current.person()
    sessions = [
        await person.start_session(start)
        for start in (MONTHS.start - timedelta.resolution, MONTHS.start, MONTHS.start + timedelta(hours=1))
        if start < NOW
    ]
    await filling.fill(current.database, sessions, 5)
    await consent(current, person)

    report = await run(current, tmp_path / "out")

    assert report.sessions == len(sessions) - 1
    assert Months(earlier, MONTHS.last).start < MONTHS.start
    assert len(set(read(tmp_path / "out", Modality.TEXT)["session"].to_pylist())) == len(sessions) - 1


async def test_files_are_their_owners_and_say_what_they_are(current: Suite, tmp_path: Path) -> None:
    person, _ = await recorded(current)
    await consent(current, person)

    await run(current, tmp_path / "out")

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    files = listed(tmp_path / "out")
    assert [file.name for file in files] == sorted(f"{dataset_of(modality)}.parquet" for modality in Modality)
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        metadata = {key.decode(): value.decode() for key, value in pq.read_schema(file).metadata.items()}
        assert metadata["quietus.schema_version"] == "1"
        assert metadata["quietus.dataset"] == file.stem
        assert (metadata["quietus.export_id"], metadata["quietus.months"]) == (EXPORT_ID, str(MONTHS))


async def test_a_folder_is_never_written_over(current: Suite, tmp_path: Path) -> None:
    await run(current, tmp_path / "out")
    with pytest.raises(FileExistsError):
        await run(current, tmp_path / "out")
    assert len(listed(tmp_path / "out")) == 3


async def test_row_groups_are_bounded_and_so_is_what_is_held(
    current: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 100)
    monkeypatch.setattr(research, "PAGE_PREDICTIONS", 40)
    person = current.person()
    sessions = [await person.start_session() for _ in range(3)]
    await filling.fill(current.database, sessions, 250)
    await consent(current, person)

    await run(current, tmp_path / "out")

    for modality in Modality:
        described = pq.ParquetFile(tmp_path / "out" / f"{dataset_of(modality)}.parquet").metadata
        sizes = [described.row_group(number).num_rows for number in range(described.num_row_groups)]
        assert sum(sizes) == 750
        assert max(sizes) <= 100
    assert GROUP_ROWS <= 20_000


async def test_each_person_who_is_in_it_is_audited(current: Suite, tmp_path: Path) -> None:
    inside, outside = (await recorded(current))[0], (await recorded(current))[0]
    await consent(current, inside)

    await run(current, tmp_path / "out")

    async with current.database.read() as tx:
        rows = await tx.fetch_all("SELECT user_id, actor, resource_id FROM audit_logs WHERE action = 'research.export'")
    assert [tuple(row) for row in rows] == [(inside.user_id, "operator:test", EXPORT_ID)]
    assert outside.user_id != inside.user_id


def test_the_schemas_are_those_that_the_docs_tell() -> None:
    page = (Path(__file__).parents[2] / "docs" / "research.md").read_text()
    for modality, schema in SCHEMAS.items():
        assert f"`{dataset_of(modality)}.parquet`" in page
        assert [field.name for field in schema if f"`{field.name}`" not in page] == []


@given(st.uuids(), st.uuids())
def test_a_name_stands_for_one_id_in_one_export(one: UUID, other: UUID) -> None:
    names = Names()
    assert (names.of(one) == names.of(other)) is (one == other)
    assert names.of(one) != Names().of(one)
    assert names.of(one) != blake2b(one.bytes, digest_size=16).hexdigest()


@pytest.mark.parametrize(
    ("first", "last", "start", "end"),
    [
        ("2026-01", "2026-01", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        ("2025-11", "2026-12", datetime(2025, 11, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_months_are_whole(first: str, last: str, start: datetime, end: datetime) -> None:
    months = Months(month_of(first), month_of(last))
    assert (months.start, months.end, months.is_valid) == (start, end, True)


def test_months_have_bounds() -> None:
    assert not Months(date(2026, 2, 1), date(2026, 1, 1)).is_valid
    assert not Months(date(2024, 1, 1), date(2026, 1, 1)).is_valid
    for text in ("2026-13", "2026-1", "2026-01-01", "1999-01", ""):
        with pytest.raises(ValueError, match="YYYY-MM"):
            month_of(text)


def test_offsets_are_cut_to_milliseconds() -> None:
    assert offset_milliseconds(NOW + timedelta(microseconds=1999), NOW) == 1
    assert offset_milliseconds(NOW - timedelta(microseconds=1), NOW) == -1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--out", "x", "--from", "2026-02", "--to", "2026-01"], "--to is a month"),
        (["--out", "x", "--from", "2026-02-01", "--to", "2026-03"], "YYYY-MM"),
        (["--from", "2026-02", "--to", "2026-03"], "--out"),
        (["--out", "x", "--from", "2026-02", "--to", "2026-03"], "DATABASE_URL_UNUSABLE"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = cli.run_export(IngestSettings(), arguments)
    except SystemExit as error:
        status = error.code
    assert status in (1, 2)
    assert problem in capsys.readouterr().err
