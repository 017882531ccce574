"""The one-shot step before the services: roles with passwords, migrations, bootstrap. Safe to repeat.

`python -m deploy.container.prepare` reads the administrator's password from QUIETUS_DEPLOY_ADMIN_PASSWORD_FILE, and
leaves a password file in Postgres' own format for each slice among the secrets.
"""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import make_url

from libs.common.db import migrate
from libs.common.db.roles import SLICES, dsn_for, slice_role
from services.identity.__main__ import main as identity

ADMIN_DSN = "QUIETUS_DEPLOY_ADMIN_DSN"
ADMIN_PASSWORD_FILE = "QUIETUS_DEPLOY_ADMIN_PASSWORD_FILE"  # noqa: S105 - a variable's name


def main() -> None:
    password = Path(os.environ[ADMIN_PASSWORD_FILE]).read_text().strip()
    admin_dsn = make_url(os.environ[ADMIN_DSN]).set(password=password).render_as_string(hide_password=False)
    folder = Path(os.environ["QUIETUS_SECRETS_DIR"]) / "postgres"
    passwords = _passwords(folder)
    migrate.migrate_all(admin_dsn, SLICES, passwords)
    role = slice_role("identity")
    os.environ["QUIETUS_DATABASE_URL"] = dsn_for(admin_dsn, role, passwords[role])
    sys.argv = ["identity", "bootstrap"]
    identity()


def _passwords(folder: Path) -> Mapping[str, str]:
    """One password a role, made once and kept as a password file that only the services' user can read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {role: _password(folder / f"{role}.pgpass") for role in map(slice_role, SLICES)}


def _password(file: Path) -> str:
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"*:*:*:*:{secrets.token_urlsafe(32)}\n")
    return file.read_text().strip().rpartition(":")[2]


if __name__ == "__main__":
    main()
