"""From a review of thresholds to fusion's contract."""

from libs.common.timestamps import to_timestamp
from quietus.fusion.v1 import fusion_pb2 as contract
from services.fusion.service.reviewing import Review
from services.fusion.thresholds import CountedShare, Effect, Standing


def review_message(review: Review) -> contract.ReviewThresholdsResponse:
    return contract.ReviewThresholdsResponse(
        model_version=review.model_version,
        start_time=to_timestamp(review.period.start),
        end_time=to_timestamp(review.period.end),
        basis=_basis(review),
        current=_effect(review.current),
        proposals=[_effect(one) for one in review.proposals],
        candidates=[_effect(one) for one in review.candidates],
    )


def _basis(review: Review) -> contract.ReviewBasis:
    standings = review.standings
    return contract.ReviewBasis(
        cases=review.cases,
        decided_true=len(review.decided.true),
        decided_false=len(review.decided.false),
        outcome_unknown=standings.get(Standing.OUTCOME_UNKNOWN, 0),
        raised_by_cue=standings.get(Standing.RAISED_BY_CUE, 0),
        raised_by_patterns=standings.get(Standing.RAISED_BY_PATTERNS, 0),
        not_comparable=standings.get(Standing.NOT_COMPARABLE, 0),
        not_reproduced=standings.get(Standing.NOT_REPRODUCED, 0),
        sessions=review.sessions,
        sessions_in_period=review.sessions_in_period,
        noise=[contract.NoiseCount(reason=reason, cases=cases) for reason, cases in review.noise.items()],
    )


def _effect(effect: Effect) -> contract.ThresholdEffect:
    thresholds = effect.thresholds
    return contract.ThresholdEffect(
        thresholds=contract.LevelThresholds(
            enter_high=thresholds.enter_high,
            leave_high=thresholds.leave_high,
            enter_critical=thresholds.enter_critical,
            leave_critical=thresholds.leave_critical,
        ),
        high_sessions=effect.high_sessions,
        critical_sessions=effect.critical_sessions,
        false_alarms_avoided=_share(effect.false_avoided),
        true_alarms_lost=_share(effect.true_lost),
        true_alarms_later=effect.true_later,
        longest_delay_seconds=effect.longest_delay.total_seconds(),
    )


def _share(share: CountedShare) -> contract.CountedShare:
    return contract.CountedShare(
        count=share.count, total=share.total, people=share.people, low=share.low, high=share.high
    )
