"""Who is who in the database: one owner that migrates, and a role for each slice, with rights on its schema alone."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from libs.common.rpc.errors import AppError, ErrorKind

SLICES = ("identity", "ingest", "fusion", "patterns", "alerts")
OWNER_ROLE = "quietus_owner"


def slice_role(slice_name: str) -> str:
    """The role that the slice's service connects as. Its schema is named like the slice."""
    return f"quietus_{slice_name}"


def dsn_for(admin_dsn: str, role: str, password: str | None = None) -> str:
    """The same database for another role. Without a password the server must trust it, as the embedded one does."""
    url = make_url(admin_dsn)
    return URL.create(
        drivername="postgresql",
        username=role,
        password=password,
        host=url.host,
        port=url.port,
        database=url.database,
        query=url.query,
    ).render_as_string(hide_password=False)


def driver_url(dsn: str) -> URL:
    """The URL by which SQLAlchemy connects through asyncpg. FAILED_PRECONDITION DATABASE_URL_UNUSABLE: it is none."""
    try:
        return make_url(dsn).set(drivername="postgresql+asyncpg")
    except ArgumentError:
        raise AppError(
            ErrorKind.FAILED_PRECONDITION, "DATABASE_URL_UNUSABLE", "QUIETUS_DATABASE_URL is missing or not a DSN"
        ) from None  # it may hold a password
