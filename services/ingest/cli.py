"""`python -m services.ingest export`."""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import grpc
from tqdm import tqdm

from libs.common.feed.source import Source
from libs.common.rpc.client import ServiceToken, channel
from libs.common.rpc.errors import AppError, reason_of
from services.ingest.app import NAME, open_database
from services.ingest.research import MONTHS_MAX, Months, Names, Report, month_of
from services.ingest.service.research import ResearchExport
from services.ingest.settings import IngestSettings


def run_export(settings: IngestSettings, arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    months = Months(options.first, options.last)
    if not months.is_valid:
        return _fail(f"--to is a month from --from on, of {MONTHS_MAX} at most")
    try:
        report = asyncio.run(export(settings, months, options.out))
    except ImportError:
        return _fail("pyarrow is missing: pip install --require-hashes -r requirements-research.lock")
    except grpc.aio.AioRpcError as error:
        return _fail(f"identity at {settings.identity_address}: {reason_of(error) or error.code().name}")
    except OSError as error:
        return _fail(f"{error.filename or options.out}: {error.strerror or error}")
    except AppError as error:
        return _fail(str(error))
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        _show(report, options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{NAME} export",
        description="Predictions of people who consent to research, as Parquet files in a new folder.",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--from", dest="first", type=_month, required=True, help="first month of sessions, YYYY-MM")
    parser.add_argument("--to", dest="last", type=_month, required=True, help="last month, itself included")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _month(text: str) -> date:
    try:
        return month_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


async def export(settings: IngestSettings, months: Months, folder: Path) -> Report:
    from services.ingest.parquet import ResearchFiles  # noqa: PLC0415 - it may not be installed

    export_id = str(uuid4())
    described = {"export_id": export_id, "export_date": f"{datetime.now(UTC):%Y-%m-%d}", "months": str(months)}
    database = open_database(settings)
    token = ServiceToken(settings.identity_address, settings.api_key_path(NAME))
    try:
        async with channel(settings.identity_address) as connection:
            identity_feed = Source("identity", NAME, connection, token).feed
            with tqdm(unit=" people", disable=None) as bar, ResearchFiles(folder, described, Names()) as files:
                work = ResearchExport(database, identity_feed, f"operator:{getpass.getuser()}"[:128], bar.update)
                bar.reset(await work.count_people(months))
                return await work.run(months, export_id, files)
    finally:
        await token.close()
        await database.close()


def _show(report: Report, folder: Path) -> None:
    print(f"{folder}: {report.months}, export {report.export_id}")
    print(f"exported: {report.people} people, {report.sessions} sessions")
    for dataset, rows in report.rows.items():
        print(f"  {dataset}: {rows} rows")
    print(
        f"withheld for want of consent: {report.people_withheld} people, {report.sessions_withheld} sessions,", end=" "
    )
    print(f"{report.rows_withheld} rows")


def _fail(problem: str) -> int:
    print(f"export: {problem}", file=sys.stderr)
    return 1
