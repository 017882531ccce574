"""One calibrated distribution from the emotions that face and voice show: a multinomial stacker for any subset of
them.
"""

import numpy as np

from services.fusion.science.inputs import Booleans, Floats
from services.fusion.science.model import EmotionModel, StackerWeights, array_of
from services.fusion.science.sums import in_order


def stack(model: EmotionModel, vision: Floats, audio: Floats, has_vision: Booleans, has_audio: Booleans) -> Floats:
    """Probabilities (n, 6) of KNOWN_EMOTIONS from evidence (n, 6) of each modality; NaN in rows that have neither."""
    scores = np.full(vision.shape, np.nan)
    for weights, rows in (
        (model.vision_only, has_vision & ~has_audio),
        (model.audio_only, has_audio & ~has_vision),
        (model.vision_and_audio, has_vision & has_audio),
    ):
        if rows.any():
            scores[rows] = _scores(weights, vision[rows], audio[rows])
    return softmax(scores)


def _scores(weights: StackerWeights, vision: Floats, audio: Floats) -> Floats:
    """bias + evidence x weights, added up in a fixed order: a matrix product would differ in its last bits between
    one row and many.
    """
    scores = np.broadcast_to(array_of(weights.bias), vision.shape)
    for evidence, matrix in ((vision, weights.vision), (audio, weights.audio)):
        if matrix is not None:
            for row, column in enumerate(array_of(matrix)):
                scores = scores + evidence[:, row, None] * column
    return scores


def softmax(scores: Floats) -> Floats:
    """Over the second axis, (n, 6)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = powers / in_order(powers)[:, None]
    return shares
