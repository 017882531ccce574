import json
import stat
from pathlib import Path

import pytest

from libs.common.db.audit import verify_chain
from libs.common.db.database import Database
from libs.common.rpc.errors import AppError
from libs.common.settings import SERVICES
from services.identity import bootstrap as bootstrapping
from services.identity.bootstrap import bootstrap
from services.identity.passwords import Passwords
from services.identity.settings import IdentitySettings


async def test_it_leaves_secrets_that_only_their_owner_reads(
    database: Database, settings: IdentitySettings, passwords: Passwords
) -> None:
    outcome = await bootstrap(database, settings, passwords)

    expected = {"keyring.json", "admin.json", *(f"{service}.key" for service in SERVICES)}
    assert {path.name for path in outcome.files} == expected
    assert stat.S_IMODE(settings.secrets_dir.stat().st_mode) == 0o700
    assert {path.name for path in settings.secrets_dir.iterdir()} == expected
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in outcome.files)
    assert set(json.loads(settings.admin_path.read_text())) == {"email", "password"}


async def test_the_tables_hold_no_secret(database: Database, settings: IdentitySettings, passwords: Passwords) -> None:
    outcome = await bootstrap(database, settings, passwords)
    admin = json.loads(settings.admin_path.read_text())
    keys = [path.read_text().strip() for path in outcome.files if path.suffix == ".key"]

    async with database.read() as tx:
        stored = ""
        for table in ("users", "api_keys", "signing_keys", "audit_logs"):
            stored += str(await tx.fetch_all(f"SELECT to_jsonb(t)::text FROM {table} AS t"))  # noqa: S608
        await verify_chain(tx)

    for secret in (admin["email"], admin["email"].encode().hex(), admin["password"], *keys):
        assert secret not in stored


async def test_a_second_run_says_so_and_changes_nothing(
    database: Database, settings: IdentitySettings, passwords: Passwords
) -> None:
    first = await bootstrap(database, settings, passwords)
    before = {path: path.read_bytes() for path in first.files}

    second = await bootstrap(database, settings, passwords)

    assert second.has_run_before
    assert second.files == ()
    assert {path: path.read_bytes() for path in settings.secrets_dir.iterdir()} == before
    async with database.read() as tx:
        assert await tx.scalar("SELECT count(*) FROM signing_keys") == 1
        assert await tx.scalar("SELECT count(*) FROM users") == 1


async def test_a_run_that_was_cut_off_is_repeated_whole(
    database: Database, settings: IdentitySettings, passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def fail_at_the_third(path: Path, content: str) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bootstrapping, "write_secret", fail_at_the_third)
        with pytest.raises((OSError, AppError)):
            await bootstrap(database, settings, passwords)

    outcome = await bootstrap(database, settings, passwords)

    assert not outcome.has_run_before
    assert all(path.exists() for path in outcome.files)
