"""What may happen to ingest, to its database, and to the network between it and its clients."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

import asyncpg
import psutil

from tests.e2e.polling import PATIENCE_SECONDS, eventually, until
from tests.e2e.reordering import ReorderingDevices
from tests.e2e.stage import Fault, Scene
from tests.e2e.suite import POSTGRES
from tests.support import disk

STOP_SECONDS = 5.0
STALL_SECONDS = 0.7
SLOW_SECONDS = 1.0
SLOW_BYTES_PER_SECOND = 20_000
LONGEST_DELAY_SECONDS = 0.15
CUTS = 4
REPLAYS, MOST_REPLAYS = 2, 50
STUCK_SECONDS = 20.0
# Long enough that everything that was on its way is acknowledged or stuck.
SILENT_SECONDS = 0.5


@asynccontextmanager
async def _streams_stay_open(scene: Scene) -> AsyncIterator[None]:
    """Whatever becomes of the database."""
    ledger = scene.devices.ledger
    broken = ledger.broken_streams
    yield
    acknowledged = len(ledger.acknowledged)
    await until(lambda: len(ledger.acknowledged) > acknowledged or scene.devices.finished, "all goes on by itself")
    assert ledger.broken_streams == broken, "streams ended with an error"


async def nothing_happens(scene: Scene) -> None:
    await scene.in_mid_stream()


async def ingest_is_killed(scene: Scene) -> None:
    await _kill(scene, "ingest")


async def postgres_is_killed(scene: Scene) -> None:
    async with _streams_stay_open(scene):
        await _kill(scene, POSTGRES)


async def _kill(scene: Scene, victim: str) -> None:
    process_id = scene.suite.process_id(victim)
    assert process_id
    await scene.in_mid_stream()
    scene.suite.kill(victim)
    await scene.suite.comes_back(victim, process_id)


async def a_backend_is_killed(scene: Scene) -> None:
    """One of ingest's. Postgres ends all others too, and recovers."""
    backends = await _backends(scene)
    async with _streams_stay_open(scene):
        await scene.in_mid_stream()
        os.kill(scene.rng.choice(backends), signal.SIGKILL)
        await eventually(scene.suite.database_silent, "Postgres takes connections")


async def _backends(scene: Scene) -> list[int]:
    connection = await asyncpg.connect(scene.suite.dsn)
    try:
        rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE usename = 'quietus_ingest'")
        return [row["pid"] for row in rows]
    finally:
        await connection.close()


async def ingest_stands_still(scene: Scene) -> None:
    process_id = scene.suite.process_id("ingest")
    assert process_id
    await scene.in_mid_stream()
    async with _standing_still([psutil.Process(process_id)]):
        await asyncio.sleep(STOP_SECONDS)


async def postgres_stands_still(scene: Scene) -> None:
    await scene.in_mid_stream()
    async with _streams_stay_open(scene), _standing_still(_processes_of_postgres(scene)):
        await asyncio.sleep(STOP_SECONDS)


@asynccontextmanager
async def _standing_still(processes: Iterable[psutil.Process]) -> AsyncIterator[None]:
    stopped = list(processes)
    for process in stopped:
        _signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            _signal(process, signal.SIGCONT)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):  # one of Postgres's that had done its work
        process.send_signal(number)


def _processes_of_postgres(scene: Scene) -> list[psutil.Process]:
    """Who keeps it running comes first."""
    supervisor = psutil.Process(scene.suite.supervisor_id())
    return [supervisor, *supervisor.children(recursive=True)]


async def the_disk_is_full(scene: Scene) -> None:
    assert scene.disk_is_small, "this process may not mount a small disk"
    folder = scene.suite.plan.postgres_dir
    await scene.in_mid_stream()
    async with _streams_stay_open(scene):
        disk.fill(folder)
        try:
            await scene.is_silent(SILENT_SECONDS)
            assert disk.free_bytes(folder) < 1 << 20
        finally:
            disk.empty(folder)


async def files_can_not_grow(scene: Scene) -> None:
    """What a quota does; and what a machine has in place of a full disk when nothing can be mounted there."""
    await scene.in_mid_stream()
    async with _streams_stay_open(scene):
        disk.limit_files(_processes_of_postgres(scene))
        try:
            await scene.is_silent(SILENT_SECONDS)
        finally:
            await _without_limits(scene)


async def _without_limits(scene: Scene) -> None:
    """A server that began anew under the limits, and couldn't, may neither serve nor end by itself (PostgreSQL 18)."""
    try:
        await eventually(lambda: _unlimited(scene), "Postgres runs without limits", STUCK_SECONDS)
    except AssertionError:
        process_id = scene.suite.process_id(POSTGRES)
        assert process_id
        scene.suite.kill(POSTGRES)
        await scene.suite.comes_back(POSTGRES, process_id)
        await eventually(lambda: _unlimited(scene), "Postgres runs without limits")


async def _unlimited(scene: Scene) -> str:
    """Whoever is about to start has the limits of who starts it; its id may not be written down yet."""
    with suppress(psutil.NoSuchProcess, ValueError):
        disk.unlimit_files(_processes_of_postgres(scene))
    return await scene.suite.database_silent()


async def connections_are_cut_in_mid_message(scene: Scene) -> None:
    for _ in range(CUTS):
        await scene.in_mid_stream()
        await asyncio.wait_for(scene.proxy.cut_in_message("up"), PATIENCE_SECONDS)


async def connections_are_cut_in_mid_answer(scene: Scene) -> None:
    """What was acknowledged is stored, and the device doesn't know."""
    for _ in range(CUTS):
        await scene.in_mid_stream()
        await asyncio.wait_for(scene.proxy.cut_in_message("down"), PATIENCE_SECONDS)


async def connections_are_cut(scene: Scene) -> None:
    for _ in range(CUTS):
        await scene.in_mid_stream()
        await asyncio.sleep(scene.rng.uniform(0, 0.1))
        scene.proxy.cut()


async def the_network_delays(scene: Scene) -> None:
    """Each piece for another time; those of one connection stay in order, as TCP keeps them."""
    scene.proxy.delay = lambda: scene.rng.uniform(0, LONGEST_DELAY_SECONDS)
    await scene.in_mid_stream()
    await asyncio.sleep(SLOW_SECONDS)


async def the_network_stalls(scene: Scene) -> None:
    """First towards ingest, then its answers, then both, and at the end the connections are gone."""
    for directions in (("up",), ("down",), ("up", "down")):
        await scene.in_mid_stream()
        scene.proxy.hold(*directions)
        await asyncio.sleep(STALL_SECONDS)
        if len(directions) > 1:
            scene.proxy.cut()
        scene.proxy.heal()


async def the_network_is_slow(scene: Scene) -> None:
    scene.proxy.bytes_per_second = SLOW_BYTES_PER_SECOND
    await scene.in_mid_stream()
    await asyncio.sleep(SLOW_SECONDS)


async def the_network_duplicates(scene: Scene) -> None:
    """Connections are cut; what was said on them arrives once more, when more has been said on others."""
    answers = scene.proxy.answers_to_replays
    for _ in range(REPLAYS):
        await scene.in_mid_stream()
        scene.proxy.cut()
        await scene.in_mid_stream()
        await scene.proxy.replay()
    for _ in range(MOST_REPLAYS):  # on a busy machine an answer may come when nobody listens any more
        if scene.proxy.answers_to_replays > answers:
            return
        await scene.proxy.replay()
    raise AssertionError("ingest didn't hear what was said again")


async def streams_overtake_each_other(scene: Scene) -> None:
    """The devices send twice and out of order, by several streams; delays mix them, cuts make them start anew."""
    scene.proxy.delay = lambda: scene.rng.uniform(0, LONGEST_DELAY_SECONDS / 5)
    for _ in range(2):
        await scene.in_mid_stream()
        await asyncio.sleep(0.2)
        scene.proxy.cut()


FAULTS: Mapping[str, Fault] = {
    strike.__name__: Fault(strike)
    for strike in (
        ingest_is_killed,
        postgres_is_killed,
        a_backend_is_killed,
        ingest_stands_still,
        postgres_stands_still,
        the_disk_is_full,
        files_can_not_grow,
        connections_are_cut_in_mid_message,
        connections_are_cut_in_mid_answer,
        connections_are_cut,
        the_network_delays,
        the_network_stalls,
        the_network_is_slow,
        the_network_duplicates,
    )
} | {streams_overtake_each_other.__name__: Fault(streams_overtake_each_other, ReorderingDevices)}
