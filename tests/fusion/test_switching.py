"""Switching the model: an audited act that takes effect at a place that a rebuild finds again."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
from sqlalchemy.exc import DBAPIError

from libs.common.db.audit import verify_chain
from libs.common.db.database import Database
from libs.common.db.migrate import downgrade_all
from libs.common.feed.failure import Fault, fault_of
from libs.common.rpc.errors import AppError
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_DEVICE, ROLE_SERVICE
from quietus.fusion.v1 import models_pb2 as contract
from quietus.fusion.v1.models_pb2_grpc import ModelServiceStub
from quietus.ingest.v1.events_pb2 import Event
from services.fusion.fold import ClientBatch, Models
from services.fusion.follower import IngestHandler
from services.fusion.models import SHIPPED, read_document
from services.fusion.science.model import ModelDocument, parse_model
from services.fusion.service.emptying import KEPT, empty
from services.fusion.service.registry import load_models
from services.fusion.service.switching import ModelSwitching
from services.fusion.store import models as store
from services.fusion.tables import METADATA
from tests.conftest import MakeDatabase
from tests.fusion import make, versions
from tests.fusion.events import apply, committed, everything, table, told
from tests.fusion.make import batch, chunk, predictions, said, shown
from tests.fusion.road import Road, following
from tests.fusion.serving import ADMIN, OWN, refused, serving, token
from tests.fusion.test_follower import masking_session, random_batches
from tests.ingest.suite import running

LATER = timedelta(days=400)


@pytest.fixture
async def stub(database: Database, models: Models) -> AsyncIterator[ModelServiceStub]:
    async with serving(database, models) as channel:
        yield ModelServiceStub(channel)


def received_later(batches: Sequence[ClientBatch]) -> list[ClientBatch]:
    """After every switch that is made now."""
    return [replace(one, receive_time=datetime.now(UTC) + LATER) for one in batches]


def switch_to(document: ModelDocument, replaces: str = SHIPPED) -> contract.SwitchModelRequest:
    return contract.SwitchModelRequest(version=document.model.version, checksum=document.checksum, replaces=replaces)


async def test_what_is_received_after_a_switch_is_fused_by_the_other_version(
    stub: ModelServiceStub, database: Database, models: Models
) -> None:
    candidate = await versions.register(database, "calmer-1", distress__prior=0.05)
    first, second = (batch(number, *predictions(chunk(number, text=said(0.2)))) for number in (1, 2))
    handler = IngestHandler(models)
    await apply(database, handler, [committed(first)])
    answer = await stub.SwitchModel(switch_to(candidate), metadata=ADMIN)
    assert (answer.switch.number, answer.switch.version, answer.switch.actor) == (2, "calmer-1", "admin:anon_ad01")
    # What was received before the switch and comes after it is fused as it would have been.
    third = batch(3, *predictions(chunk(2, audio=shown(probability=0.2))))
    await apply(database, handler, [committed(second), *map(committed, received_later([third]))])
    rows = {row["chunk_id"]: row for row in await table(database, "fusion_results")}
    assert rows[make.window(1).chunk_id]["model_version"] == SHIPPED
    assert (rows[make.window(2).chunk_id]["model_version"], rows[make.window(2).chunk_id]["revision"]) == (
        "calmer-1",
        2,
    )
    assert [result.model_version for event in await told(database) for result in event.chunks_fused.results] == [
        SHIPPED,
        SHIPPED,
        "calmer-1",
    ]


async def test_a_switch_is_audited_and_listed(stub: ModelServiceStub, database: Database) -> None:
    candidate = await versions.register(database, "calmer-1", distress__prior=0.05)
    await stub.SwitchModel(switch_to(candidate), metadata=ADMIN)
    (entry,) = await table(database, "audit_logs")
    assert (entry["actor"], entry["action"], entry["resource_id"]) == ("admin:anon_ad01", "model.switch", "calmer-1")
    assert (entry["metadata"]["replaced"], entry["metadata"]["checksum"]) == (SHIPPED, candidate.checksum)
    async with database.read() as tx:
        assert await verify_chain(tx) == 1
    listing = await stub.ListModels(contract.ListModelsRequest(), metadata=ADMIN)
    assert {one.version: one.in_force for one in listing.versions} == {
        **dict.fromkeys((await load_models(database, SHIPPED)).versions, False),
        "calmer-1": True,
    }
    assert [(one.number, one.version) for one in listing.switches] == [(1, SHIPPED), (2, "calmer-1")]
    assert listing.switches[1].effect_time.ToDatetime(UTC).isoformat() == entry["metadata"]["effect_time"]


async def test_what_cant_be_switched_to_says_why(stub: ModelServiceStub, database: Database) -> None:
    candidate = await versions.register(database, "calmer-1")
    shipped = next(one for one in (await ModelSwitching(database).listing()).documents if one.model.version == SHIPPED)
    other = contract.SwitchModelRequest(version="calmer-1", checksum=shipped.checksum, replaces=SHIPPED)
    unknown = contract.SwitchModelRequest(version="of-nobody", checksum=candidate.checksum, replaces=SHIPPED)
    unnamed = contract.SwitchModelRequest(version="calmer-1", replaces=SHIPPED)
    for request, status, reason in (
        (other, grpc.StatusCode.FAILED_PRECONDITION, "MODEL_CHECKSUM_MISMATCH"),
        (unknown, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
        (unnamed, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (switch_to(shipped), grpc.StatusCode.ALREADY_EXISTS, "MODEL_IN_FORCE"),
        (switch_to(candidate, "another"), grpc.StatusCode.ABORTED, "MODEL_SWITCHED_MEANWHILE"),
    ):
        with refused(status, reason):
            await stub.SwitchModel(request, metadata=ADMIN)
    async with database.transaction() as tx:
        await tx.execute("UPDATE model_versions SET document = jsonb_set(document, '{date}', '\"2020-01-01\"')")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_UNUSABLE"):
        await stub.SwitchModel(switch_to(candidate), metadata=ADMIN)
    assert await table(database, "audit_logs") == []
    assert len(await table(database, "model_switches")) == 1


async def test_only_admins_have_to_do_with_models(stub: ModelServiceStub) -> None:
    callers = OWN, token(uuid4(), ROLE_DEVICE), token(uuid4(), ROLE_COUNSELOR), token(None, ROLE_SERVICE)
    switch = contract.SwitchModelRequest(version="calmer-1", checksum="0" * 64, replaces=SHIPPED)
    for metadata in callers:
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            await stub.ListModels(contract.ListModelsRequest(), metadata=metadata)
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            await stub.SwitchModel(switch, metadata=metadata)
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            await stub.CompareModels(contract.CompareModelsRequest(version=SHIPPED), metadata=metadata).read()


async def test_a_switch_takes_effect_after_all_that_is_fused_though_clocks_differ(
    database: Database, models: Models
) -> None:
    """Ingest's clock may be ahead of the database's."""
    ahead = received_later([batch(1, *predictions(chunk(1, text=said(0.2))))])
    await apply(database, models, [committed(one) for one in ahead])
    await versions.switch(database, await versions.register(database, "calmer-1"))
    (_, newest) = sorted(await table(database, "model_switches"), key=lambda row: row["number"])
    assert newest["effect_time"] == ahead[0].receive_time


async def test_a_switch_waits_for_those_who_fuse(
    database: Database, make_database: MakeDatabase, models: Models
) -> None:
    candidate = await versions.register(database, "calmer-1")
    at = datetime.now(UTC) + LATER
    async with make_database("fusion").transaction() as tx:
        assert await store.advance_head(tx, at) == 1
        switching = asyncio.ensure_future(versions.switch(database, candidate))
        async with database.read() as watching:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not await watching.scalar(waiting):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)
    await switching
    (_, newest) = sorted(await table(database, "model_switches"), key=lambda row: row["number"])
    assert newest["effect_time"] == at


async def test_of_two_who_switch_at_once_one_hears_of_the_other(database: Database, models: Models) -> None:
    for version in ("calmer-1", "calmer-2"):
        await versions.register(database, version)
    candidates = [one for one in (await ModelSwitching(database).listing()).documents if one.model.version != SHIPPED]
    outcomes = await asyncio.gather(
        *(
            ModelSwitching(database).switch("admin:test", one.model.version, one.checksum, SHIPPED)
            for one in candidates[-2:]
        ),
        return_exceptions=True,
    )
    (failed,) = [one for one in outcomes if isinstance(one, BaseException)]
    assert isinstance(failed, AppError)
    assert failed.reason == "MODEL_SWITCHED_MEANWHILE"
    assert len(await table(database, "model_switches")) == 2


@pytest.mark.usefixtures("models")
async def test_other_content_under_a_version_is_refused(database: Database) -> None:
    switching = ModelSwitching(database)
    registered = await switching.register("operator:test", versions.document("calmer-1"))
    assert await switching.register("operator:test", versions.document("calmer-1")) == registered
    forged = versions.document("calmer-2")
    forged["checksum"] = registered.checksum
    for document in (versions.document("calmer-1", distress__prior=0.05), forged, {"version": "calmer-3"}, []):
        with pytest.raises(AppError) as caught:
            await switching.register("operator:test", document)
        assert caught.value.reason == "MODEL_UNUSABLE"
    assert [row["action"] for row in await table(database, "audit_logs")] == ["model.register"]


async def test_a_restart_goes_on_with_the_version_in_force_whatever_the_setting_says(database: Database) -> None:
    assert (await load_models(database, SHIPPED)).active.version == SHIPPED
    await versions.switch(database, await versions.register(database, "calmer-1"))
    assert (await load_models(database, SHIPPED)).active.version == "calmer-1"
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM model_switches")
    with pytest.raises(AppError, match="MODEL_UNUSABLE"):
        await load_models(database, "of-nobody")


@pytest.mark.parametrize("seed", range(2))
async def test_a_slice_that_is_emptied_and_rebuilt_has_the_same_rows(
    seed: int, database: Database, models: Models, fresh_dsn: str
) -> None:
    """Two sessions; late modalities revise under the second version what the first one made, and the third has a window
    of another length.
    """
    order = random.Random(seed)  # noqa: S311 - a shuffle that repeats
    batches = random_batches(order)
    thirds = [
        batches[: len(batches) // 3],
        batches[len(batches) // 3 : len(batches) // 2],
        batches[len(batches) // 2 :],
    ]
    candidates = [
        await versions.register(database, "narrow-1", dissonance__window_chunks=2, dissonance__said_positive=0.7),
        await versions.register(database, "wide-1", dissonance__window_chunks=12, session__memory_seconds=30.0),
    ]
    events: list[bytes] = []
    for number, some in enumerate(thirds):
        if number:
            await versions.switch(database, candidates[number - 1])
        later = [replace(one, receive_time=datetime.now(UTC)) for one in some] if number else some
        await apply(database, models, *([committed(one)] for one in later))
        events.extend(map(committed, later))
    before, told_before = await everything(database), await told(database)
    assert {row["model_version"] for row in before["fusion_results"]} >= {"wide-1"}
    await empty(fresh_dsn)
    assert all(rows == [] for rows in (await everything(database)).values())
    restarted = await load_models(database, SHIPPED)
    await apply(database, restarted, events)
    assert await everything(database) == before
    assert await told(database) == told_before


async def test_a_rebuild_from_ingests_feed_fuses_each_batch_by_the_version_of_its_time(
    make_database: MakeDatabase, database: Database, models: Models, fresh_dsn: str
) -> None:
    candidate = await versions.register(database, "calmer-1", distress__prior=0.05)

    async def tell(road: Road, numbers: range) -> None:
        for number in numbers:
            made = batch(number, *predictions(chunk(number, shown(), text=said(0.2))))
            made = replace(made, receive_time=datetime.now(UTC))
            await road.tell(make.USER_ID, Event.FromString(committed(made)))
        await road.followed()

    async with running(make_database("ingest")) as ingest:
        async with following(ingest, database, models) as road:
            await tell(road, range(1, 6))
            await versions.switch(database, candidate)
            await tell(road, range(6, 11))
        before = await everything(database)
        await empty(fresh_dsn)
        async with following(ingest, database, await load_models(database, SHIPPED)) as road:
            await road.followed()
    assert await everything(database) == before
    made_by = {row["batch_number"]: row["model_version"] for row in before["fusion_results"]}
    assert made_by == {number: SHIPPED if number < 6 else "calmer-1" for number in range(1, 11)}


async def test_a_slice_that_holds_switches_isnt_dropped(database: Database, models: Models, fresh_dsn: str) -> None:
    candidate = await versions.register(database, "calmer-1")
    await versions.switch(database, candidate)
    with pytest.raises(DBAPIError, match="python -m services"):
        await asyncio.to_thread(downgrade_all, fresh_dsn, ["fusion"])
    assert len(await table(database, "model_switches")) == 2


async def test_arrival_makes_no_difference_to_windows_of_two_lengths(
    database: Database, models: Models, second_database: Database
) -> None:
    await load_models(second_database, SHIPPED)
    chunks = masking_session(12)
    for each, rest in ((database, (10, 11)), (second_database, (11, 10))):
        wide = await versions.register(each, "wide-1", dissonance__window_chunks=12)
        first = [batch(number, *predictions(chunks[number])) for number in range(10)]
        await apply(each, models, *([committed(one)] for one in first))
        await versions.switch(each, wide)
        later = received_later([batch(number, *predictions(chunks[number])) for number in rest])
        await apply(each, models, *([committed(one)] for one in later))
    for name in ("fusion_results", "session_states", "dissonance_records"):
        rows = [await table(each, name, "revision", "batch_number") for each in (database, second_database)]
        assert rows[0] == rows[1]


def test_what_people_decided_is_kept_when_a_slice_is_emptied() -> None:
    assert {table.name for table in METADATA.sorted_tables} >= KEPT


async def test_a_slice_from_before_switches_stays_with_its_model_until_somebody_switches(database: Database) -> None:
    older = parse_model(read_document("fusion-1")).model
    await apply(
        database,
        Models({older.version: older}, older),
        [committed(one) for one in random_batches(random.Random(1))],  # noqa: S311 - a shuffle that repeats
    )
    models = await load_models(database, SHIPPED)
    assert models.active.version == "fusion-1" != SHIPPED
    (first,) = await table(database, "model_switches")
    assert (first["version"], first["actor"]) == ("fusion-1", "results:newest")


async def test_without_the_head_batches_wait_and_nobody_is_parked(database: Database, models: Models) -> None:
    one = committed(batch(1, *predictions(chunk(0, text=said(0.2)))))
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM model_head")
    with pytest.raises(AppError, match="MODEL_UNUSABLE") as refusal:
        await apply(database, models, [one])
    assert fault_of(refusal.value) is Fault.OUTAGE
