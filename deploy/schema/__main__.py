"""`python -m deploy.schema`: writes docs/schema.md and docs/schema-pending.txt from the seeds and a real database."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

import asyncpg

from deploy.schema.compare import Comparison, compare
from deploy.schema.homes import SLICES
from deploy.schema.pages import pending_page, schema_page
from deploy.schema.seeds import Table, read_seeds
from libs.common.db.embedded import EmbeddedPostgres
from libs.common.db.migrate import migrate_all

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA_PAGE = ROOT / "docs" / "schema.md"
PENDING_PAGE = ROOT / "docs" / "schema-pending.txt"


def seeds_folder() -> Path:
    """Where the seed documents are: QUIETUS_SEEDS, or beside the project."""
    return Path(os.environ.get("QUIETUS_SEEDS", ROOT.parent / "shared" / "seeds"))


async def compare_in(dsn: str, seeds: list[Table]) -> Comparison:
    connection = await asyncpg.connect(dsn)
    try:
        return await compare(connection, seeds)
    finally:
        await connection.close()


def compare_in_new_database(seeds: list[Table]) -> Comparison:
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        dsn = postgres.start()
        try:
            migrate_all(dsn, SLICES)
            return asyncio.run(compare_in(dsn, seeds))
        finally:
            postgres.stop()


def main() -> int:
    argparse.ArgumentParser(prog="deploy.schema", description=__doc__).parse_args()
    try:
        seeds = read_seeds(seeds_folder())
    except FileNotFoundError as error:
        print(f"deploy.schema: {error}; QUIETUS_SEEDS names the folder", file=sys.stderr)
        return 1
    comparison = compare_in_new_database(seeds)
    for problem in comparison.problems:
        print(problem, file=sys.stderr)
    if comparison.problems:
        return 1
    SCHEMA_PAGE.write_text(schema_page(comparison))
    PENDING_PAGE.write_text(pending_page(comparison))
    print(f"{len(comparison.rows)} items have a home, {len(comparison.pending)} are built later")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
