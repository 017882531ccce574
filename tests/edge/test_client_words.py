"""What was said: cues for the service, the rest sealed or discarded."""

import sqlite3
from pathlib import Path

import pytest

from quietus.ingest.v1 import predictions_pb2 as contract
from quietus_edge import TextCues, messages
from quietus_edge.cues import lexicon
from quietus_edge.errors import (
    InvalidInputError,
)
from quietus_edge.sealing import TEXT_PREDICTIONS, make_key_pair, unseal, unwrap
from tests.edge.fake_suite import FakeSuite
from tests.edge.make import PATIENCE_SECONDS, client, text


async def test_cues_and_valence_come_from_the_transcript_unless_the_app_gives_its_own(
    suite: FakeSuite, spool: Path
) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(text=text(transcript="Niko sawa, but I am sad about my family"))
            own = TextCues(extractor_version="app-7", language="sw", topics=("work",))
            await session.record(text=text(transcript="I want to die", cues=own, valence=0.25))
            await session.record(text=text(transcript="I want to die", cues=TextCues()))
            await session.record(text=text())
        await edge.flush(PATIENCE_SECONDS)
    found, given, silenced, wordless = (one.text for one in suite.predictions)
    assert (found.cues.extractor_version, found.cues.code_switching) == (lexicon().version, True)
    assert (list(found.cues.deflections), list(found.cues.topics)) == (["niko_sawa"], ["family"])
    assert found.valence < 0
    assert (given.cues, given.valence) == (messages.cues(own), 0.25)
    assert silenced.cues == contract.TextCues()
    assert silenced.valence <= -0.5
    assert not wordless.HasField("cues")
    assert not wordless.HasField("valence")


async def test_a_signal_that_only_the_transcript_tells_is_danger_to_the_spool(spool: Path) -> None:
    offline = FakeSuite()
    offline.address = "127.0.0.1:1"
    async with client(offline, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript="I am going to end it tonight"))
        await session.record(text=text(transcript="We went for a walk"))
    with sqlite3.connect(f"file:{spool}?mode=ro", uri=True) as file:
        assert file.execute("SELECT danger FROM records ORDER BY rowid").fetchall() == [(1,), (0,)]


@pytest.mark.parametrize("has_key", [False, True])
async def test_what_was_said_stands_nowhere_in_the_spool(suite: FakeSuite, spool: Path, has_key: bool) -> None:
    marker = "purple walruses recite my sorrow"
    suite.key_pair = make_key_pair("a passphrase") if has_key else None
    suite.acknowledge.clear()
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript=marker))
        with pytest.raises(InvalidInputError) as refused:
            await session.record(text=text(transcript=marker, distress_probability=2.0))
        written = b"".join(path.read_bytes() for path in spool.parent.iterdir())
        suite.acknowledge.set()
    assert b"text-1" in written
    assert b"walruses" not in written
    assert "walruses" not in str(refused.value)


async def test_a_transcript_is_sealed_for_the_person_and_their_chunk(suite: FakeSuite, spool: Path) -> None:
    suite.key_pair = make_key_pair("a long passphrase")
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            chunk = await session.record(text=text(transcript="a marker sentence"))
        await edge.flush(PATIENCE_SECONDS)
        assert edge.status().can_seal
    (stored,) = suite.predictions
    private_key = unwrap(suite.key_pair.wrapped_private_key, suite.key_pair.salt, "a long passphrase")
    opened = unseal(
        stored.text.sealed_transcript,
        private_key,
        table=TEXT_PREDICTIONS,
        user_id=suite.user_id,
        row_id=chunk.chunk_id,
    )
    assert opened == "a marker sentence"
    assert all(b"marker" not in one.read_bytes() for one in spool.parent.iterdir())


async def test_the_key_is_kept_for_the_time_offline(suite: FakeSuite, spool: Path) -> None:
    suite.key_pair = make_key_pair("a long passphrase")
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript="online"))
        await edge.flush(PATIENCE_SECONDS)
    await suite.stop()
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript="offline"))
        assert edge.status().can_seal
    await suite.start()
    async with client(suite, spool) as edge:
        await edge.flush(PATIENCE_SECONDS)
    assert [one.text.transcript_state for one in suite.predictions] == [contract.TRANSCRIPT_STATE_SEALED] * 2


async def test_without_a_key_cues_go_and_words_are_discarded(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(text=text(transcript="a marker sentence", valence=-0.5))
        await edge.flush(PATIENCE_SECONDS)
        assert not edge.status().can_seal
        assert edge.status().transcripts_discarded == 1
    (stored,) = suite.predictions
    assert (stored.text.transcript_state, stored.text.valence) == (contract.TRANSCRIPT_STATE_NO_KEY, -0.5)
    assert all(b"marker" not in one.read_bytes() for one in spool.parent.iterdir())
