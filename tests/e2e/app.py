"""`python -m tests.e2e.app`: an app with a session. It reads what it needs as JSON from its standard input and records
simulated chunks. It prints a line of JSON for each that record() has returned and for each problem; at last "flushed".

With `clock`, it lives through the session by a clock that is off by as many hours, one value after the other.
"""

import asyncio
import json
import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID

from quietus_edge import EdgeClient, Limits, connection, session, session_sender
from quietus_edge.simulation import SimulatedChunk, generate

FLUSH_SECONDS = 60
LONGEST_RETRY_SECONDS = 0.5


def chunks(seed: int, end_time: datetime, count: int) -> tuple[SimulatedChunk, ...]:
    (session,) = generate("calm", seed, end_time, weeks=1, sessions_per_week=1, chunks_per_session=count)
    return session.chunks


class Clock(datetime):
    """The device's, for everything in the SDK that asks for the time."""

    off = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.off


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - the test reads it


async def record(edge: EdgeClient, told: dict[str, Any]) -> None:
    planned = chunks(told["seed"], datetime.fromisoformat(told["end_time"]), told["chunks"])
    jumps = told["clock"]
    live = {} if jumps else {"start": planned[0].chunk.start, "session_id": UUID(told["session_id"])}
    async with edge.session(**live) as session:
        for number, one in enumerate(planned):
            if jumps:
                Clock.off = timedelta(hours=jumps[number * len(jumps) // len(planned)])
            given = None if jumps else one.chunk
            chunk = await session.record(vision=one.vision, audio=one.audio, text=one.text, chunk=given)
            said = {"chunk_id": str(chunk.chunk_id), "start": chunk.start.isoformat(), "end": chunk.end.isoformat()}
            say(session_id=str(session.session_id), number=number, **said)
            await asyncio.sleep(told["pause_seconds"])


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    for module in (connection, session, session_sender):
        module.datetime = Clock  # type: ignore[attr-defined]
    client = EdgeClient(
        told["ingest_address"],
        identity_address=told["identity_address"],
        api_key=told["api_key"],
        spool=Path(told["spool"]),
        limits=Limits(longest_retry_seconds=LONGEST_RETRY_SECONDS),
        on_problem=lambda problem: say(problem=problem.reason),
        on_refused=lambda refused: say(refused=refused.reason),
    )
    async with client as edge:
        await record(edge, told)
        await edge.flush(FLUSH_SECONDS)
    say(flushed=True)


if __name__ == "__main__":
    asyncio.run(main())
