"""Page tokens of listings that are ordered by time and id."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from libs.common.pagination import PageTokens

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

Position = tuple[datetime, UUID]
T = TypeVar("T")


class Pages:
    """Pages of one method. A use case is asked for one item more than a page holds, to know whether another follows."""

    def __init__(self, tokens: PageTokens, method: str) -> None:
        self._tokens = tokens
        self._method = method

    def after(self, page_token: str) -> Position | None:
        """INVALID_ARGUMENT PAGE_TOKEN_INVALID."""
        values = self._tokens.open(self._method, page_token)
        return None if values is None else (datetime.fromisoformat(str(values[0])), UUID(str(values[1])))

    def cut(self, items: Sequence[T], size: int, position: Callable[[T], Position]) -> tuple[Sequence[T], str]:
        """The items of the page and the token of the next one, empty on the last."""
        page = items[:size]
        if len(items) == len(page):
            return page, ""
        at, key = position(page[-1])
        return page, self._tokens.seal(self._method, [at.isoformat(), str(key)])
