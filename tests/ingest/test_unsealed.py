"""Predictions of clients that can't seal, over a real channel, in the tables and on the feed."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import grpc
import pytest

from libs.common.rpc.errors import reason_of
from quietus.common.v1.types_pb2 import MODALITY_TEXT
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.predictions_pb2 import (
    CRISIS_SIGNAL_ACTIVE_IDEATION,
    TRANSCRIPT_STATE_NO_KEY,
    TRANSCRIPT_STATE_NOT_KEPT,
    TRANSCRIPT_STATE_SEALED,
    Prediction,
    PredictionBatch,
    TextCues,
    TextPrediction,
)
from quietus_edge.cues import extract, lexicon
from quietus_edge.ids import uuid7
from quietus_edge.sealing import TEXT_PREDICTIONS, SealingKey, make_key_pair
from services.ingest.service.batches import Arrival, SessionBatches, now, prepare
from services.ingest.service.hearing import Hearing
from services.ingest.sessions import Session, SessionKey, Status
from services.ingest.unsealed import Sealer
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.records import give_key, opened, sealed_for
from tests.ingest.suite import Person, Suite, running
from tests.ingest.test_store import backfilled, told
from tests.ingest.test_stream_limits import a_device

WORDS = "marigold sentence: I want to die, niko sawa though"


@pytest.fixture
async def thin_suite(make_database: MakeDatabase) -> AsyncIterator[Suite]:
    """A deployment that takes plain words."""
    async with running(make_database("ingest"), allow_plaintext=True) as suite:
        yield suite


def said(words: str = WORDS, chunk_id: UUID | None = None, **fields: object) -> Prediction:
    message = make.text(chunk_id)
    for name in ("cues", "valence", "sealed_transcript", "transcript_state"):
        message.text.ClearField(name)  # type: ignore[arg-type]
    message.text.MergeFrom(TextPrediction(plaintext_transcript=words, **fields))  # type: ignore[arg-type]
    return message


async def stored(person: Person, session_id: UUID) -> list[TextPrediction]:
    request = ingest_pb2.ListPredictionsRequest(session_id=str(session_id), modality=MODALITY_TEXT)
    response = await person.stub.ListPredictions(request, metadata=person.metadata)
    return [one.prediction.text for one in response.predictions]


async def everything(suite: Suite) -> str:
    async with suite.database.read() as tx:
        rows = [tuple(row) for table in ("text_predictions", "outbox") for row in await tx.fetch_all(f"TABLE {table}")]
    return repr(rows)


async def test_plain_words_are_refused_where_they_are_not_allowed_and_the_others_go_on(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    outcome = await person.record(session_id, make.batch(1, [make.vision(), said(), make.text()]))
    assert outcome.accepted == 2
    (refused,) = outcome.refusals
    assert (refused.index, refused.field) == (1, "text.plaintext_transcript")
    assert refused.reason == ingest_pb2.REFUSAL_REASON_PLAINTEXT_NOT_ALLOWED
    assert "marigold" not in await everything(suite)
    assert len(await stored(person, session_id)) == 1


async def test_words_become_cues_and_are_sealed_before_anything_is_kept(thin_suite: Suite) -> None:
    person = thin_suite.person()
    await give_key(thin_suite, person)
    session_id = await person.start_session()
    message = said()
    assert (await person.record(session_id, make.batch(1, [make.vision(), message]))).accepted == 2
    (text,) = await stored(person, session_id)
    assert opened(text.sealed_transcript, person, TEXT_PREDICTIONS, message.chunk_id) == WORDS
    assert text.transcript_state == TRANSCRIPT_STATE_SEALED
    assert text.cues.extractor_version == lexicon().version
    assert (list(text.cues.crisis_signals), list(text.cues.deflections)) == (
        [CRISIS_SIGNAL_ACTIVE_IDEATION],
        ["niko_sawa"],
    )
    assert text.valence == extract(WORDS).valence
    (committed,) = [event.predictions_committed for event in await told(thin_suite)][1:]
    assert committed.batch.predictions[1].text == text
    assert [event.predictions_committed.batch.predictions for event in await backfilled(thin_suite)][1][1].text == text
    assert "marigold" not in await everything(thin_suite)


async def test_without_a_key_words_are_discarded_and_their_cues_go(thin_suite: Suite) -> None:
    person = thin_suite.person()
    session_id = await person.start_session()
    await person.record(session_id, make.batch(1, [said()]))
    (text,) = await stored(person, session_id)
    assert (text.transcript_state, text.sealed_transcript) == (TRANSCRIPT_STATE_NO_KEY, b"")
    assert list(text.cues.crisis_signals) == [CRISIS_SIGNAL_ACTIVE_IDEATION]
    assert "marigold" not in await everything(thin_suite)


async def test_the_same_again_is_a_duplicate_though_it_is_sealed_anew(thin_suite: Suite) -> None:
    """Also when the key came in between: what is stored stays."""
    person, chunk_id = thin_suite.person(), uuid7()
    session_id = await person.start_session()
    message = said(chunk_id=chunk_id)
    await person.record(session_id, make.batch(1, [message]))
    await give_key(thin_suite, person)
    for number in (2, 3):
        outcome = await person.record(session_id, make.batch(number, [message]))
        assert (outcome.duplicates, len(outcome.refusals)) == (1, 0)
    message.text.confidence = 0.75
    conflict = await person.record(session_id, make.batch(4, [message]))
    assert conflict.refusals[0].reason == ingest_pb2.REFUSAL_REASON_CONFLICT
    (text,) = await stored(person, session_id)
    assert text.transcript_state == TRANSCRIPT_STATE_NO_KEY


async def test_what_the_client_found_stands(thin_suite: Suite) -> None:
    person = thin_suite.person()
    session_id = await person.start_session()
    own = TextCues(extractor_version="app-7", topics=["work"])
    await person.record(session_id, make.batch(1, [said(cues=own, valence=0.5)]))
    (text,) = await stored(person, session_id)
    assert (text.cues, text.valence) == (own, 0.5)


async def test_a_stream_takes_them_too_beside_what_is_sealed(thin_suite: Suite) -> None:
    person = thin_suite.person()
    await give_key(thin_suite, person)
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    sealed = make.text()
    sealed.text.sealed_transcript = sealed_for(person, TEXT_PREDICTIONS, sealed.chunk_id)
    messages = [make.vision(), said(), sealed, said("a second marigold")]
    await stream.send(1, messages)
    assert await stream.acknowledged(1) == []
    found = await stored(person, session_id)
    assert [text.transcript_state for text in found] == [TRANSCRIPT_STATE_SEALED] * 3
    assert opened(found[2].sealed_transcript, person, TEXT_PREDICTIONS, messages[3].chunk_id) == "a second marigold"
    assert "marigold" not in await everything(thin_suite)


async def test_what_is_found_belongs_to_the_batch_in_which_it_was_said(thin_suite: Suite) -> None:
    person = thin_suite.person()
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    texts = ["I'm fine", "", "my mother", "", "It's nothing", "we prayed"]
    for number, words in enumerate(texts, start=1):
        await stream.send(number, [make.vision(), said(words) if words else make.audio()])
    assert await stream.acknowledged(len(texts)) == []
    found = [extract(words).cues for words in texts if words]
    expected = [(one.deflections, one.topics, one.coping) for one in found]
    cues = [text.cues for text in await stored(person, session_id)]
    assert [(tuple(one.deflections), tuple(one.topics), tuple(one.coping)) for one in cues] == expected


async def test_others_go_on_while_words_are_read() -> None:
    turns = 0
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(Hearing().listen(make.batch(1, [said() for _ in range(20)]), a_device()))
        while not listening.done():
            turns += 1
            await asyncio.sleep(0)
    assert turns > 20
    assert listening.result().keys() == set(range(20))


async def test_words_are_paid_for_by_their_length(make_database: MakeDatabase) -> None:
    rates = {"device_predictions_per_second": 100, "burst_seconds": 5}
    async with running(make_database("ingest"), allow_plaintext=True, **rates) as suite:
        person = suite.person()
        session_id = await person.start_session()
        for number in (1, 2):
            assert (await person.record(session_id, make.batch(number, [said()]))).accepted == 1
        await person.record(session_id, make.batch(3, [said("word " * 3_200)]))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await person.record(session_id, make.batch(4, [said()]))
        assert reason_of(error.value) == "RATE_LIMITED"


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"transcript_state": TRANSCRIPT_STATE_SEALED}, "text.transcript_state", "UNKNOWN_VALUE"),
        ({"transcript_state": TRANSCRIPT_STATE_NOT_KEPT}, "text.transcript_state", "UNKNOWN_VALUE"),
        ({"sealed_transcript": b"\0\1k" + bytes(64)}, "text.transcript_state", "UNKNOWN_VALUE"),
        ({"plaintext_transcript": "é" * 8_193}, "text.plaintext_transcript", "TOO_LONG"),
        ({"confidence": 2.0}, "text.confidence", "OUT_OF_RANGE"),
        ({"cues": TextCues(topics=["What I said"])}, "text.cues.topics", "UNKNOWN_VALUE"),
    ],
)
async def test_a_bad_prediction_is_refused_without_its_words(
    thin_suite: Suite,
    fields: dict[str, object],
    field: str,
    reason: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    person = thin_suite.person()
    session_id = await person.start_session()
    message = said()
    message.text.MergeFrom(TextPrediction(**fields))  # type: ignore[arg-type]
    outcome = await person.record(session_id, make.batch(1, [message, make.vision()]))
    (refused,) = outcome.refusals
    assert (refused.field, ingest_pb2.RefusalReason.Name(refused.reason)) == (field, f"REFUSAL_REASON_{reason}")
    printed = capfd.readouterr()
    assert "marigold" not in await everything(thin_suite) + str(outcome) + printed.out + printed.err


def arrival(key: SealingKey, *messages: Prediction) -> Arrival:
    session = Session(SessionKey(uuid7(), uuid4(), "anon"), Status.ACTIVE, make.now(), None, make.now(), None)
    batches = SessionBatches(session, 0, Sealer(session.key.user_id, key))
    found = {index: extract(message.text.plaintext_transcript) for index, message in enumerate(messages)}
    return batches.arrive(make.batch(1, messages), now(), 1, found)


def test_a_key_that_seals_nothing_costs_nobody_words() -> None:
    """Whatever a slice fails of, it is made ready again in parts."""
    good = arrival(SealingKey("good", make_key_pair("passphrase").public_key), said(), said())
    guilty = arrival(SealingKey("guilty", bytes(32)), said())
    before = good.message.SerializeToString()
    with pytest.raises(ValueError, match="shared key"):
        prepare([good, guilty])
    assert good.message.SerializeToString() == before
    (batch,) = prepare([good])
    texts = [one.text for one in PredictionBatch.FromString(batch.content).predictions]
    assert [text.transcript_state for text in texts] == [TRANSCRIPT_STATE_SEALED] * 2
    assert not any(text.plaintext_transcript for text in texts)
    with pytest.raises(ValueError, match="shared key"):
        prepare([guilty])


async def test_the_longest_words_fit_when_they_are_sealed(thin_suite: Suite) -> None:
    person = thin_suite.person()
    await give_key(thin_suite, person)
    session_id = await person.start_session()
    message = said("é" * 8_192)
    assert (await person.record(session_id, make.batch(1, [message]))).accepted == 1
    (text,) = await stored(person, session_id)
    assert opened(text.sealed_transcript, person, TEXT_PREDICTIONS, message.chunk_id) == "é" * 8_192
