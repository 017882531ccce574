"""What the chunks of one session come to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from statistics import fmean, median
from uuid import UUID

from services.patterns.facts import MEASURES, ChunkFeatures, Cues, Dissonance, FusedChunk
from services.patterns.levels import Level

SESSION_SCORE = "session_score"
FEATURES = (*MEASURES, SESSION_SCORE)


@dataclass(frozen=True, slots=True)
class CueCounts:
    """Chunks in which each cue was found. `distressed_topics` are topics of chunks at or above the distressed score;
    `distressed_scores` sums the fused scores of those chunks."""

    with_words: int = 0
    deflecting: int = 0
    code_switching: int = 0
    languages: Mapping[str, int] = field(default_factory=dict)
    deflections: Mapping[str, int] = field(default_factory=dict)
    coping: Mapping[str, int] = field(default_factory=dict)
    distressed_topics: Mapping[str, int] = field(default_factory=dict)
    distressed_scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """`features`: medians of the measures, and the session score at the newest chunk. `emotions`: mean of the fused
    emotions. `masking_strength`: mean strength over the masking chunks, [0, 1]."""

    chunks: int = 0
    highest_level: Level = Level.LOW
    judged_chunks: int = 0
    masking_chunks: int = 0
    masking_strength: float = 0.0
    features: Mapping[str, float] = field(default_factory=dict)
    emotions: Mapping[str, float] = field(default_factory=dict)
    cues: CueCounts = field(default_factory=CueCounts)


def summarise(chunks: Sequence[FusedChunk], features: Iterable[ChunkFeatures], *, distressed_score: float) -> Summary:
    """A pure function of the two sets: their order never matters. A chunk may have several features, one for each
    modality. Features of chunks that aren't fused don't count."""
    chunks = sorted(chunks, key=lambda chunk: chunk.order)
    if not chunks:
        return Summary()
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    known = sorted((one for one in features if one.chunk_id in by_id), key=lambda one: one.chunk_id)
    judged = [chunk for chunk in chunks if chunk.dissonance is not Dissonance.UNCLEAR]
    masking = [chunk.dissonance_score for chunk in judged if chunk.dissonance is Dissonance.MASKING]
    return Summary(
        chunks=len(chunks),
        highest_level=max(chunk.level for chunk in chunks),
        judged_chunks=len(judged),
        masking_chunks=len(masking),
        masking_strength=fmean(masking) if masking else 0.0,
        features=_medians(known) | {SESSION_SCORE: chunks[-1].session_score},
        emotions=mean_emotions(chunk.emotions for chunk in chunks),
        cues=_count_cues(known, by_id, distressed_score),
    )


def _medians(features: Iterable[ChunkFeatures]) -> dict[str, float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for one in features:
        for name, value in one.measures.items():
            values[name].append(value)
    return {name: median(values[name]) for name in sorted(values)}


def mean_emotions(distributions: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Each that isn't empty counts the same; an emotion that one doesn't name has probability 0 in it."""
    known = [distribution for distribution in distributions if distribution]
    names = sorted({name for distribution in known for name in distribution})
    return {name: fsum(distribution.get(name, 0.0) for distribution in known) / len(known) for name in names}


def _count_cues(
    features: Iterable[ChunkFeatures], chunks: Mapping[UUID, FusedChunk], distressed_score: float
) -> CueCounts:
    heard: list[tuple[Cues, float]] = [(one.cues, chunks[one.chunk_id].score) for one in features if one.cues]
    distressed = [(topic, score) for cues, score in heard if score >= distressed_score for topic in set(cues.topics)]
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for topic, score in distressed:
        scores[topic].append(score)
    return CueCounts(
        with_words=len(heard),
        deflecting=sum(bool(cues.deflections) for cues, _ in heard),
        code_switching=sum(cues.code_switching for cues, _ in heard),
        languages=_counts(cues.language for cues, _ in heard if cues.language),
        deflections=_counts(name for cues, _ in heard for name in set(cues.deflections)),
        coping=_counts(name for cues, _ in heard for name in set(cues.coping)),
        distressed_topics=_counts(topic for topic, _ in distressed),
        distressed_scores={topic: fsum(scores[topic]) for topic in sorted(scores)},
    )


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
