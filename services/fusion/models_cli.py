"""`python -m services.fusion models list|register|compare|switch`."""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from libs.common.rpc.errors import AppError, ErrorKind
from services.fusion.app import NAME, open_database
from services.fusion.comparison import Report
from services.fusion.disclosure import Counts, everything
from services.fusion.service.comparing import Comparisons, Question
from services.fusion.service.registry import load_models
from services.fusion.service.switching import ModelSwitching
from services.fusion.settings import FusionSettings
from services.fusion.vocabulary import Level

LARGEST_MODEL_BYTES = 1024 * 1024


def run_models(settings: FusionSettings, arguments: Sequence[str]) -> int:
    """Returns the exit code. It works on the slice's database and needs no running service."""
    options = _parser().parse_args(arguments)
    try:
        answer = asyncio.run(_run(settings, options))
    except AppError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}")
    show: Callable[[dict[str, Any]], str] = json.dumps if options.json else _SHOWN[options.action]
    print(show(answer))  # noqa: T201 - a command's answer
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m services.{NAME} models", description="Versions of the model.")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="the versions, and the switches between them")
    register = actions.add_parser("register", help="make a file's version one that may be compared and switched to")
    register.add_argument("file", type=Path)
    compare = actions.add_parser("compare", help="what another version would change in what is stored")
    compare.add_argument("version")
    compare.add_argument("--checksum", default="", help="refuse any other content")
    compare.add_argument("--from", dest="start", type=_moment, help="sessions begun from this day on, ISO 8601, UTC")
    compare.add_argument("--to", dest="end", type=_moment, help="sessions begun before this day")
    compare.add_argument("--person", default="", help="an anonymous id; default: everybody")
    switch = actions.add_parser("switch", help="let another version fuse what is received from now on")
    switch.add_argument("version")
    switch.add_argument("--checksum", required=True, help="of the version, as list and compare show it")
    switch.add_argument("--replaces", required=True, help="the version in force")
    for action in (listing, register, compare, switch):
        action.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _run(settings: FusionSettings, options: argparse.Namespace) -> dict[str, Any]:
    database, actor = open_database(settings), f"operator:{getpass.getuser()}"
    try:
        await load_models(database, settings.model)
        switching = ModelSwitching(database)
        if options.action == "compare":
            question = Question(options.version, options.checksum, options.start, options.end, options.person)
            return await _compare(Comparisons(database), actor, question)
        if options.action == "register":
            document = await switching.register(actor, _read(options.file))
            return {"version": document.model.version, "checksum": document.checksum}
        if options.action == "switch":
            made = await switching.switch(actor, options.version, options.checksum, options.replaces)
            return {"number": made.number, "version": made.version, "effect_time": made.effect_time.isoformat()}
        return await _list(switching)
    finally:
        await database.close()


def _read(file: Path) -> Any:
    """INVALID_ARGUMENT MODEL_TOO_LARGE, MODEL_NOT_JSON."""
    with file.open("rb") as opened:
        content = opened.read(LARGEST_MODEL_BYTES + 1)
    if len(content) > LARGEST_MODEL_BYTES:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "MODEL_TOO_LARGE", f"{file}: at most {LARGEST_MODEL_BYTES:,} bytes")
    try:
        return json.loads(content)
    except ValueError as error:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "MODEL_NOT_JSON", f"{file}: {error}") from error


async def _list(switching: ModelSwitching) -> dict[str, Any]:
    listing = await switching.listing()
    return {
        "versions": [
            {
                "version": one.model.version,
                "checksum": one.checksum,
                "date": one.model.date.isoformat(),
                "in_force": one.model.version == listing.in_force,
            }
            for one in listing.documents
        ],
        "switches": [
            {
                "number": one.number,
                "version": one.version,
                "effect_time": one.effect_time.isoformat(),
                "actor": one.actor,
            }
            for one in listing.switches
        ],
    }


async def _compare(comparisons: Comparisons, actor: str, question: Question) -> dict[str, Any]:
    async for report in comparisons.compare(actor, question):
        tally = report.tally
        seen = tally.sessions + tally.expired_sessions
        print(f"{seen} of {report.total_sessions} sessions", file=sys.stderr)  # noqa: T201
    return _compared(report)


def _compared(report: Report) -> dict[str, Any]:
    findings = everything(report)
    return {
        **findings.numbers,
        "chunk_levels": _levels(findings.chunk_levels),
        "session_levels": _levels(findings.session_levels),
        "examples": [
            {
                "session_id": str(one.session_id),
                "chunk_id": str(one.chunk_id),
                "stored": one.levels[0].label,
                "candidate": one.levels[1].label,
            }
            for one in report.tally.examples
        ],
    }


def _levels(counts: Counts) -> dict[str, dict[str, int | None]]:
    """By stored level, then by the candidate's."""
    table: dict[str, dict[str, int | None]] = {}
    for (stored, candidate), count in counts.items():
        table.setdefault(stored.label, {})[candidate.label] = count
    return table


def _shown_list(answer: dict[str, Any]) -> str:
    versions = [
        f"{'*' if one['in_force'] else ' '} {one['version']}  {one['date']}  {one['checksum']}"
        for one in answer["versions"]
    ]
    switches = [
        f"{one['number']}: {one['version']} for what came after {one['effect_time']}, by {one['actor']}"
        for one in answer["switches"]
    ]
    return "\n".join([*versions, *switches])


def _shown_comparison(answer: dict[str, Any]) -> str:
    lines = [
        f"{answer['sessions']} sessions, {answer['chunks']} chunks; {answer['expired_sessions']} sessions whose inputs"
        " are gone",
    ]
    for what, name in (("chunks", "chunk_levels"), ("sessions, by their highest level", "session_levels")):
        lines.append(f"{what}: stored level down, candidate's across")
        lines.append(" " * 10 + "".join(f"{level.label:>12}" for level in Level))
        for stored, counts in answer[name].items():
            lines.append(f"{stored:<10}" + "".join(f"{count:>12}" for count in counts.values()))
    lines += [
        f"alerts that would newly open: {answer['newly_alerting_sessions']} sessions",
        f"alerts that would not open: {answer['no_longer_alerting_sessions']} sessions",
        f"mean absolute change of score: {answer['mean_score_change']:.6f} a chunk,"
        f" {answer['mean_session_score_change']:.6f} smoothed",
    ]
    return "\n".join(lines)


_SHOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "list": _shown_list,
    "register": lambda answer: f"{answer['version']}  {answer['checksum']}",
    "compare": _shown_comparison,
    "switch": lambda answer: f"{answer['version']} makes the results of what comes after {answer['effect_time']}",
}


def _fail(problem: str) -> int:
    print(f"models: {problem}", file=sys.stderr)  # noqa: T201
    return 1
