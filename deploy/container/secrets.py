"""Makes the one secret that compose needs from outside: `python -m deploy.container.secrets`."""

import secrets
from pathlib import Path

FOLDER = Path(".quietus/compose")


def main() -> None:
    """The folder keeps others out; inside of containers, users other than root must be able to read the file."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = FOLDER / "postgres_password"
    if not password.exists():
        password.write_text(secrets.token_urlsafe(32))
        password.chmod(0o644)


if __name__ == "__main__":
    main()
