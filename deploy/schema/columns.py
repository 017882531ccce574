"""Compares a column with what a document demands of it."""

from collections.abc import Sequence

from deploy.schema.catalog import LiveColumn
from deploy.schema.deviations import Deviation
from deploy.schema.homes import referenced_home, slice_of
from deploy.schema.seeds import ForeignKey

Differences = tuple[set[Deviation], list[str]]
"""Deviations of the closed list, and differences that none of them allows."""


def compare_column(demanded: LiveColumn, found: LiveColumn, others: Sequence[LiveColumn]) -> Differences:
    """`others` is what the other documents demand of the same column."""
    deviations, problems = set[Deviation](), []
    same_generator = demanded.default in {"gen_random_uuid()", "nextval"} and found.type == "uuid" and not found.default
    if same_generator:
        deviations.add(Deviation.APPLICATION_UUID)
    if found.type != demanded.type and not (same_generator and demanded.default == "nextval"):
        if deviation := _type_deviation(demanded, found, others):
            deviations.add(deviation)
        else:
            problems.append(f"is {found.type}, not {demanded.type}")
    if found.default != demanded.default and not same_generator and not found.generated:
        if any(other.default == found.default for other in others):
            deviations.add(Deviation.MERGED)
        else:
            problems.append(f"has the default {found.default or 'none'}, not {demanded.default or 'none'}")
    if found.nullable != demanded.nullable:
        if any(other.nullable == found.nullable for other in others):
            deviations.add(Deviation.MERGED)
        else:
            problems.append(f"is {'NULL' if found.nullable else 'NOT NULL'} where the document is not")
    return deviations, problems


def _type_deviation(demanded: LiveColumn, found: LiveColumn, others: Sequence[LiveColumn]) -> Deviation | None:
    if found.type == "bytea" and demanded.type.startswith(("text", "character varying")):
        return Deviation.SEALED
    if (demanded.type, found.type) == ("timestamp without time zone", "timestamp with time zone"):
        return Deviation.TIMESTAMPTZ
    return Deviation.MERGED if any(other.type == found.type for other in others) else None


def compare_reference(demanded: ForeignKey | None, found: ForeignKey | None, home: str) -> Differences:
    if demanded is None:
        return set(), []
    target = referenced_home(demanded.table, home)
    if found == ForeignKey(target, demanded.on_delete):
        return set(), []
    if slice_of(target) != slice_of(home):  # a reference to what the slice itself knows of the thing may stand in
        return {Deviation.CROSS_SLICE_FK_DROPPED}, []
    if found is not None:
        return set(), [f"refers to {found.table} ON DELETE {found.on_delete}, not {target} {demanded.on_delete}"]
    if home.endswith(".audit_logs"):
        return {Deviation.AUDIT_FK_DROPPED}, []
    return set(), [f"does not refer to {target}"]
