"""What the driver raises, as what a caller may see. The driver's texts hold keys and values: they go nowhere."""

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError

from libs.common.observability.failure import own_frames, place_of
from libs.common.rpc.errors import AppError, ErrorKind

# The driver was told that the server goes, and used before the connection was lost to it as well.
_UNUSABLE = asyncpg.InternalClientError
DRIVER_ERRORS = (
    DBAPIError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    _UNUSABLE,
    ConnectionError,
)

# By SQLSTATE, or its class of two characters: the server is away, or starts, or is full.
_AWAY = frozenset({"08", "53", "58", "57P01", "57P02", "57P03", "57P05", "25P03"})
# Where Postgres works with files. What it has no SQLSTATE for, such as a quota, is an internal error from there.
_FILES = frozenset({"md.c", "fd.c", "buffile.c", "xlog.c"})
# Somebody else was in the way: deadlock, serialization, lock_timeout, statement_timeout.
_BUSY = frozenset({"40001", "40P01", "55P03", "57014"})

_log = structlog.get_logger()


def to_app_error(error: BaseException, *, connection_lost: bool) -> AppError:
    """UNAVAILABLE where trying again helps, INTERNAL otherwise; the log says where it happened."""
    sqlstate = _sqlstate(error)
    is_away = (
        isinstance(error, (OSError, _UNUSABLE)) or sqlstate in _AWAY or sqlstate[:2] in _AWAY or _is_of_files(error)
    )
    if connection_lost or is_away:
        if sqlstate and not is_away:  # it lets nobody in: a restore, or a role that is no longer right
            _log.warning("database_unavailable", sqlstate=sqlstate)
        return AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not reachable")
    if sqlstate in _BUSY:
        return database_busy()
    _log.error("database_error", sqlstate=sqlstate, error=type(error).__name__, where=_where(error))
    return AppError(ErrorKind.INTERNAL, "DATABASE_ERROR", "the database refused")


def database_busy() -> AppError:
    return AppError(ErrorKind.UNAVAILABLE, "DATABASE_BUSY", "the database took too long")


def _sqlstate(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None) or ""


def _is_of_files(error: BaseException) -> bool:
    """The driver's error is the cause of SQLAlchemy's."""
    found = error.orig if isinstance(error, DBAPIError) else error
    while found and not isinstance(found, asyncpg.InternalServerError):
        found = found.__cause__
    return getattr(found, "server_source_filename", None) in _FILES


def _where(error: BaseException) -> str:
    """The innermost line that isn't of this folder."""
    ours = own_frames(error)
    frame = next((frame for frame in reversed(ours) if "/libs/common/db/" not in frame.filename), ours[-1])
    return place_of(frame)
