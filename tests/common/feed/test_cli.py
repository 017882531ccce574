"""The command says in one line why it can't work."""

import pytest

from libs.common.db.database import Database
from libs.common.feed.cli import Follows, run_parked


async def open_nothing() -> Follows:
    return Database("", "fusion"), {}


def test_without_a_database_url_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_parked(open_nothing, ["list"]) == 1
    assert capsys.readouterr().out == "parked: QUIETUS_DATABASE_URL is missing or not a DSN\n"
