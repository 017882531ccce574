"""Fusion of one chunk once more, written apart from the service: plain numbers, one step after another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.fusion.science.inputs import ChunkInputs, Said, Shown
from services.fusion.science.model import FusionModel, ModalityReliability

SIX = ("neutral", "happy", "sad", "angry", "fear", "disgust")
TEN = ("neutral", "happy", "sad", "angry", "fear", "surprise", "disgust", "hopeless", "resigned", "numb")
COUNTS_AS = {name: name for name in SIX} | {"hopeless": "sad", "resigned": "sad", "numb": "sad"}


@dataclass
class Reference:
    logit: float
    score: float
    prior_logit: float
    contributions: dict[str, float]
    evidence: float
    confidence: float
    emotions: list[float] | None
    said_valence: float | None
    shown_valence: float | None
    shown_emotion: str | None
    direction: str
    dissonance_score: float
    floor: str | None


def reference(model: FusionModel, chunk: ChunkInputs) -> Reference:
    prior = math.log(model.distress.prior / (1 - model.distress.prior))
    contributions, mass, confidence = _distress(model, chunk, prior)
    logit = prior + sum(contributions.values())
    emotions = _emotions(model, chunk)
    valence = chunk.text.valence if chunk.text else None
    everyday = None if emotions is None else _everyday(model, emotions)
    shown = None if everyday is None else _expected(everyday, model.dissonance.valence)
    deflection = chunk.text is not None and chunk.text.deflection
    direction, score = _dissonance(model, valence, shown, deflection)
    return Reference(
        logit=logit,
        score=1 / (1 + math.exp(-logit)),
        prior_logit=prior,
        contributions=contributions,
        evidence=mass / sum(model.distress.weights.values()),
        confidence=confidence,
        emotions=emotions,
        said_valence=valence,
        shown_valence=shown,
        shown_emotion=None if everyday is None else SIX[everyday.index(max(everyday))],
        direction=direction,
        dissonance_score=score,
        floor=_floor(chunk.text),
    )


def _distress(model: FusionModel, chunk: ChunkInputs, prior: float) -> tuple[dict[str, float], float, float]:
    """What each modality adds, the evidence of all, and the confidence."""
    distress = model.distress
    contributions: dict[str, float] = {}
    mass, against, towards = 0.0, 0.0, 0.0
    for name, prediction in (("vision", chunk.vision), ("audio", chunk.audio), ("text", chunk.text)):
        if prediction is None:
            continue
        probability = _text_probability(model, prediction) if isinstance(prediction, Said) else prediction.probability
        clipped = min(max(probability, distress.clip[0]), distress.clip[1])
        evidence = distress.weights[name] * prediction.confidence
        contributions[name] = evidence * (math.log(clipped / (1 - clipped)) - prior)
        mass += evidence
        if probability > 0.5:
            towards += evidence * (2 * probability - 1)
        else:
            against += evidence * (1 - 2 * probability)
    if mass == 0:
        return contributions, 0.0, 0.0
    agreement = 1 - 2 * min(towards, against) / mass
    return contributions, mass, agreement * (1 - math.exp(-mass / distress.evidence_scale))


def _text_probability(model: FusionModel, text: Said) -> float:
    distress = model.distress
    floors = [text.probability, distress.text_level_floors.get(text.level.label, 0.0)]
    for signal in text.signals:
        floors.append(
            {"HOPELESSNESS": distress.hopelessness_floor, "PASSIVE_IDEATION": distress.passive_ideation_floor}.get(
                signal.name, distress.critical_signal_floor
            )
        )
    return max(floors)


def _floor(text: Said | None) -> str | None:
    """The level that words demand by themselves."""
    if text is None:
        return None
    signals = {signal.name for signal in text.signals}
    if signals & {"ACTIVE_IDEATION", "PLAN_OR_INTENT", "SELF_HARM", "FAREWELL"}:
        return "critical"
    return "high" if "PASSIVE_IDEATION" in signals or text.level.label == "critical" else None


def _emotions(model: FusionModel, chunk: ChunkInputs) -> list[float] | None:
    stacker = model.emotion
    evidence = {}
    for name, shown, table in (("vision", chunk.vision, stacker.vision), ("audio", chunk.audio, stacker.audio)):
        if shown is not None:
            vector, trusted = _evidence(model, table, shown)
            if trusted >= stacker.minimum_trusted:
                evidence[name] = vector
    if not evidence:
        return None
    weights = stacker.vision_and_audio
    if len(evidence) == 1:
        weights = stacker.vision_only if "vision" in evidence else stacker.audio_only
    scores = list(weights.bias)
    for name, vector in evidence.items():
        matrix = getattr(weights, name)
        for row in range(6):
            for column in range(6):
                scores[column] += vector[row] * matrix[row][column]
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def _evidence(model: FusionModel, table: ModalityReliability, shown: Shown) -> tuple[list[float], float]:
    shares = dict.fromkeys(SIX, 0.0)
    trusted = 0.0
    if shown.distribution is not None and sum(shown.distribution) > 0:
        for name, share in zip(TEN, shown.distribution, strict=True):
            if name in COUNTS_AS:
                part = share / sum(shown.distribution) * model.emotion.trust[name]
                shares[COUNTS_AS[name]] += part
                trusted += part
    elif shown.emotion.label in COUNTS_AS:
        known = COUNTS_AS[shown.emotion.label]
        trusted = model.emotion.trust[shown.emotion.label]
        for name, spread in zip(SIX, table.spread[SIX.index(known)], strict=True):
            shares[name] += trusted * (1 - shown.confidence) * spread
        shares[known] += trusted * shown.confidence
    return [shares[name] + (1 - trusted) * typical for name, typical in zip(SIX, table.typical, strict=True)], trusted


def _everyday(model: FusionModel, emotions: list[float]) -> list[float]:
    odds = [
        share * everyday / base
        for share, everyday, base in zip(
            emotions, model.dissonance.everyday_rates, model.emotion.base_rates, strict=True
        )
    ]
    return [odd / sum(odds) for odd in odds]


def _expected(shares: Sequence[float], values: Sequence[float]) -> float:
    return sum(share * value for share, value in zip(shares, values, strict=True))


def _dissonance(model: FusionModel, said: float | None, shown: float | None, deflection: bool) -> tuple[str, float]:
    rules = model.dissonance
    if said is None or shown is None:
        return "unclear", 0.0
    positive = rules.said_positive_with_deflection if deflection else rules.said_positive
    if said >= positive and shown <= rules.shown_negative and said - shown >= rules.minimum_gap:
        return "masking", (said - shown) / 2
    if said <= rules.said_negative and shown >= rules.shown_at_ease and shown - said >= rules.minimum_gap:
        return "coping", (shown - said) / 2
    return "congruent", 0.0
