"""From what is kept to messages: answers, and events of the feed."""

from collections.abc import Mapping

from libs.common.feed.outbox import OutboxEvent
from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import Emotion, EmotionDistribution, RiskLevel
from quietus.patterns.v1 import events_pb2 as events
from quietus.patterns.v1 import patterns_pb2 as messages
from services.patterns.baseline import Baseline, Deviation
from services.patterns.interface import DEFAULT_STRUCTURE, Structure
from services.patterns.records import (
    AssessmentRecord,
    ChangeRecord,
    InterfaceRecord,
    PatternRecord,
    RiskAssessed,
    Told,
)


def baseline_message(baseline: Baseline) -> messages.Baseline:
    return messages.Baseline(
        feature=baseline.feature,
        median=baseline.median,
        scaled_mad=baseline.scaled_mad,
        sessions=baseline.sessions,
        established=baseline.established,
        update_time=to_timestamp(baseline.update_time),
    )


def assessment_message(record: AssessmentRecord, anonymous_id: str) -> messages.RiskAssessment:
    assessment = record.assessment
    parts = assessment.contributions
    return messages.RiskAssessment(
        session_id=str(record.session_id),
        anonymous_id=anonymous_id,
        level=RiskLevel.ValueType(assessment.verdict.level),
        score=assessment.verdict.score,
        logit=parts.logit,
        fusion_contribution=parts.fusion,
        dissonance_contribution=parts.dissonance,
        baseline_deviation_contribution=parts.baseline_deviation,
        pattern_contribution=parts.pattern,
        risk_factors=assessment.verdict.risk_factors,
        deviations=[_deviation_message(deviation) for deviation in assessment.deviations],
        warming_up=assessment.warming_up,
        baseline_sessions=assessment.baseline_sessions,
        assess_time=to_timestamp(record.assess_time),
        method_version=assessment.method_version,
    )


def pattern_message(record: PatternRecord, anonymous_id: str) -> messages.Pattern:
    pattern = record.pattern
    return messages.Pattern(
        pattern_id=str(record.pattern_id),
        anonymous_id=anonymous_id,
        version=record.version,
        generate_time=to_timestamp(record.generate_time),
        sessions_analyzed=pattern.sessions_analyzed,
        data_confidence=pattern.data_confidence,
        primary_emotions=[_emotion(name) for name in pattern.primary_emotions],
        emotions=_distribution(pattern.emotions),
        trajectory=messages.Trajectory.Value(f"TRAJECTORY_{pattern.trajectory.name}"),
        trajectory_confidence=pattern.trajectory_confidence,
        variability=pattern.variability,
        current_level=RiskLevel.ValueType(pattern.current.level),
        current_score=pattern.current.score,
        current_risk_factors=pattern.current.risk_factors,
        primary_language=pattern.primary_language,
        deflection_frequency=pattern.deflection_frequency or 0.0,
        triggers=[trigger.topic for trigger in pattern.triggers],
        current_state=pattern.state.value,
    )


def interface_message(record: InterfaceRecord | None, anonymous_id: str) -> messages.Interface:
    """The default for nobody's record: it has no id, version or time."""
    if record is None:
        return _structure_message(DEFAULT_STRUCTURE, anonymous_id)
    message = _structure_message(record.structure, anonymous_id)
    message.config_id = str(record.config_id)
    message.version = record.version
    message.generate_time.CopyFrom(to_timestamp(record.generate_time))
    return message


def change_message(record: ChangeRecord) -> messages.InterfaceChange:
    return messages.InterfaceChange(
        change_id=str(record.change_id),
        config_id=str(record.config_id),
        change_type=record.change.change_type,
        component=record.change.component,
        reason=record.change.reason,
        change_time=to_timestamp(record.change_time),
    )


def told_event(told: Told, anonymous_id: str) -> OutboxEvent:
    if isinstance(told, RiskAssessed):
        event = events.Event(
            risk_assessed=events.RiskAssessed(
                user_id=str(told.record.user_id),
                assessment=assessment_message(told.record, anonymous_id),
                revision=told.record.revision,
                receive_time=to_timestamp(told.receive_time),
                chunk_id=str(told.record.chunk_id),
            )
        )
    else:
        event = events.Event(
            interface_generated=events.InterfaceGenerated(
                user_id=str(told.record.user_id), interface=interface_message(told.record, anonymous_id)
            )
        )
    return OutboxEvent(told.record.user_id, event.SerializeToString(deterministic=True))


def _deviation_message(deviation: Deviation) -> messages.Deviation:
    return messages.Deviation(
        feature=deviation.feature, value=deviation.value, median=deviation.median, robust_z=deviation.robust_z
    )


def _structure_message(structure: Structure, anonymous_id: str) -> messages.Interface:
    return messages.Interface(
        anonymous_id=anonymous_id,
        theme=messages.Theme.Value(f"THEME_{structure.theme.name}"),
        primary_components=structure.primary_components,
        hidden_components=structure.hidden_components,
        crisis_prominence=messages.CrisisProminence.ValueType(structure.crisis_prominence),
        rule_ids=structure.rule_ids,
    )


def _distribution(emotions: Mapping[str, float]) -> EmotionDistribution:
    return EmotionDistribution(labels=[_emotion(name) for name in emotions], probabilities=emotions.values())


def _emotion(name: str) -> Emotion.ValueType:
    return Emotion.Value(f"EMOTION_{name.upper()}")
