"""Fused chunks as columns: what rows and events say of them is packed from these, of all at once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from operator import attrgetter

import numpy as np

from services.fusion.science.fuse import FusedArrays, FusedChunk
from services.fusion.science.inputs import Booleans, Floats, Integers
from services.fusion.science.model import FusionModel
from services.fusion.science.words import NO_FLOOR
from services.fusion.vocabulary import KNOWN_EMOTIONS, Modality

NUMBERS = ("score", "confidence", "logit", "prior_logit", "evidence", "dissonance_score")
Modalities = tuple[bool, ...]  # by the modality's number less 1
_NO_EMOTIONS = (np.nan,) * len(KNOWN_EMOTIONS)


@dataclass(frozen=True, slots=True)
class FusedColumns:
    """n chunks. The second axis of what modalities add is the modality (its number less 1); of one that doesn't
    contribute it holds anything. A value that isn't known is NaN.
    """

    numbers: Floats  # (n, 6), in the order of NUMBERS
    contributions: Floats  # (n, 3, 4): probability, weight, confidence, logit
    contributes: Booleans  # (n, 3)
    fitted: Booleans  # (n, 3)
    emotions: Floats  # (n, 6)
    valences: Floats  # (n, 2): said, shown
    shown_emotion: Integers  # (n,), its number, or 0
    direction: Integers  # (n,), its number
    floor: Integers  # (n,), level that the words demand, or NO_FLOOR
    critical_cue: Booleans  # (n,)

    def few_valued(self) -> Iterable[tuple[Modalities, Modalities, int, int, int, bool]]:
        """Of each chunk: contributes, fitted, shown_emotion, direction, floor, critical_cue."""
        return zip(
            map(tuple, self.contributes.tolist()),
            map(tuple, self.fitted.tolist()),
            self.shown_emotion.tolist(),
            self.direction.tolist(),
            self.floor.tolist(),
            self.critical_cue.tolist(),
            strict=True,
        )

    @classmethod
    def of_arrays(cls, model: FusionModel, fused: FusedArrays) -> "FusedColumns":
        pooled, compared = fused.pooled, fused.compared
        prior_logit = np.full(len(pooled.score), pooled.prior_logit)
        weights = np.broadcast_to(model.distress.weight_array, fused.present.shape)
        return cls(
            numbers=np.stack(
                (pooled.score, pooled.confidence, pooled.logit, prior_logit, pooled.evidence, compared.score), axis=1
            ),
            contributions=np.stack((fused.probability, weights, fused.confidence_in, pooled.contributions), axis=2),
            contributes=fused.present,
            fitted=fused.fitted,
            emotions=fused.emotions,
            valences=np.stack((fused.valence, compared.shown_valence), axis=1),
            shown_emotion=compared.shown_emotion,
            direction=compared.direction,
            floor=fused.floor,
            critical_cue=fused.critical_cue,
        )

    @classmethod
    def of(cls, chunks: Sequence[FusedChunk]) -> "FusedColumns":
        contributions = np.zeros((len(chunks), len(Modality), 4))
        contributes, fitted = np.zeros((2, len(chunks), len(Modality)), np.bool_)
        for row, chunk in enumerate(chunks):
            for part in chunk.contributions:
                place = row, part.modality - 1
                contributions[place] = part.probability, part.weight, part.confidence, part.logit
                contributes[place], fitted[place] = True, part.fitted
        return cls(
            numbers=_table(len(NUMBERS), map(attrgetter(*NUMBERS), chunks)),
            contributions=contributions,
            contributes=contributes,
            fitted=fitted,
            emotions=_table(len(KNOWN_EMOTIONS), (one.emotions or _NO_EMOTIONS for one in chunks)),
            valences=_table(2, ((_number(one.said_valence), _number(one.shown_valence)) for one in chunks)),
            shown_emotion=np.array([one.shown_emotion or 0 for one in chunks], np.int64),
            direction=np.array([one.direction for one in chunks], np.int64),
            floor=np.array([one.floor or NO_FLOOR for one in chunks], np.int64),
            critical_cue=np.array([one.critical_cue for one in chunks], np.bool_),
        )


def modalities_in(which: Modalities) -> tuple[Modality, ...]:
    return tuple(compress(Modality, which))


def _table(width: int, rows: Iterable[Iterable[float]]) -> Floats:
    return np.fromiter(chain.from_iterable(rows), np.float64).reshape(-1, width)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


@dataclass(slots=True)
class FusedParts:
    """What rows, or events, say of fused chunks: made of many at once, and then found by the chunk itself."""

    make: Callable[[FusedColumns], Sequence[bytes]]
    _made: dict[int, bytes] = field(default_factory=dict)
    _chunks: list[FusedChunk] = field(default_factory=list)  # kept, so that no other one takes its place in memory

    def add(self, chunks: Sequence[FusedChunk], columns: FusedColumns) -> None:
        self._made.update(zip(map(id, chunks), self.make(columns), strict=True))
        self._chunks += chunks

    def of(self, chunks: Sequence[FusedChunk]) -> Sequence[bytes]:
        """Makes those that weren't added."""
        if missing := [chunk for chunk in chunks if id(chunk) not in self._made]:
            self.add(missing, FusedColumns.of(missing))
        return [self._made[id(chunk)] for chunk in chunks]
