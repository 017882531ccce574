"""Roles, schemas and rights, stated anew after every migration."""

from collections.abc import Mapping

from sqlalchemy import Connection, text

from libs.common.db.roles import OWNER_ROLE, slice_role

# A slice never changes what it has audited, and reads alone where its migrations stand.
_RIGHTS = {"audit_logs": "SELECT, INSERT", "alembic_version": "SELECT"}
_ALL_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"

_RELATIONS = text(
    "SELECT relname, relkind::text FROM pg_class"
    " WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind IN ('r', 'p', 'v', 'S') AND NOT relispartition"
)


def create_roles(connection: Connection, slice_name: str, passwords: Mapping[str, str]) -> None:
    """The owner may become nobody's login; passwords are by role and are for servers that ask for them."""
    _create_role(connection, OWNER_ROLE, "NOLOGIN")
    _create_role(connection, slice_role(slice_name), "LOGIN")
    if (password := passwords.get(slice_role(slice_name))) is not None:
        statement = text("SELECT format('ALTER ROLE %I PASSWORD %L', CAST(:role AS text), CAST(:password AS text))")
        values = {"role": slice_role(slice_name), "password": password}
        connection.exec_driver_sql(connection.execute(statement, values).scalar_one())
    connection.exec_driver_sql(f"GRANT {OWNER_ROLE} TO CURRENT_USER")
    # Whoever may execute a function is said, function by function.
    connection.exec_driver_sql(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER_ROLE} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
    )


def create_schema(connection: Connection, slice_name: str) -> None:
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {slice_name} AUTHORIZATION {OWNER_ROLE}")


def grant_rights(connection: Connection, slice_name: str) -> None:
    """As the owner. Partitions get no rights of their own: the slice reaches them through their parent."""
    role = slice_role(slice_name)
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {slice_name} TO {role}")
    connection.exec_driver_sql(f"REVOKE ALL ON ALL TABLES IN SCHEMA {slice_name} FROM {role}")
    for relation in connection.execute(_RELATIONS, {"schema": slice_name}).all():
        if relation.relkind == "S":
            connection.exec_driver_sql(f"GRANT USAGE ON SEQUENCE {slice_name}.{relation.relname} TO {role}")
        else:
            rights = _RIGHTS.get(relation.relname, _ALL_RIGHTS)
            connection.exec_driver_sql(f"GRANT {rights} ON {slice_name}.{relation.relname} TO {role}")
    connection.exec_driver_sql(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {slice_name} TO {role}")


def _create_role(connection: Connection, role: str, login: str) -> None:
    """Roles are the server's, not the database's: another database may make the same one at the same time."""
    connection.exec_driver_sql(
        f"DO $$ BEGIN CREATE ROLE {role} {login}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
