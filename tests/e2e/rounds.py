"""Rounds of SIGKILL in mid-stream. A round counts only if a batch was unacknowledged at the moment of the kill."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.devices import Devices
from tests.e2e.polling import until
from tests.e2e.suite import POSTGRES, Suite

ATTEMPTS = 3
FIRST_ACKNOWLEDGEMENTS = 10
FIRST_HITS = 4
# The kernel's clock for files ticks no slower than this.
FILE_CLOCK_NANOSECONDS = 10_000_000


@dataclass(frozen=True)
class Kill:
    """At a failpoint of the victim, or at a random moment."""

    victim: str
    failpoint: str = ""

    def __str__(self) -> str:
        return f"{self.victim} at {self.failpoint or 'a random moment'}"


ALL: Sequence[Kill] = (
    Kill("identity"),
    Kill("ingest"),
    Kill("fusion"),
    Kill("patterns"),
    Kill("alerts"),
    Kill(POSTGRES),
    Kill("ingest", "ingest.before_commit"),
    Kill("ingest", "ingest.after_commit_before_ack"),
    Kill("ingest", "feed.after_commit_before_publish"),
    Kill("fusion", "feed.after_commit_before_publish"),
    Kill("fusion", "follower.before_commit"),
    Kill("patterns", "follower.after_commit"),
    Kill("alerts", "follower.before_commit"),
)


async def play(kill: Kill, suite: Suite, devices: Devices, rng: random.Random) -> None:
    """Repeats the round until it counts. Then everything sent is acknowledged."""
    for _ in range(ATTEMPTS):
        await _everybody_follows(suite, devices)
        victim = suite.process_id(kill.victim)
        assert victim
        counts = await _kill_in_mid_stream(kill, suite, devices, rng)
        devices.tap.clear()
        await suite.comes_back(kill.victim, victim)
        await devices.everything_sent_is_acknowledged()
        if counts:
            return
    raise AssertionError(f"nothing was in flight in {ATTEMPTS} kills of {kill}")


async def _everybody_follows(suite: Suite, devices: Devices) -> None:
    """After a kill the victim's followers wait longer and longer before they connect anew: a few batches show it."""
    await _stream(devices, batches=1)
    devices.tap.clear()
    await devices.everything_sent_is_acknowledged()
    await suite.settled()


async def _kill_in_mid_stream(kill: Kill, suite: Suite, devices: Devices, rng: random.Random) -> bool:
    """Whether something was in flight."""
    await _stream(devices, batches=rng.randint(1, FIRST_ACKNOWLEDGEMENTS))
    if kill.failpoint:
        return await _kill_at_failpoint(kill, suite, devices, rng.randint(1, FIRST_HITS))
    suite.kill(kill.victim)
    return True


async def _stream(devices: Devices, batches: int) -> None:
    """Returns in a moment in which more of them are acknowledged, and something is in flight."""
    enough = len(devices.ledger.acknowledged) + batches
    devices.tap.set()
    await until(
        lambda: (len(devices.ledger.acknowledged) >= enough and bool(devices.ledger.in_flight)) or devices.finished,
        "devices stream",
    )
    assert not devices.finished, "the devices had too little to send for all rounds"


async def _kill_at_failpoint(kill: Kill, suite: Suite, devices: Devices, hit: int) -> bool:
    """Whether something was in flight when the process killed itself, at whichever moment of the log's clock tick."""
    hits = len(suite.hits())
    suite.arm(kill.victim, kill.failpoint, hit)
    await until(lambda: len(suite.hits()) > hits or devices.finished, f"{kill} is hit")
    seen = time.time_ns()
    assert len(suite.hits()) > hits, f"{kill} was not hit before the devices had sent everything"
    logged = suite.failpoints_log.stat().st_mtime_ns
    return devices.ledger.in_flight_throughout(logged, min(logged + FILE_CLOCK_NANOSECONDS, seen))
