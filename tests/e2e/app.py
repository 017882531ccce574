"""`python -m tests.e2e.app`: an app that is killed. It reads what it needs as JSON from its standard input, records the
chunks of a simulated session, and prints the id of each chunk that record() has returned, then "flushed".
"""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from uuid import UUID

from quietus_edge import EdgeClient, Limits
from quietus_edge.simulation import SimulatedChunk, generate

FLUSH_SECONDS = 60
LONGEST_RETRY_SECONDS = 0.5


def chunks(seed: int, end_time: datetime, count: int) -> tuple[SimulatedChunk, ...]:
    (session,) = generate("calm", seed, end_time, weeks=1, sessions_per_week=1, chunks_per_session=count)
    return session.chunks


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    planned = chunks(told["seed"], datetime.fromisoformat(told["end_time"]), told["chunks"])
    client = EdgeClient(
        told["ingest_address"],
        identity_address=told["identity_address"],
        api_key=told["api_key"],
        spool=Path(told["spool"]),
        limits=Limits(longest_retry_seconds=LONGEST_RETRY_SECONDS),
    )
    async with client as edge:
        async with edge.session(start=planned[0].chunk.start, session_id=UUID(told["session_id"])) as session:
            for one in planned:
                await session.record(vision=one.vision, audio=one.audio, text=one.text, chunk=one.chunk)
                print(one.chunk.chunk_id, flush=True)  # noqa: T201 - the test reads it
                await asyncio.sleep(told["pause_seconds"])
        await edge.flush(FLUSH_SECONDS)
    print("flushed", flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
