"""The tables that the demo ends with."""

from collections.abc import Sequence

from deploy.demo.readback import Known, level_name
from quietus.alerts.v1.alerts_pb2 import AlertEventKind, GetAlertResponse
from quietus.patterns.v1.patterns_pb2 import CrisisProminence, Theme

MOST_REASONS = 3


def people_table(known: Sequence[Known]) -> str:
    rows: list[tuple[str, ...]] = [("person", "sessions", "vision", "audio", "text", "risk", "score", "reasons")]
    rows += [
        (
            one.person.name,
            str(one.sessions),
            *(str(count) for count in one.stored.values()),
            level_name(one.assessment.level),
            f"{one.assessment.score:.2f}",
            ", ".join(one.assessment.risk_factors[:MOST_REASONS]) or "-",
        )
        for one in known
    ]
    return _table(rows)


def explanations(known: Sequence[Known]) -> str:
    return "\n".join(f"  {one.person.name}: {one.risk.latest.explanation.summary}" for one in known)


def interfaces(known: Sequence[Known]) -> str:
    lines = []
    for one in known:
        theme = Theme.Name(one.interface.theme).removeprefix("THEME_").lower()
        prominence = CrisisProminence.Name(one.interface.crisis_prominence).removeprefix("CRISIS_PROMINENCE_").lower()
        lines.append(f"  {one.person.name}: theme {theme}, crisis help {prominence}, version {one.interface.version}")
        lines += [f"      {change.change_type}: {change.reason}" for change in one.changes[:1]]
    return "\n".join(lines)


def alert_lives(lives: Sequence[tuple[str, GetAlertResponse]]) -> str:
    lines = []
    for name, life in lives:
        delayed = ", delayed" if life.alert.delayed else ""
        lines.append(f"  {name}: {level_name(life.alert.level)}{delayed}. {life.alert.interpretation}")
        lines += [
            f"      {event.sequence}. {AlertEventKind.Name(event.kind).removeprefix('ALERT_EVENT_KIND_').lower():<13}"
            f"{level_name(event.level):<9} by {event.source}"
            for event in life.events
        ]
    return "\n".join(lines) or "  none"


def as_json(known: Sequence[Known], lives: Sequence[tuple[str, GetAlertResponse]]) -> dict[str, object]:
    return {
        "people": {
            one.person.name: {
                "sessions": one.sessions,
                "stored": one.stored,
                "level": level_name(one.assessment.level),
                "score": one.assessment.score,
                "risk_factors": list(one.assessment.risk_factors),
                "interface_changes": [change.change_type for change in one.changes],
            }
            for one in known
        },
        "alerts": {
            name: [AlertEventKind.Name(event.kind).removeprefix("ALERT_EVENT_KIND_").lower() for event in life.events]
            for name, life in lives
        },
    }


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "  " + "-" * (max(map(len, lines)) - 2), *lines[1:]])
