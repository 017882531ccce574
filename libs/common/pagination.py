"""Page tokens that nobody can read or change, and page sizes."""

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.common.rpc.errors import AppError, ErrorKind

_NONCE_BYTES = 12

PageValue = str | int | None
# Where a page of a listing by time and id ended.
Position = tuple[datetime, UUID]
T = TypeVar("T")


class PageTokens:
    """Seals where a page ended, bound to one method and its filters.

    Without a secret the tokens end with the process.
    """

    def __init__(self, secret: bytes = b"") -> None:
        self._cipher = AESGCM(hashlib.sha256(secret or os.urandom(32)).digest())

    def seal(self, method: str, values: Sequence[PageValue]) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, json.dumps(list(values)).encode(), method.encode())
        return urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, method: str, token: str) -> tuple[PageValue, ...] | None:
        """The sealed values; None for the empty token, which asks for the first page.

        INVALID_ARGUMENT PAGE_TOKEN_INVALID: not a token of this method and these filters.
        """
        if not token:
            return None
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            content = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], method.encode())
        except (InvalidTag, ValueError) as error:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", field="page_token") from error
        return tuple(json.loads(content))


class Pages:
    """Pages of one listing by time and id. A use case that doesn't say whether another page follows is asked for one
    item more than a page holds.
    """

    def __init__(self, tokens: PageTokens, listing: str) -> None:
        """`listing` names the method and its filters."""
        self._tokens = tokens
        self._listing = listing

    def after(self, page_token: str) -> Position | None:
        """INVALID_ARGUMENT PAGE_TOKEN_INVALID."""
        values = self._tokens.open(self._listing, page_token)
        return None if values is None else (datetime.fromisoformat(str(values[0])), UUID(str(values[1])))

    def cut(self, items: Sequence[T], size: int, position: Callable[[T], Position]) -> tuple[Sequence[T], str]:
        """The items of the page and the token of the next one, empty on the last."""
        page = items[:size]
        return page, self.after_last(page, len(items) > len(page), position)

    def after_last(self, page: Sequence[T], has_more: bool, position: Callable[[T], Position]) -> str:
        """The token of the page that follows; empty when there is none."""
        if not has_more:
            return ""
        at, key = position(page[-1])
        return self._tokens.seal(self._listing, [at.isoformat(), str(key)])


def page_size(requested: int, default: int, maximum: int) -> int:
    """How many items a page holds; zero asks for the default."""
    return min(requested, maximum) if requested > 0 else default
