"""What holds for all inputs: the laws of fusion, and its numbers against a reference that was written apart."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.fold import ChunkResult, ClientBatch, SessionFold, Standing
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays, Said, Shown
from services.fusion.science.session_state import LevelCause
from services.fusion.vocabulary import CRITICAL_SIGNALS, CrisisSignal, Direction, Emotion, Level
from tests.fusion import make
from tests.fusion.fold_support import fold, folded, new_fold
from tests.fusion.make import MODEL, batch, chunk, predictions, said, shown
from tests.fusion.reference_session import reference_session

TWELVE_DIGITS = 1e-12
THOUSANDS = 3000
SHOWING = st.sampled_from(["vision", "audio"])
RANDOM = st.randoms(use_true_random=False)


def arriving(chunks: Sequence[ChunkInputs], order: random.Random) -> list[ClientBatch]:
    """Modality by modality in any order, in batches of any size."""
    rest = [prediction for one in chunks for prediction in predictions(one)]
    order.shuffle(rest)
    batches = []
    while rest:
        size = order.randint(1, 5)
        batches.append(batch(len(batches) + 1, *rest[:size]))
        rest = rest[size:]
    return batches


def in_order(chunks: Sequence[ChunkInputs]) -> list[ClientBatch]:
    ordered = sorted(chunks, key=lambda one: one.key)
    return [batch(number, *predictions(one)) for number, one in enumerate(ordered, start=1)]


def results(*batches: ClientBatch) -> list[ChunkResult]:
    session = new_fold()
    fold(session, *batches)
    return [change.result for change in session.changes()]


def bits(some: Sequence[ChunkResult]) -> list[str]:
    """All but what counts arrivals. Python writes a float with as many digits as its bits need."""
    return [repr(replace(one, revision=0, batch_number=0)) for one in some]


@given(make.irregular_sessions(), RANDOM)
def test_irregular_late_and_disordered_chunks_give_the_state_of_those_in_order(
    chunks: list[ChunkInputs], order: random.Random
) -> None:
    assert bits(results(*arriving(chunks, order))) == bits(results(*in_order(chunks)))


@given(make.irregular_sessions(), RANDOM)
def test_any_grouping_of_batches_gives_the_same_results_and_tells_the_same(
    chunks: list[ChunkInputs], order: random.Random
) -> None:
    batches = arriving(chunks, order)
    together = new_fold()
    told = fold(together, *batches)
    written: dict[UUID, ChunkResult] = {}
    inputs: dict[UUID, ChunkInputs] = {}
    told_in_groups = []
    while batches:
        size = order.randint(1, 4)
        group, batches = batches[:size], batches[size:]
        session = continued(written, inputs)
        told_in_groups += fold(session, *group)
        written |= {change.result.chunk_id: change.result for change in session.changes()}
        inputs |= {chunk_id: session._inputs[chunk_id] for chunk_id in session._inputs}
    assert repr(told_in_groups) == repr(told)
    ordered = sorted(written.values(), key=lambda one: one.key)
    assert list(map(repr, ordered)) == [repr(change.result) for change in together.changes()]


def continued(written: Mapping[UUID, ChunkResult], inputs: Mapping[UUID, ChunkInputs]) -> SessionFold:
    """As a later transaction finds a session."""
    return SessionFold(make.MODELS, Standing(), sorted(written.values(), key=lambda one: one.key), inputs)


@given(make.irregular_sessions(max_size=20))
def test_a_session_is_what_the_reference_says(chunks: list[ChunkInputs]) -> None:
    session = new_fold()
    fold(session, *in_order(chunks))
    for change, expected in zip(session.changes(), reference_session(MODEL, chunks), strict=True):
        state, fused, finding = change.result.state, change.result.fused, change.finding
        assert change.result.chunk_id == expected.chunk_id
        assert state.score == pytest.approx(expected.score, abs=TWELVE_DIGITS)
        assert (state.level.label, state.cause.value) == (expected.level, expected.cause)
        assert (fused.floor and fused.floor.label) == expected.fused.floor
        assert fused.evidence == pytest.approx(expected.fused.evidence, abs=TWELVE_DIGITS)
        contributions = {part.modality.label: part.logit for part in fused.contributions}
        assert contributions == pytest.approx(expected.fused.contributions, abs=TWELVE_DIGITS)
        assert (finding and finding.interpretation) == expected.finding
        assert (finding and finding.level.label) == expected.finding_level
        assert list(finding.evidence if finding else ()) == expected.evidence


def some_shown(order: random.Random) -> Shown | None:
    shares = [order.random() for _ in Emotion]
    distribution = tuple(share / sum(shares) for share in shares) if order.random() < 0.5 else None
    one = shown(order.choice(list(Emotion)), order.random(), order.random(), distribution)
    return one if order.random() < 0.8 else None


def some_said(order: random.Random) -> Said | None:
    signals = frozenset(order.sample(list(CrisisSignal), order.choice([0, 0, 1, 2])))
    valence = order.uniform(-1, 1) if order.random() < 0.8 else None
    one = said(order.random(), order.random(), level=order.choice(list(Level)), valence=valence, signals=signals)
    return one if order.random() < 0.8 else None


@pytest.mark.parametrize("seed", range(2))
def test_a_chunk_alone_has_the_bits_that_it_has_among_thousands(seed: int) -> None:
    """Whatever its place: the ends of arrays are computed by other instructions than their middle."""
    order = random.Random(seed)  # noqa: S311 - repeatable on purpose
    crowd = [chunk(number, some_shown(order), some_shown(order), some_said(order)) for number in range(THOUSANDS)]
    among = [repr(one) for one in fuse_chunks(MODEL, InputArrays.of(crowd))]
    for place in order.sample(range(THOUSANDS), 60):
        assert repr(fuse_chunks(MODEL, InputArrays.of([crowd[place]]))[0]) == among[place]
    for _ in range(20):
        start = order.randrange(THOUSANDS)
        end = min(THOUSANDS, start + order.randint(1, 100))
        assert [repr(one) for one in fuse_chunks(MODEL, InputArrays.of(crowd[start:end]))] == among[start:end]


@given(
    st.lists(make.any_chunk(), max_size=8),
    make.any_chunk(),
    make.any_said(),
    st.sets(st.sampled_from(sorted(CRITICAL_SIGNALS)), min_size=1),
)
def test_a_critical_cue_is_critical_whatever_the_others_say(
    before: list[ChunkInputs], one: ChunkInputs, text: Said, signals: set[CrisisSignal]
) -> None:
    cue = chunk(len(before), one.vision, one.audio, text._replace(signals=text.signals | signals))
    earlier = [chunk(number, each.vision, each.audio, each.text) for number, each in enumerate(before)]
    last = folded([*earlier, cue])[-1]
    assert (last.state.level, last.state.cause) == (Level.CRITICAL, LevelCause.CRISIS_CUE)
    assert last.fused.critical_cue


@given(st.lists(make.any_chunk(), min_size=1, max_size=8), st.data())
def test_which_emotion_is_shown_moves_neither_score_nor_level(chunks: list[ChunkInputs], data: st.DataObject) -> None:
    """So no "sad" drives the risk, however sure: what counts is the distress that a model says."""
    session = [chunk(number, each.vision, each.audio, each.text) for number, each in enumerate(chunks)]
    place = data.draw(st.integers(0, len(session) - 1))
    modality = data.draw(SHOWING)
    was = getattr(session[place], modality)
    if was is None:
        return
    other = data.draw(make.any_shown())
    sad = was._replace(emotion=other.emotion, distribution=other.distribution)
    changed = [*session[:place], replace(session[place], **{modality: sad}), *session[place + 1 :]]
    assert [risk(one) for one in folded(changed)] == [risk(one) for one in folded(session)]


def risk(one: ChunkResult) -> str:
    state, fused = one.state, one.fused
    return repr(
        (fused.score, fused.logit, fused.confidence, fused.contributions, state.score, state.level, state.cause)
    )


@given(make.four_decimals(), SHOWING, st.integers(0, 12), st.booleans())
def test_one_sad_moment_doesnt_raise_the_level(
    confidence: float, modality: str, calm_chunks: int, is_distribution: bool
) -> None:
    """Of one modality, whatever its confidence, where its distress is what a calm person's is."""
    calm = MODEL.distress.prior
    distribution = tuple(float(emotion is Emotion.SAD) for emotion in Emotion) if is_distribution else None
    sad = shown(Emotion.SAD, calm, confidence, distribution)
    before = [chunk(number, shown(probability=calm), shown(probability=calm)) for number in range(calm_chunks)]
    last = folded([*before, replace(chunk(calm_chunks), **{modality: sad})])[-1]
    assert last.state.level is Level.LOW
    assert last.fused.direction is Direction.UNCLEAR


@given(make.four_decimals(), make.four_decimals(), SHOWING)
def test_ten_seconds_of_one_face_or_voice_alone_never_reach_high(
    probability: float, confidence: float, modality: str
) -> None:
    """Not even when nothing else is known of the session, and the model is sure."""
    one = replace(chunk(), **{modality: shown(Emotion.SAD, probability, confidence)})
    assert folded([one])[0].state.level < Level.HIGH
