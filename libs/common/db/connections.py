"""Whether the server has room for the connections that a service is going to hold."""

from libs.common.db.database import Database
from libs.common.db.errors import DRIVER_ERRORS
from libs.common.db.sizes import OTHER_CONNECTIONS
from libs.common.rpc.errors import AppError, ErrorKind

_ROOM = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
     - coalesce(current_setting('reserved_connections', true), '0')::int
"""


async def check_room(database: Database, processes: int, connections_each: int, setting: str) -> None:
    """For a service of several processes, before it opens its connections. `setting` says how many processes.

    FAILED_PRECONDITION TOO_MANY_CONNECTIONS, with what to do; a server that can't be asked now has room.
    """
    try:
        connection = await database.connect_directly()
        try:
            room: int = await connection.fetchval(_ROOM)
        finally:
            await connection.close()
    except (AppError, *DRIVER_ERRORS):
        return
    held = processes * connections_each
    if held + OTHER_CONNECTIONS <= room:
        return
    fitting = (room - OTHER_CONNECTIONS) // connections_each
    raise AppError(
        ErrorKind.FAILED_PRECONDITION,
        "TOO_MANY_CONNECTIONS",
        f"{processes} processes hold {held} connections, beside {OTHER_CONNECTIONS} of others, and Postgres gives"
        f" {room}: set {setting} to {max(fitting, 1)}, or max_connections {held + OTHER_CONNECTIONS - room} higher",
    )
