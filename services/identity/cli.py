"""The commands of identity beside serving: `bootstrap` and `token`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

import grpc

from libs.common.db.database import Database
from libs.common.rpc.errors import AppError, reason_of
from libs.common.security.keyring import KeyringError
from services.identity.app import NAME
from services.identity.bootstrap import bootstrap
from services.identity.demo_token import demo_token
from services.identity.passwords import Passwords
from services.identity.settings import IdentitySettings
from services.identity.tokens import LIFETIME

LIFETIME_MINUTES = int(LIFETIME.total_seconds() // 60)


def run(settings: IdentitySettings, arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "bootstrap":
            return asyncio.run(_bootstrap(settings, as_json=options.json))
        return asyncio.run(_token(settings, options.role, as_json=options.json))
    except grpc.aio.AioRpcError as error:
        return _fail(f"identity at {settings.identity_address}: {reason_of(error) or error.code().name}")
    except OSError as error:
        return _fail(f"{error.filename or settings.secrets_dir}: {error.strerror}; has bootstrap run on this machine?")
    except (AppError, KeyringError) as error:
        return _fail(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m services.{NAME}", description="Without a command: serve.")
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("bootstrap", help="make keys, the first admin and the services' API keys; once")
    token = commands.add_parser("token", help="print an access token of a demo person of this machine")
    token.add_argument("--role", choices=("counselor", "user", "admin"), default="counselor")
    token.add_argument(
        "--minutes",
        type=_minutes,
        help=f"how long it is needed; every token lives {LIFETIME_MINUTES} minutes",
    )
    for command in (first, token):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _minutes(text: str) -> int:
    minutes = int(text)
    if not 1 <= minutes <= LIFETIME_MINUTES:
        raise argparse.ArgumentTypeError(f"no token lives longer than {LIFETIME_MINUTES} minutes; ask again then")
    return minutes


async def _bootstrap(settings: IdentitySettings, *, as_json: bool) -> int:
    database = Database(settings.database_url, NAME, pool_size=1)
    try:
        outcome = await bootstrap(database, settings, Passwords())
    finally:
        await database.close()
    if as_json:
        print(json.dumps({"has_run_before": outcome.has_run_before, "files": [str(path) for path in outcome.files]}))
    elif outcome.has_run_before:
        print("bootstrap has run before; nothing is changed")
    else:
        print("\n".join(f"made {path}" for path in outcome.files))
    return 0


async def _token(settings: IdentitySettings, role: str, *, as_json: bool) -> int:
    token = await demo_token(settings, role)
    expire_time = token.expire_time.ToJsonString()
    print(
        json.dumps({"access_token": token.access_token, "expire_time": expire_time}) if as_json else token.access_token
    )
    return 0


def _fail(line: str) -> int:
    print(f"{NAME}: {line}", file=sys.stderr)
    return 1
