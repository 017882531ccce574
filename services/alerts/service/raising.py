"""Facts in, alerts out: what a follower does with the results of fusion and patterns."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.ids import derived_id
from libs.common.people.store import ensure_users
from services.alerts.announcing import announce
from services.alerts.escalation import OpenAlert, Policy, RiskEvent, derive_alert
from services.alerts.interpretation import interpret
from services.alerts.records import Alert, AlertEvent
from services.alerts.response import State
from services.alerts.risk import Fact
from services.alerts.store import alerts, facts, notifications

WEBHOOK = "webhook"


async def take(tx: Transaction, policy: Policy, names: Mapping[UUID, str], new: Mapping[UUID, Sequence[Fact]]) -> None:
    """Keeps what matters of the new facts, and derives the alerts of these people anew. Both by user_id; `names`: their
    anonymous ids.
    """
    matters = await _that_matter(tx, new)
    if not matters:
        return
    await ensure_users(tx, {user_id: names[user_id] for user_id in matters})
    for user_id in sorted(matters):
        await facts.lock_person(tx, user_id)
        await facts.add(tx, user_id, matters[user_id])
        await _derive(tx, policy, user_id)


async def _that_matter(tx: Transaction, new: Mapping[UUID, Sequence[Fact]]) -> Mapping[UUID, Sequence[Fact]]:
    """Alarming facts, and lower revisions in sessions that had one; the rest can't change an alert."""
    every = [(user_id, fact) for user_id, of_person in new.items() for fact in of_person]
    alarmed = {(user_id, fact.session_id) for user_id, fact in every if fact.level.alarming}
    if lowered := {(user_id, fact.session_id) for user_id, fact in every if _is_lowered(fact)} - alarmed:
        alarmed |= await facts.alarmed(tx, lowered)
    matters: defaultdict[UUID, list[Fact]] = defaultdict(list)
    for user_id, fact in every:
        if fact.level.alarming or (_is_lowered(fact) and (user_id, fact.session_id) in alarmed):
            matters[user_id].append(fact)
    return matters


def _is_lowered(fact: Fact) -> bool:
    return fact.revision > 1 and not fact.level.alarming


async def _derive(tx: Transaction, policy: Policy, user_id: UUID) -> None:
    ended = await alerts.last_resolution(tx, user_id)
    ordinal, resolution = ended if ended else (0, None)
    known = await facts.since(tx, user_id, resolution.resolve_time if resolution else None)
    derived = derive_alert(known, resolution, policy)
    if derived is None:
        return
    before = await alerts.open_alert(tx, user_id)
    alert = _alert(user_id, ordinal + 1, derived, before)
    events = {event.event_id: event for event in (_event(alert, one) for one in derived.events)}
    told = await alerts.risk_events(tx, alert.alert_id)
    new = [event for event in events.values() if told.get(event.event_id) is not event.level]
    gone = told.keys() - events.keys()
    if before is not None and _same(before, alert) and not new and not gone:
        return
    await alerts.put(tx, alert)
    if new:
        await alerts.put_events(tx, alert, new)
    if gone:
        await alerts.remove_events(tx, gone)
    if before is None or alert.level > before.level:
        notification_id = derived_id("notification", alert.alert_id, WEBHOOK, alert.level.name)
        await notifications.add(
            tx,
            notification_id,
            alert.alert_id,
            user_id,
            channel=WEBHOOK,
            level=alert.level,
            due=derived.leading.receive_time,
        )
    await announce(tx, alert.alert_id)


def _alert(user_id: UUID, ordinal: int, derived: OpenAlert, before: Alert | None) -> Alert:
    factors = derived.leading.factors
    return Alert(
        alert_id=derived_id("alert", user_id, ordinal),
        user_id=user_id,
        anonymous_id=before.anonymous_id if before else "",
        ordinal=ordinal,
        version=before.version + 1 if before else 1,
        state=before.state if before else State.TRIGGERED,
        level=derived.level,
        score=derived.score,
        factors=factors,
        interpretation=interpret(derived.level, factors, derived.delayed),
        open_time=derived.opening.receive_time,
        capture_time=derived.opening.capture_time,
        delayed=derived.delayed,
        session_id=derived.opening.session_id,
        counselor_id=None,
        counselor_anonymous_id="",
        resolution_reason="",
        noise_reason="",
        resolve_time=None,
    )


def _same(before: Alert, alert: Alert) -> bool:
    def derived(one: Alert) -> tuple[object, ...]:
        return (one.level, one.score, one.factors, one.open_time, one.session_id, one.delayed)

    return derived(before) == derived(alert)


def _event(alert: Alert, event: RiskEvent) -> AlertEvent:
    fact = event.fact
    return AlertEvent(
        event_id=derived_id(
            "alert_event", alert.alert_id, fact.source, fact.session_id, fact.chunk_id, fact.revision, event.kind
        ),
        kind=event.kind,
        level=event.level,
        score=fact.score,
        source=fact.source.name.lower(),
        event_time=fact.receive_time,
        session_id=fact.session_id,
        chunk_id=fact.chunk_id,
    )
