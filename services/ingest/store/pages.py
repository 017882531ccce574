"""Pages that are bounded by bytes as well: their rows may hold large words."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Select, desc, func, select

from libs.common.db.database import AnyRow

# So that an answer stays below what clients take by default, 4 MiB.
PAGE_BYTES = 1024 * 1024

Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    items: Sequence[Item]
    has_more: bool


def within_bytes(
    statement: Select[*tuple[Any, ...]], large: str, order: Sequence[str], max_bytes: int, *, newest_first: bool
) -> Select[*tuple[Any, ...]]:
    """Of a page in this order, which has one row more than it shows: the rows through the one whose `large` column
    brings it to `max_bytes`. `has_next`: whether the page has a row behind.

    The length of a large value is known without reading it, so that only what is answered is read.
    """
    rows = statement.subquery()
    by = [desc(rows.c[name]) if newest_first else rows.c[name] for name in order]
    bytes_before = func.sum(func.octet_length(rows.c[large])).over(order_by=by, rows=(None, -1))
    has_next = func.lead(True, 1, False).over(order_by=by)
    measured = select(rows, bytes_before.label("bytes_before"), has_next.label("has_next")).subquery()
    in_order = [desc(measured.c[name]) if newest_first else measured.c[name] for name in order]
    return select(measured).where(func.coalesce(measured.c.bytes_before, 0) < max_bytes).order_by(*in_order)


def page_of(found: Sequence[AnyRow], limit: int) -> Page[AnyRow]:
    """`limit`: of rows that are shown."""
    if len(found) > limit:
        return Page(found[:limit], has_more=True)
    return Page(found, has_more=bool(found) and found[-1].has_next)
