"""Finds the index or unique key that a document demands."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from deploy.schema.catalog import LiveIndex, LiveTable
from deploy.schema.deviations import Deviation
from deploy.schema.homes import LOOKED_UP_BY, column_in

Found = tuple[str, set[Deviation]]
"""Home and columns, as the page says them."""


def index_in(home: str, index: LiveIndex) -> LiveIndex:
    """With the column names of the home."""
    parts = [column.partition(" ") for column in index.columns]
    columns = tuple(f"{column_in(home, name)}{space}{order}" for name, space, order in parts)
    return LiveIndex(columns, index.predicate, index.unique)


def find_index(demanded: LiveIndex, home: str, live: LiveTable, others: Collection[LiveIndex]) -> Found | None:
    """`others` is what the other documents demand of the same table; all with the column names of the home."""
    looked_up = tuple(LOOKED_UP_BY.get((home, column), column) for column in demanded.columns)
    sealed = {Deviation.SEALED} if looked_up != demanded.columns else set[Deviation]()
    for found in live.indexes.values():
        if _alike(found, demanded) and found.columns == looked_up:
            return shown(home, found.columns), sealed
    for found in live.indexes.values():
        if _alike(found, demanded) and (deviation := _deviation(found, demanded, live, others)):
            return shown(home, found.columns), {deviation}
    return None


def find_below_view(demanded: LiveIndex, live: LiveTable, catalog: Mapping[str, LiveTable]) -> Found | None:
    """An index of a table below the view that begins with the same column."""
    for base in live.bases:
        for found in catalog[base].indexes.values() if base in catalog else ():
            if _undirected(found.columns)[:1] == _undirected(demanded.columns)[:1]:
                return shown(base, found.columns), {Deviation.VIEW_INDEX_ON_BASE}
    return None


def shown(table: str, columns: Iterable[str]) -> str:
    return f"{table} ({', '.join(columns)})"


def _alike(found: LiveIndex, demanded: LiveIndex) -> bool:
    return found.predicate == demanded.predicate and found.unique >= demanded.unique


def _deviation(
    found: LiveIndex, demanded: LiveIndex, live: LiveTable, others: Collection[LiveIndex]
) -> Deviation | None:
    if demanded.unique:
        extra = set(found.columns) - set(demanded.columns)
        if not extra or not set(demanded.columns) < set(found.columns):
            return None
        if extra == {live.partition_key}:
            return Deviation.KEY_WIDENED_FOR_PARTITION
        return Deviation.UNIQUE_PER_USER if extra == {"user_id"} else None
    # Another document's longer index, read in either direction, serves this one too.
    begins = _undirected(found.columns)[: len(demanded.columns)] == _undirected(demanded.columns)
    return Deviation.MERGED if begins and found in others else None


def _undirected(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(column.removesuffix(" DESC") for column in columns)
