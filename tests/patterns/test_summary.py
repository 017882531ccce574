from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.patterns.facts import MEASURES, ChunkFeatures, Cues, Dissonance, FusedChunk
from services.patterns.levels import Level
from services.patterns.summary import Summary, summarise
from tests.patterns.make import chunk, number_id


def summary_of(chunks: list[FusedChunk], features: list[ChunkFeatures] | None = None) -> Summary:
    return summarise(chunks, features or [], distressed_score=0.5)


def test_nothing_is_an_empty_summary() -> None:
    assert summary_of([]) == Summary()


def test_medians_of_measures_and_the_score_of_the_newest_chunk() -> None:
    features = [ChunkFeatures(number_id(n), {"pitch_mean": pitch}) for n, pitch in enumerate((200.0, 210.0, 900.0))]
    summary = summary_of([chunk(n, session_score=0.1 + n / 10) for n in range(3)], features)
    assert summary.features == {"pitch_mean": 210.0, "session_score": 0.1 + 0.2}


def test_features_of_a_chunk_that_is_not_fused_wait() -> None:
    assert summary_of([chunk(1)], [ChunkFeatures(number_id(2), {"pitch_mean": 200.0})]).features == {
        "session_score": 0.1
    }


def test_highest_level_and_masking() -> None:
    summary = summary_of(
        [
            chunk(1, level=Level.MEDIUM, dissonance=Dissonance.MASKING, dissonance_score=0.4),
            chunk(2, dissonance=Dissonance.MASKING, dissonance_score=0.6),
            chunk(3, dissonance=Dissonance.COPING, dissonance_score=0.9),
            chunk(4, dissonance=Dissonance.UNCLEAR, dissonance_score=0.9),
        ]
    )
    assert summary.highest_level is Level.MEDIUM
    assert (summary.judged_chunks, summary.masking_chunks, summary.masking_strength) == (3, 2, 0.5)


def test_mean_emotions_count_a_missing_label_as_zero() -> None:
    chunks = [chunk(1, emotions={"sad": 1.0}), chunk(2, emotions={"happy": 0.5, "sad": 0.5}), chunk(3)]
    assert summary_of(chunks).emotions == {"happy": 0.25, "sad": 0.75}


def test_cues_are_counted_by_chunk_and_topics_only_when_distressed() -> None:
    chunks = [chunk(1, 0.8), chunk(2, 0.2), chunk(3, 0.6)]
    features = [
        ChunkFeatures(number_id(1), cues=Cues("en", False, ("im_fine",), ("work",), ("breathing",))),
        ChunkFeatures(number_id(2), cues=Cues("sw", True, (), ("family",))),
        ChunkFeatures(number_id(3), cues=Cues("en", False, ("im_fine",), ("work",))),
    ]
    cues = summary_of(chunks, features).cues
    assert (cues.with_words, cues.deflecting, cues.code_switching) == (3, 2, 1)
    assert cues.languages == {"en": 2, "sw": 1}
    assert cues.deflections == {"im_fine": 2}
    assert cues.coping == {"breathing": 1}
    assert cues.distressed_topics == {"work": 2}
    assert cues.distressed_scores == {"work": 0.8 + 0.6}


chunks_of = st.lists(
    st.builds(
        chunk,
        number=st.integers(0, 20),
        score=st.floats(0, 1),
        level=st.sampled_from(Level),
        dissonance=st.sampled_from(Dissonance),
        dissonance_score=st.floats(0, 1),
        emotions=st.dictionaries(st.sampled_from(["sad", "happy", "fear"]), st.floats(0, 1)),
    ),
    max_size=8,
    unique_by=lambda one: one.chunk_id,
)
features_of = st.lists(
    st.builds(
        ChunkFeatures,
        chunk_id=st.integers(0, 20).map(number_id),
        measures=st.dictionaries(st.sampled_from(MEASURES), st.floats(0, 100), max_size=3),
    ),
    max_size=8,
    unique_by=lambda one: one.chunk_id,
)


@given(chunks=chunks_of, features=features_of, random=st.randoms(use_true_random=False))
def test_the_order_of_the_facts_never_matters(
    chunks: list[FusedChunk], features: list[ChunkFeatures], random: Random
) -> None:
    expected = summary_of(chunks, features)
    random.shuffle(chunks)
    random.shuffle(features)
    assert summary_of(chunks, features) == expected
