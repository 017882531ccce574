"""What the command line does, once it knows what is asked."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, dropwhile, groupby
from pathlib import Path
from typing import Any

import grpc
from tqdm import tqdm

from quietus_edge.client import EdgeClient
from quietus_edge.connection import Connection
from quietus_edge.errors import EdgeError, reason_of
from quietus_edge.replay import CheckedFile, Line, read_lines
from quietus_edge.settings import Limits
from quietus_edge.simulation import SimulatedSession
from quietus_edge.spool import totals_of
from quietus_edge.status import Problem, Refused

REACH_SECONDS = 5.0


@dataclass(frozen=True)
class Target:
    """Where to send, and as whom."""

    address: str
    identity_address: str
    api_key: str
    spool: Path
    tls: grpc.ChannelCredentials | None
    insecure: bool

    def client(self, say: Callable[[str], None]) -> EdgeClient:
        def refused(one: Refused) -> None:
            say(f"refused: {one.modality} of chunk {one.chunk_id}: {one.field} {one.reason}")

        def problem(one: Problem) -> None:
            say(f"{one.reason}: {one.message}")

        return EdgeClient(
            self.address,
            identity_address=self.identity_address,
            api_key=self.api_key,
            spool=self.spool,
            tls=self.tls,
            insecure=self.insecure,
            on_refused=refused,
            on_problem=problem,
        )


async def replay(target: Target, file: CheckedFile, timeout: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Records each line once, over all runs, and waits for the service after each session."""
    fact = f"replay:{file.digest}"
    async with target.client(say) as edge:
        done = int(await edge.fact(fact) or b"0")
        with tqdm(total=file.lines, unit="chunk", disable=None) as bar:
            left = dropwhile(lambda line: line.number <= done, _counted(read_lines(file.path), bar))
            for _, lines in groupby(left, key=lambda line: line.session):
                first = next(lines)
                async with edge.session(start=first.chunk.start if first.chunk else None) as session:
                    for line in chain((first,), lines):
                        recorded = (fact, str(line.number).encode())
                        await session.keep(line.vision, line.audio, line.text, line.chunk, recorded)
                        await _leave_room(edge, timeout)
                await edge.flush(timeout)
            await edge.flush(timeout)  # what an earlier run left
        return edge.status().as_dict()


async def simulate(
    target: Target, sessions: list[SimulatedSession], timeout: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Sends an invented person's sessions, oldest first."""
    async with target.client(say) as edge:
        for one in tqdm(sessions, unit="session", disable=None):
            async with edge.session(start=one.start, session_id=one.session_id) as session:
                for said in one.chunks:
                    await session.record(vision=said.vision, audio=said.audio, text=said.text, chunk=said.chunk)
            await edge.flush(timeout)
        return edge.status().as_dict()


async def reach(target: Target) -> dict[str, str]:
    """Whether identity takes the key and ingest can be reached: OK, or a reason."""
    connection = Connection(target.address, target.identity_address, target.api_key, target.tls, _anyone, REACH_SECONDS)
    try:
        await connection.metadata()
        identity = "OK"
    except grpc.RpcError as error:
        identity = reason_of(error) or error.code().name
    ingest = "OK" if await connection.reaches_ingest() else "UNAVAILABLE"
    await connection.close()
    return {"identity": identity, "ingest": ingest}


def spool_status(path: Path) -> dict[str, Any]:
    """What waits in a spool, also while an app uses it. EdgeError when there is none."""
    if not path.exists():
        raise EdgeError(f"there is no spool at {path}")
    totals = totals_of(path)
    return {
        "spool": str(path),
        "waiting_predictions": totals.waiting_predictions,
        "waiting_sessions": totals.waiting_sessions,
        "spool_bytes": totals.used_bytes,
        "acknowledged": totals.count("acknowledged"),
        "duplicates": totals.count("duplicates"),
        "refused": totals.reasons("refused"),
        "dropped": totals.reasons("dropped"),
        "transcripts_discarded": totals.count("transcripts_discarded"),
        "spool_went_back": totals.count("gone_back"),
    }


def _counted(lines: Iterable[Line], bar: "tqdm[Any]") -> Iterator[Line]:
    for line in lines:
        yield line
        bar.update()


async def _leave_room(edge: EdgeClient, timeout: float) -> None:
    """A long session waits for the service rather than push its own beginning out of the spool."""
    if edge.status().spool_bytes > Limits().max_spool_bytes // 2:
        await edge.flush(timeout)


async def _anyone(_: object) -> None:
    """Asking whether a key is good binds no spool."""
