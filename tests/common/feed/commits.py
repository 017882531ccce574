"""COMMITs whose outcome the client doesn't learn."""

import asyncpg.transaction
import pytest

from libs.common.db.database import Database


def lose_answer_of_next_commit(monkeypatch: pytest.MonkeyPatch, database: Database, *, carried_out: bool) -> list[int]:
    """The next COMMIT of the slice that isn't of a read fails, after or before the server has carried it out.

    The list is empty once that has happened.
    """
    commit = asyncpg.transaction.Transaction.commit
    application = f"quietus-{database.slice_name}"
    left = [1]

    async def lossy(self: asyncpg.transaction.Transaction) -> None:
        connection = self._connection
        mine = connection.get_settings().application_name == application
        if not mine or self._readonly or not left:
            return await commit(self)
        left.clear()
        if carried_out:
            await commit(self)
        connection.terminate()
        raise ConnectionResetError

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", lossy)
    return left
