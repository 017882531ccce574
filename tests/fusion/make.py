"""Chunks, models and batches for tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st

from libs.common.values import value
from services.fusion.fold import ClientBatch, Models
from services.fusion.models import SHIPPED, read_document
from services.fusion.science.inputs import ChunkInputs, Said, Shown, Window
from services.fusion.science.model import FusionModel, parse_model
from services.fusion.vocabulary import CrisisSignal, Emotion, Level, Modality

MODEL: FusionModel = parse_model(read_document(SHIPPED)).model
MODELS = Models({MODEL.version: MODEL}, MODEL)
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
LENGTH = timedelta(seconds=10)
USER_ID = UUID("00000000-0000-4000-8000-000000000001")
SESSION_ID = UUID("019ca800-0000-7000-8000-000000000001")


def shown(
    emotion: Emotion = Emotion.NEUTRAL,
    probability: float = 0.1,
    confidence: float = 0.8,
    distribution: tuple[float, ...] | None = None,
) -> Shown:
    return Shown(emotion, probability, confidence, distribution, "simulated-1")


def said(
    probability: float = 0.1,
    confidence: float = 0.8,
    *,
    level: Level = Level.LOW,
    valence: float | None = None,
    deflection: bool = False,
    signals: frozenset[CrisisSignal] = frozenset(),
) -> Said:
    return Said(level, probability, confidence, valence, deflection, signals, "simulated-1")


def window(number: int, length: timedelta = LENGTH) -> Window:
    """The number-th of windows that follow one another."""
    start = START + number * length
    return Window(UUID(int=(0x7 << 76) + (0b10 << 62) + number), start, start + length)


def chunk(
    number: int = 0, vision: Shown | None = None, audio: Shown | None = None, text: Said | None = None
) -> ChunkInputs:
    at = window(number)
    return ChunkInputs(at.chunk_id, at.capture_start_time, at.capture_end_time, vision, audio, text)


def at(inputs: ChunkInputs, start: timedelta, length: timedelta) -> ChunkInputs:
    """The same, captured `start` after START."""
    return replace(inputs, capture_start_time=START + start, capture_end_time=START + start + length)


@value
class Prediction(Window):
    """One modality of one chunk, as a device sends it."""

    modality: Modality
    content: Shown | Said

    def brought(self) -> ChunkInputs:
        window = self.chunk_id, self.capture_start_time, self.capture_end_time
        return replace(ChunkInputs(*window), **{self.modality.label: self.content})


def predictions(inputs: ChunkInputs) -> list[Prediction]:
    contents = ((Modality.VISION, inputs.vision), (Modality.AUDIO, inputs.audio), (Modality.TEXT, inputs.text))
    return [
        Prediction(inputs.chunk_id, inputs.capture_start_time, inputs.capture_end_time, modality, content)
        for modality, content in contents
        if content is not None
    ]


def batch(number: int, *content: Prediction, session_id: UUID = SESSION_ID, user_id: UUID = USER_ID) -> ClientBatch:
    chunks: dict[UUID, ChunkInputs] = {}
    for one in content:
        known = chunks.get(one.chunk_id)
        chunks[one.chunk_id] = known.joined(one.brought()) if known else one.brought()
    received = START + timedelta(hours=1)
    return ClientBatch(user_id, f"anon_{user_id.hex[-4:]}", session_id, received, number, [*chunks.values()])


def four_decimals(low: float = 0.0, high: float = 1.0) -> st.SearchStrategy[float]:
    """As ingest keeps scores."""
    return st.integers(round(low * 10_000), round(high * 10_000)).map(lambda number: number / 10_000)


def distributions() -> st.SearchStrategy[tuple[float, ...]]:
    weights = st.lists(st.integers(0, 100), min_size=10, max_size=10).filter(any)
    return weights.map(lambda some: tuple(weight / sum(some) for weight in some))


def any_shown() -> st.SearchStrategy[Shown]:
    return st.builds(shown, st.sampled_from(Emotion), four_decimals(), four_decimals(), st.none() | distributions())


def any_said() -> st.SearchStrategy[Said]:
    return st.builds(
        said,
        four_decimals(),
        four_decimals(),
        level=st.sampled_from(Level),
        valence=st.none() | four_decimals(-1.0, 1.0),
        deflection=st.booleans(),
        signals=st.frozensets(st.sampled_from(CrisisSignal), max_size=2),
    )


def any_chunk(number: int = 0) -> st.SearchStrategy[ChunkInputs]:
    """With at least one modality."""
    optional = st.none() | any_shown(), st.none() | any_shown(), st.none() | any_said()
    return st.builds(chunk, st.just(number), *optional).filter(lambda made: bool(predictions(made)))


def irregular_sessions(max_size: int = 10) -> st.SearchStrategy[list[ChunkInputs]]:
    """Chunks of any length from none to minutes, hours apart, beside one another or at the same time."""
    milliseconds = st.integers(0, 10_000) | st.integers(0, 4 * 3600 * 1000)
    places = st.tuples(any_chunk(), milliseconds, st.integers(0, 20_000) | st.integers(0, 200_000))
    return st.lists(places, min_size=1, max_size=max_size).map(
        lambda placed: [
            at(
                chunk(number, one.vision, one.audio, one.text),
                timedelta(milliseconds=start),
                timedelta(milliseconds=length),
            )
            for number, (one, start, length) in enumerate(placed)
        ]
    )
