"""Ranges of time in conditions."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement


def between(column: Column[Any], start_time: datetime | None, end_time: datetime | None) -> list[ColumnElement[bool]]:
    """At or after the start, before the end; None doesn't bind."""
    conditions = []
    if start_time is not None:
        conditions.append(column >= start_time)
    if end_time is not None:
        conditions.append(column < end_time)
    return conditions
