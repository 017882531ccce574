"""Looks for a marker wherever a suite may have written it: in every table, and byte by byte in every file."""

import base64
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg

_TABLES = """
SELECT format('%I.%I', nspname, relname) AS name FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname NOT IN ('information_schema') AND relname <> 'pg_largeobject'
"""


def spellings(marker: str) -> Sequence[bytes]:
    """As text, as bytes are written in hexadecimal, in base64 at each offset, and in two bytes a letter."""
    plain = marker.encode()
    encoded = [plain, plain.hex().encode(), plain.hex().upper().encode(), marker.encode("utf-16-le")]
    for offset in range(3):
        # Of base64, the letters that depend on the marker alone.
        letters = base64.b64encode(bytes(offset) + plain).rstrip(b"=")
        encoded.append(letters[-(-offset * 8 // 6) : (offset + len(plain)) * 8 // 6])
    return encoded


async def tables_with(dsn: str, marker: str) -> list[str]:
    """Of all schemas, system tables too (statistics hold samples of values); bytes are looked through as hexadecimal,
    whatever compression holds them.
    """
    needles = [spelling.decode().replace("\0", "") for spelling in spellings(marker)]
    looks = " OR ".join(f"strpos(row::text, ${number}) > 0" for number in range(1, len(needles) + 1))
    connection = await asyncpg.connect(dsn)
    found = []
    try:
        for (name,) in await connection.fetch(_TABLES):
            statement = f"SELECT count(*) FROM {name} AS row WHERE {looks}"  # noqa: S608 - names from the catalog
            if await connection.fetchval(statement, *needles):
                found.append(name)
    finally:
        await connection.close()
    return found


async def checkpoint(dsn: str) -> None:
    """Every changed page is in its file, and what was planned of statistics too."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def files_with(folder: Path, marker: str) -> list[str]:
    """Relative to the folder."""
    return [str(file.relative_to(folder)) for file in _files(folder) if _holds(file, spellings(marker))]


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())


def _holds(file: Path, needles: Sequence[bytes]) -> bool:
    if not file.stat().st_size:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(needle) >= 0 for needle in needles)
