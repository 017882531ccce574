"""Alembic as every slice uses it: one history a slice, in the slice's own schema, inside the caller's transaction.

A slice brings services/<slice>/migrations/versions and services/<slice>/tables.py with METADATA; it has no env.py.
"""

import importlib
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from libs.common.db.roles import SLICES


def slices_with_migrations() -> list[str]:
    return [name for name in SLICES if _has_migrations(name)]


def upgrade(connection: Connection, slice_name: str) -> None:
    """To the newest revision."""
    script = _script(slice_name)
    _run(connection, slice_name, script, lambda revision, _: script._upgrade_revs("heads", revision))


def downgrade(connection: Connection, slice_name: str) -> None:
    """To nothing."""
    script = _script(slice_name)
    _run(connection, slice_name, script, lambda revision, _: script._downgrade_revs("base", revision))


def differences(connection: Connection, slice_name: str) -> list[Any]:
    """What autogenerate would write: empty when the migrations make exactly the slice's tables."""
    context = MigrationContext.configure(connection, opts=_options(connection, slice_name))
    with warnings.catch_warnings():
        # Postgres spells a generated column's expression in its own way.
        warnings.filterwarnings("ignore", "Computed default")
        return list(compare_metadata(context, _metadata(slice_name)))


def _run(
    connection: Connection, slice_name: str, script: ScriptDirectory, steps: Callable[[Any, Any], Sequence[Any]]
) -> None:
    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(
            connection=connection,
            target_metadata=_metadata(slice_name),
            version_table_schema=slice_name,
        )
        environment.run_migrations()


def _options(connection: Connection, slice_name: str) -> dict[str, Any]:
    partitions = {
        row.relname
        for row in connection.execute(
            text("SELECT relname FROM pg_class WHERE relispartition AND relnamespace = CAST(:schema AS regnamespace)"),
            {"schema": slice_name},
        )
    }

    def include_name(name: str | None, kind: str, parents: object) -> bool:
        if kind == "schema":
            return name == slice_name
        return kind != "table" or name not in partitions

    return {
        "include_schemas": True,
        "include_name": include_name,
        "version_table_schema": slice_name,
        "compare_type": True,
        "compare_server_default": True,
    }


def _has_migrations(slice_name: str) -> bool:
    return (
        find_spec(f"services.{slice_name}") is not None and find_spec(f"services.{slice_name}.migrations") is not None
    )


def _metadata(slice_name: str) -> MetaData:
    metadata = importlib.import_module(f"services.{slice_name}.tables").METADATA
    assert isinstance(metadata, MetaData)
    return metadata


def _script(slice_name: str) -> ScriptDirectory:
    package = importlib.import_module(f"services.{slice_name}.migrations")
    folder = Path(package.__path__[0])
    return ScriptDirectory(folder, version_locations=[folder / "versions"])
