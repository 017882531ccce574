"""Ingest as it must not be: each function breaks one promise, until the patch is undone."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from services.ingest.content.chunk import ID
from services.ingest.grouping import Batch, Ledger, Outcome, Refusal
from services.ingest.senders import Sender
from services.ingest.service import recording, stream
from services.ingest.service.recording import Recorder
from services.ingest.vocabulary import Modality, Reason

Break = Callable[[pytest.MonkeyPatch], None]
_decide = Ledger.decide
_commit = Recorder.commit
_event = recording._event


def acknowledges_before_commit(patch: pytest.MonkeyPatch) -> None:
    one_after_the_other, tasks = asyncio.Lock(), set()

    async def store(recorder: Recorder, group: Sequence[Batch]) -> None:
        async with one_after_the_other:
            await _commit(recorder, group)

    async def commit(recorder: Recorder, group: Sequence[Batch]) -> Sequence[Outcome]:
        tasks.add(asyncio.create_task(store(recorder, group)))
        return [Outcome(batch.number, batch.size_predictions, batch.size_predictions) for batch in group]

    patch.setattr(Recorder, "commit", commit)


def decides_by_the_table_alone(patch: pytest.MonkeyPatch) -> None:
    """What stands in the same group isn't seen, and its second copy is dropped without a word."""

    def decide(ledger: Ledger, batch: Batch) -> Outcome:
        in_tables = ledger.__dict__.setdefault("in_tables", {m: set(ledger.digests[m]) for m in Modality})
        outcome = _decide(ledger, batch)
        dropped = {
            index
            for index, modality, chunk, _, _ in batch.candidates
            if batch.origin.session_id + chunk[ID] not in in_tables[modality]
        }
        told = [one for one in outcome.refusals if one.reason is not Reason.CONFLICT or one.index not in dropped]
        return outcome._replace(accepted=outcome.accepted + len(outcome.refusals) - len(told), refusals=told)

    patch.setattr(Ledger, "decide", decide)


def counts_duplicates_as_accepted(patch: pytest.MonkeyPatch) -> None:
    def decide(ledger: Ledger, batch: Batch) -> Outcome:
        outcome = _decide(ledger, batch)
        return outcome._replace(accepted=outcome.accepted + outcome.duplicates, duplicates=0)

    patch.setattr(Ledger, "decide", decide)


def lets_the_last_interval_stand(patch: pytest.MonkeyPatch) -> None:
    def decide(ledger: Ledger, batch: Batch) -> Outcome:
        for _, _, chunk, _, _ in batch.candidates:
            ledger.intervals.pop(batch.origin.session_id + chunk[ID], None)
        ledger._known_intervals = {}
        return _decide(ledger, batch)

    patch.setattr(Ledger, "decide", decide)


def tells_the_feed_of_duplicates(patch: pytest.MonkeyPatch) -> None:
    def decide(ledger: Ledger, batch: Batch) -> Outcome:
        outcome = _decide(ledger, batch)
        if not outcome.accepted and outcome.duplicates:
            ledger.accepted.append((batch, [index for index, *_ in batch.candidates]))
        return outcome

    patch.setattr(Ledger, "decide", decide)


def takes_a_conflict_for_a_duplicate(patch: pytest.MonkeyPatch) -> None:
    def decide(ledger: Ledger, batch: Batch) -> Outcome:
        outcome = _decide(ledger, batch)
        kept: list[Refusal] = [one for one in outcome.refusals if one.reason is not Reason.CONFLICT]
        return outcome._replace(duplicates=outcome.duplicates + len(outcome.refusals) - len(kept), refusals=kept)

    patch.setattr(Ledger, "decide", decide)


def forgets_who_numbers(patch: pytest.MonkeyPatch) -> None:
    """Numbers of all senders become the same."""
    patch.setattr(Sender, "first_number", 0)


def tells_nothing_as_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recording, "_event", lambda batch, indexes, ends: _event(batch, indexes, {}))


def acknowledges_the_next_number(patch: pytest.MonkeyPatch) -> None:
    """An acknowledgement of what isn't durable yet."""
    committed = stream.PredictionStream.committed

    def early(lane: stream.PredictionStream, outcome: Outcome) -> None:
        committed(lane, outcome._replace(batch_number=max(outcome.batch_number, lane._newest_number)))

    patch.setattr(stream.PredictionStream, "committed", early)


BREAKS: Sequence[Break] = (
    acknowledges_before_commit,
    decides_by_the_table_alone,
    counts_duplicates_as_accepted,
    lets_the_last_interval_stand,
    tells_the_feed_of_duplicates,
    takes_a_conflict_for_a_duplicate,
    forgets_who_numbers,
    tells_nothing_as_late,
    acknowledges_the_next_number,
)
