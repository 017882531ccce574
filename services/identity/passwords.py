"""Argon2id password hashes (RFC 9106). Slow on purpose: call off the event loop."""

import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY


class Passwords:
    """Hashes and checks passwords; a check takes as long for an account that doesn't exist as for one that does."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._hash_of_nobody = self.hash(secrets.token_urlsafe(32))

    def hash(self, password: str) -> str:
        """A PHC string: salt and parameters are in it."""
        return self._hasher.hash(_spelled(password))

    def matches(self, password: str, password_hash: str | None) -> bool:
        """`password_hash` is None for an account that doesn't exist: the same work, and never a match."""
        try:
            self._hasher.verify(password_hash or self._hash_of_nobody, _spelled(password))
        except VerificationError:
            return False
        return password_hash is not None


def _spelled(password: str) -> str:
    # Keyboards differ in how they compose accents (RFC 8265).
    return unicodedata.normalize("NFC", password)
