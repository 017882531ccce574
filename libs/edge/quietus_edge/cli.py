"""quietus-edge: replay a file, send an invented person, look into a spool."""

import argparse
import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from quietus_edge import runs
from quietus_edge.client import tls
from quietus_edge.errors import EdgeError, InvalidInputError
from quietus_edge.replay import check_file, written
from quietus_edge.simulation import PERSONAS, SimulatedSession, generate

EPILOG = """environment: QUIETUS_EDGE_ADDRESS, QUIETUS_EDGE_IDENTITY_ADDRESS, QUIETUS_EDGE_API_KEY_FILE,
QUIETUS_EDGE_SPOOL and QUIETUS_EDGE_TLS_ROOTS stand for the options of the same names. Exit status: 0 done, 1 not done
(what was recorded waits in the spool; run again), 2 wrong usage."""


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    try:
        result = asked.run(asked)
    except (EdgeError, OSError) as error:
        sys.exit(f"quietus-edge: {error}")
    except KeyboardInterrupt:
        sys.exit("quietus-edge: interrupted; what was recorded waits in the spool, run again to go on")
    if result is not None:
        print(json.dumps(result) if asked.json else _table(result))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quietus-edge", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    replay = _command(commands, "replay", "record each chunk of a file once, and send it", _replay)
    replay.add_argument(
        "file", type=Path, help="JSON Lines, one chunk a line; `quietus-edge simulate --output -` shows some"
    )

    simulate = _command(commands, "simulate", "send an invented person's weeks, or write them to a file", _simulate)
    simulate.add_argument("--persona", choices=PERSONAS, default="calm", help="default: calm")
    simulate.add_argument("--seed", type=int, default=1, help="the same seed makes the same person; default: 1")
    simulate.add_argument("--weeks", type=_positive, default=4, help="default: 4")
    simulate.add_argument("--sessions", type=_positive, default=16, help="in all those weeks; default: 16")
    simulate.add_argument("--chunks", type=int, default=12, help="in each session, 10 seconds each; default: 12")
    simulate.add_argument("--end-time", type=_time, help="when the last session ends, ISO 8601; default: now")
    simulate.add_argument("--output", help="write a file for `replay` instead of sending; - for standard output")

    status = _command(
        commands, "status", "show what waits in a spool, and whether the services can be reached", _status
    )
    status.add_argument("--offline", action="store_true", help="look into the spool alone")
    return parser


def _command(commands: Any, name: str, help_text: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text, epilog=EPILOG)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--address", default=_environment("ADDRESS", "127.0.0.1:50052"), help="ingest; default: %(default)s"
    )
    parser.add_argument(
        "--identity-address",
        default=_environment("IDENTITY_ADDRESS", "127.0.0.1:50051"),
        help="identity; default: %(default)s",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        default=_environment("API_KEY_FILE"),
        help="holds the device's key and nothing else",
    )
    parser.add_argument(
        "--spool", type=Path, default=_environment("SPOOL"), help="default: one for each key, in your state folder"
    )
    parser.add_argument("--tls", action="store_true", help="use TLS, with the system's root certificates")
    parser.add_argument(
        "--tls-roots", type=Path, default=_environment("TLS_ROOTS"), help="use TLS, with these roots (PEM)"
    )
    parser.add_argument("--insecure", action="store_true", help="use another machine without TLS")
    parser.add_argument("--timeout", type=float, default=120, help="seconds to wait for acknowledgements; default: 120")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _replay(asked: argparse.Namespace) -> dict[str, Any]:
    file = check_file(asked.file)
    return asyncio.run(runs.replay(_target(asked), file, asked.timeout, _say))


def _simulate(asked: argparse.Namespace) -> dict[str, Any] | None:
    end = asked.end_time or datetime.now(UTC)
    per_week = asked.sessions / asked.weeks
    sessions = list(
        generate(
            asked.persona,
            asked.seed,
            end,
            weeks=asked.weeks,
            sessions_per_week=per_week,
            chunks_per_session=asked.chunks,
        )
    )
    if asked.output is None:
        return asyncio.run(runs.simulate(_target(asked), sessions, asked.timeout, _say))
    if asked.output == "-":
        sys.stdout.writelines(_lines(sessions))
        return None
    Path(asked.output).write_text("".join(_lines(sessions)), encoding="utf-8")
    return {"file": asked.output, "chunks": sum(len(one.chunks) for one in sessions)}


def _status(asked: argparse.Namespace) -> dict[str, Any]:
    status = runs.spool_status(_spool(asked))
    return status if asked.offline else status | asyncio.run(runs.reach(_target(asked)))


def _lines(sessions: list[SimulatedSession]) -> list[str]:
    return [
        written(str(session.session_id), one.chunk, one.vision, one.audio, one.text) + "\n"
        for session in sessions
        for one in session.chunks
    ]


def _target(asked: argparse.Namespace) -> runs.Target:
    credentials = tls(asked.tls_roots) if asked.tls or asked.tls_roots else None
    return runs.Target(
        asked.address, asked.identity_address, _api_key(asked), _spool(asked), credentials, asked.insecure
    )


def _api_key(asked: argparse.Namespace) -> str:
    if asked.api_key_file is None:
        raise InvalidInputError("a device's key is needed: give --api-key-file or QUIETUS_EDGE_API_KEY_FILE")
    return str(asked.api_key_file.read_text(encoding="utf-8")).strip()


def _spool(asked: argparse.Namespace) -> Path:
    if asked.spool:
        return Path(asked.spool)
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(_api_key(asked).encode()).hexdigest()[:16]  # a spool belongs to one person
    return state / "quietus-edge" / f"{name}.spool"


def _environment(name: str, default: str | None = None) -> str | None:
    return os.environ.get(f"QUIETUS_EDGE_{name}") or default


def _time(value: str) -> datetime:
    at = datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _positive(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("a positive number is needed")
    return number


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)


def _table(result: dict[str, Any]) -> str:
    width = max(map(len, result))
    rows = []
    for name, value in result.items():
        shown = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        rows.append(f"{name.replace('_', ' '):{width}}  {'-' if shown in (None, '') else shown}")
    return "\n".join(rows)
