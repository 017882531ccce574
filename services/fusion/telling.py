"""From the domain to fusion's contract: results, states and findings. Events are in events.py."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import Emotion, EmotionDistribution, Modality, RiskLevel
from quietus.fusion.v1 import fusion_pb2 as contract
from services.fusion import vocabulary
from services.fusion.differences import Difference, Part
from services.fusion.explanation import Explanation, Wording, explain, lacking
from services.fusion.facts import facts_key, facts_of
from services.fusion.fold import ChunkResult
from services.fusion.records import DissonanceRecord, SessionRisk
from services.fusion.science.arithmetic import ARITHMETIC
from services.fusion.science.counterfactual import NOT_ASKED, Counterfactuals, With, Without
from services.fusion.science.fuse import Contribution
from services.fusion.silence import Silence, lasting, silent_in
from services.fusion.vocabulary import KNOWN_EMOTIONS

NOT_RECEIVED = "NOT_RECEIVED"
NOTHING_WORDED: Mapping[str, Wording] = {}


def result_message(
    session_id: UUID,
    result: ChunkResult,
    *,
    silences: Sequence[Silence] = (),
    otherwise: Counterfactuals = NOT_ASKED,
    wordings: Mapping[str, Wording] = NOTHING_WORDED,
) -> contract.FusionResult:
    """`silences` of the session say why a modality lacks; `otherwise`, what the result would be with other modalities;
    `wordings`, by facts, how a language model says the reasons. Events tell none of them: silences are found later
    than chunks, and the rest is rendered on read.
    """
    fused = result.fused
    silent = silent_in(result, lacking(fused), silences)
    return contract.FusionResult(
        session_id=str(session_id),
        chunk_id=str(result.chunk_id),
        revision=result.revision,
        capture_start_time=to_timestamp(result.capture_start_time),
        capture_end_time=to_timestamp(result.capture_end_time),
        level=RiskLevel.ValueType(result.state.level),
        score=fused.score,
        logit=fused.logit,
        prior_logit=fused.prior_logit,
        confidence=fused.confidence,
        contributions=[_contribution(part, otherwise.without.get(part.modality)) for part in fused.contributions],
        lacking=[
            _lacking(modality, silent.get(modality), otherwise.added.get(modality)) for modality in lacking(fused)
        ],
        emotions=_distribution(fused.emotions),
        dissonance_direction=contract.DissonanceDirection.ValueType(fused.direction),
        dissonance_score=fused.dissonance_score,
        session_score=result.state.score,
        critical_cue=fused.critical_cue,
        model_version=result.model_version,
        explanation=_explanation(explain(fused, result.state, silent, _wording(result, wordings))),
    )


def _contribution(part: Contribution, without: Without | None) -> contract.Contribution:
    fitted = contract.RELIABILITY_ORIGIN_FITTED if part.fitted else contract.RELIABILITY_ORIGIN_PRIOR
    return contract.Contribution(
        modality=Modality.ValueType(part.modality),
        probability=part.probability,
        weight=part.weight,
        confidence=part.confidence,
        logit=part.logit,
        without=None if without is None else _without(without),
        reliability=fitted,
    )


def _without(without: Without) -> contract.WithoutModality:
    return contract.WithoutModality(
        logit=without.logit,
        score=without.score,
        confidence=without.confidence,
        demanded_level=RiskLevel.ValueType(without.demanded or 0),
    )


def _lacking(modality: vocabulary.Modality, silence: Silence | None, received: With | None) -> contract.LackingModality:
    return contract.LackingModality(
        modality=Modality.ValueType(modality),
        reason=NOT_RECEIVED if silence is None else silence.reason,
        since_time=None if silence is None else to_timestamp(silence.since_time),
        if_received=None if received is None else _received(received),
    )


def _received(received: With) -> contract.WithModality:
    raising = received.raising
    return contract.WithModality(
        lowest_score=received.lowest_score,
        highest_score=received.highest_score,
        raised_level=RiskLevel.ValueType(raising.level if raising else 0),
        raising_probability=raising.probability if raising else 0.0,
    )


def _distribution(emotions: Sequence[float] | None) -> EmotionDistribution | None:
    if emotions is None:
        return None
    return EmotionDistribution(
        labels=[Emotion.ValueType(emotion) for emotion in KNOWN_EMOTIONS], probabilities=emotions
    )


def _wording(result: ChunkResult, wordings: Mapping[str, Wording]) -> Wording | None:
    facts = facts_of(result.fused, result.state) if wordings else ()
    return wordings.get(facts_key(facts)) if facts else None


def _explanation(explanation: Explanation) -> contract.Explanation:
    wording = explanation.wording
    return contract.Explanation(
        summary=explanation.summary,
        key_signals=[
            contract.KeySignal(
                code=signal.code,
                modality=Modality.ValueType(signal.modality or 0),
                logit=signal.logit,
            )
            for signal in explanation.key_signals
        ],
        recommended_action=contract.ActionLevel.ValueType(explanation.recommended_action),
        confidence=explanation.confidence,
        source=contract.EXPLANATION_SOURCE_LANGUAGE_MODEL if wording else contract.EXPLANATION_SOURCE_TEMPLATE,
        language_model=wording.language_model if wording else "",
        prompt_version=wording.prompt_version if wording else "",
    )


def risk_message(
    risk: SessionRisk, otherwise: Counterfactuals, wordings: Mapping[str, Wording] = NOTHING_WORDED
) -> contract.SessionRisk:
    return contract.SessionRisk(
        session_id=str(risk.session_id),
        anonymous_id=risk.anonymous_id,
        level=RiskLevel.ValueType(risk.latest.state.level),
        score=risk.latest.state.score,
        latest=result_message(
            risk.session_id, risk.latest, silences=risk.silences, otherwise=otherwise, wordings=wordings
        ),
        chunks=risk.chunks,
        settled=risk.settled,
        silent=[
            contract.SilentModality(
                modality=Modality.ValueType(one.modality), since_time=to_timestamp(one.since_time), reason=one.reason
            )
            for one in lasting(risk.silences)
        ],
    )


def replay_message(part: Part, chunks: int, page_token: str, *, identical: bool) -> contract.ReplaySessionResponse:
    """`chunks` and `identical` are of the whole call so far."""
    return contract.ReplaySessionResponse(
        chunks=chunks,
        total_chunks=part.total_chunks,
        differences=[_difference(one) for one in part.differences],
        identical=identical,
        page_token=page_token,
        done=part.last is None,
        arithmetic=ARITHMETIC,
    )


def _difference(one: Difference) -> contract.ReplayDifference:
    return contract.ReplayDifference(
        row=contract.ReplayedRow.ValueType(one.row),
        chunk_id="" if one.chunk_id is None else str(one.chunk_id),
        values=[
            contract.ReplayedValue(name=value.name, stored=value.stored, replayed=value.replayed)
            for value in one.values
        ],
        rounding_only=one.rounding_only,
        stored_arithmetic=one.stored_arithmetic,
    )


def record_message(record: DissonanceRecord) -> contract.DissonanceRecord:
    return contract.DissonanceRecord(
        session_id=str(record.session_id),
        chunk_id=str(record.chunk_id),
        stated_emotion=record.stated_emotion.label,
        actual_emotion=record.actual_emotion.label,
        direction=contract.DissonanceDirection.ValueType(record.direction),
        score=record.score,
        interpretation=record.finding.interpretation,
        risk_level=RiskLevel.ValueType(record.finding.level),
        detect_time=to_timestamp(record.detect_time),
        evidence_chunk_ids=[str(chunk_id) for chunk_id in record.finding.evidence],
    )
