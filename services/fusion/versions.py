"""Which version of the model fuses a client batch: a function of when ingest received it, and of nothing else."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from services.fusion.fold import ClientBatch


@dataclass(frozen=True, slots=True)
class Switch:
    """From here on another version makes the results."""

    number: int  # 1 is the version that the slice began with
    version: str
    effect_time: datetime  # it holds for what ingest received after this moment
    actor: str  # as the audit log names who did it
    switch_time: datetime


def version_at(switches: Sequence[Switch], receive_time: datetime) -> str:
    """`switches` by number, at least one; their effect times never go back. The first one holds from the beginning."""
    earlier = bisect_left(switches, receive_time, key=_EFFECT_TIME)
    return switches[max(earlier - 1, 0)].version


def by_version(
    switches: Sequence[Switch], batches: Sequence[ClientBatch]
) -> Iterator[tuple[str, Sequence[ClientBatch]]]:
    """The batches in their order, parted where the version changes."""
    for version, run in groupby(batches, lambda batch: version_at(switches, batch.receive_time)):
        yield version, list(run)


_EFFECT_TIME = attrgetter("effect_time")
