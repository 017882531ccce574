"""How fast this machine copies the rows of the bare reference: one connection, rows made before, nothing else to do.

`python -m bench.references.raw_copy DSN SECONDS [SCHEMA SESSION_ID]` prints rows a second, through the same driver in
the same groups. The session has to be in the schema's sessions, if it has any.
"""

import argparse
import time

import uvloop

from bench.load.messages import Messages, parsed
from bench.references.bare import GROUP_PREDICTIONS, SCHEMA, connect, copy, rows_of
from quietus_edge.ids import uuid7

BATCH_SIZE = 32


async def main(dsn: str, seconds: float, schema: str, session_id: str) -> None:
    connection = await connect(dsn)
    messages = Messages(BATCH_SIZE)
    copied, spent = 0, 0.0
    while spent < seconds:
        group = [(session_id, parsed(messages.next()[1])) for _ in range(GROUP_PREDICTIONS // BATCH_SIZE)]
        rows = rows_of(group)
        start = time.perf_counter()
        await copy(connection, rows, schema)
        spent += time.perf_counter() - start
        copied += sum(map(len, rows.values()))
    print(copied / spent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("seconds", type=float)
    parser.add_argument("schema", nargs="?", default=SCHEMA)
    parser.add_argument("session_id", nargs="?", default=str(uuid7()))
    arguments = parser.parse_args()
    uvloop.run(main(arguments.dsn, arguments.seconds, arguments.schema, arguments.session_id))
