"""Whatever clients do, in whatever order."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.ingest.protocol_acts import SESSIONS, STREAMS, Acts, Contents
from tests.ingest.protocol_client import CREDIT_BATCHES, Server
from tests.ingest.protocol_messages import BAD_MESSAGES, BAD_OPENINGS
from tests.ingest.protocol_model import CHUNKS, DEFECTS, MODALITIES, SAYINGS, Shape

T = TypeVar("T")

shapes = st.builds(
    Shape,
    chunk=st.integers(0, CHUNKS - 1),
    modality=st.sampled_from(sorted(MODALITIES)),
    window=st.sampled_from([0, 0, 0, 1]),
    said=st.sampled_from(SAYINGS),
    defect=st.none() | st.none() | st.sampled_from(sorted(DEFECTS)),
)
contents = st.lists(shapes, min_size=1, max_size=4).map(tuple)
several = st.lists(contents, min_size=1, max_size=3)
sessions = st.integers(0, SESSIONS - 1)
streams = st.integers(0, STREAMS - 1)


class ProtocolMachine(RuleBasedStateMachine):
    """`server` runs in the loop of `runner`, for all examples."""

    server: Server
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.sound = False
        self.acts = Acts(self.server)
        self.run(self.acts.begin())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        self.sound = False
        result = self.runner.run(work)
        self.sound = True
        return result

    @rule(index=sessions, stream=streams, contents=several, gap=st.integers(1, 3))
    def send(self, index: int, stream: int, contents: list[Contents], gap: int) -> None:
        session = self.acts.sessions[index]
        batches = session.fixed(stream, contents, gap)
        self.run(self.acts.round({index: [self.acts.stream(session, stream, batches)]}))

    @rule(index=sessions, one=several, other=several, single=st.none() | contents)
    def send_on_two_streams_at_once(
        self, index: int, one: list[Contents], other: list[Contents], single: Contents | None
    ) -> None:
        session = self.acts.sessions[index]
        lanes = [
            self.acts.stream(session, stream, session.fixed(stream, contents))
            for stream, contents in enumerate([one, other])
        ]
        if single:
            lanes.append(self.acts.record(session, *session.fixed(0, [single])))
        self.run(self.acts.round({index: lanes}))

    @rule(contents=st.lists(several, min_size=SESSIONS, max_size=SESSIONS))
    def send_to_all_sessions_at_once(self, contents: list[list[Contents]]) -> None:
        self.run(
            self.acts.round(
                {
                    index: [self.acts.stream(session, 0, session.fixed(0, contents[index]))]
                    for index, session in enumerate(self.acts.sessions)
                }
            )
        )

    @rule(index=sessions, stream=streams, contents=several)
    def beat(self, index: int, stream: int, contents: list[Contents]) -> None:
        session = self.acts.sessions[index]
        self.run(self.acts.round({index: [self.acts.beat(session, stream, session.fixed(stream, contents))]}))

    @rule(index=sessions, stream=streams, content=contents, again=st.booleans(), number=st.none() | st.integers(1, 9))
    def record(self, index: int, stream: int, content: Contents, again: bool, number: int | None) -> None:
        """Under any number, since no stream counts it."""
        session = self.acts.sessions[index]
        sent = session.sent[stream]
        batch = sent[-1] if again and sent else session.fixed(stream, [content])[0]
        renumbered = replace(batch, number=number or batch.number)
        self.run(self.acts.round({index: [self.acts.record(session, renumbered)]}))

    @rule(index=sessions, stream=streams, back=st.integers(1, 3))
    def resend(self, index: int, stream: int, back: int) -> None:
        """As a client does that didn't hear of its newest batches."""
        session = self.acts.sessions[index]
        self.run(self.acts.leave(session, stream))
        if batches := session.sent[stream][-back:]:
            self.run(self.acts.round({index: [self.acts.stream(session, stream, batches)]}))

    @rule(index=sessions, stream=streams, contents=several, hears=st.integers(0, 1))
    def be_cut_and_resume(self, index: int, stream: int, contents: list[Contents], hears: int) -> None:
        batches = self.acts.sessions[index].fixed(stream, contents)
        self.run(self.acts.cut(index, stream, batches, hears))

    @rule(index=sessions, stream=streams, content=contents)
    def record_be_cut_and_repeat(self, index: int, stream: int, content: Contents) -> None:
        session = self.acts.sessions[index]
        (batch,) = session.fixed(stream, [content])
        lanes = [self.acts.record_and_leave(session, batch), self.acts.record(session, batch)]
        self.run(self.acts.round({index: lanes}))

    @rule(index=sessions, stream=streams, contents=st.lists(contents, max_size=2), bad=st.sampled_from(BAD_MESSAGES))
    def send_what_ends_the_stream(self, index: int, stream: int, contents: list[Contents], bad: str) -> None:
        batches = self.acts.sessions[index].fixed(stream, contents)
        self.run(self.acts.spoil(index, stream, batches, bad))

    @rule(index=sessions, bad=st.sampled_from(BAD_OPENINGS))
    def open_badly(self, index: int, bad: str) -> None:
        self.run(self.acts.open_badly(self.acts.sessions[index], bad))

    @rule(index=sessions, contents=st.lists(contents, min_size=CREDIT_BATCHES + 1, max_size=CREDIT_BATCHES + 1))
    def exceed_the_credit(self, index: int, contents: list[Contents]) -> None:
        self.run(self.acts.exceed(index, self.acts.sessions[index].fixed(0, contents)))

    @rule(contents=st.lists(several, min_size=SESSIONS, max_size=SESSIONS))
    def drain(self, contents: list[list[Contents]]) -> None:
        fixed = [session.fixed(0, content) for session, content in zip(self.acts.sessions, contents, strict=True)]
        self.run(self.acts.drain(fixed))

    @rule(index=sessions, contents=several)
    def end_while_sending(self, index: int, contents: list[Contents]) -> None:
        session = self.acts.sessions[index]
        lanes = [self.acts.stream(session, 0, session.fixed(0, contents)), self.acts.end(session)]
        self.run(self.acts.round({index: lanes}))

    @rule(index=sessions)
    def end(self, index: int) -> None:
        self.run(self.acts.round({index: [self.acts.end(self.acts.sessions[index])]}))

    @rule(index=sessions, stream=streams, contents=several)
    @precondition(lambda self: any(session.world.ended for session in self.acts.sessions))
    def come_late_and_start_anew(self, index: int, stream: int, contents: list[Contents]) -> None:
        session = self.acts.sessions[index]
        if session.world.ended:
            self.run(self.acts.round({index: [self.acts.stream(session, stream, session.fixed(stream, contents))]}))
            self.acts.past.append(session)
            self.acts.sessions[index] = self.run(self.acts.started())
            self.run(self.acts.read_feed())

    def teardown(self) -> None:
        try:
            if self.sound:
                self.run(self.acts.check_what_is_kept())
        finally:
            self.acts.leave_all()
