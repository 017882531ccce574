"""The closed list of ways in which a home may differ from what a document says, each with its reason."""

from enum import StrEnum


class Deviation(StrEnum):
    APPLICATION_UUID = "APPLICATION_UUID"
    AUDIT_FK_DROPPED = "AUDIT_FK_DROPPED"
    CHECK_EXTENDED = "CHECK_EXTENDED"
    CROSS_SLICE_FK_DROPPED = "CROSS_SLICE_FK_DROPPED"
    KEY_WIDENED_FOR_PARTITION = "KEY_WIDENED_FOR_PARTITION"
    MERGED = "MERGED"
    SEALED = "SEALED"
    TIMESTAMPTZ = "TIMESTAMPTZ"
    UNIQUE_PER_USER = "UNIQUE_PER_USER"
    VIEW = "VIEW"
    VIEW_INDEX_ON_BASE = "VIEW_INDEX_ON_BASE"


MEANINGS: dict[Deviation, str] = {
    Deviation.APPLICATION_UUID: "ids are made by the application, so the database needs no generator.",
    Deviation.AUDIT_FK_DROPPED: "the audit chain outlives a person, so it has no foreign key to one.",
    Deviation.CHECK_EXTENDED: "the check allows more values than the document's.",
    Deviation.CROSS_SLICE_FK_DROPPED: "the referenced table belongs to another slice.",
    Deviation.KEY_WIDENED_FOR_PARTITION: "a partitioned table's keys contain its partition key.",
    Deviation.MERGED: "the documents disagree about one table; the home is as another of them says.",
    Deviation.SEALED: "the column holds what the server can't read, or only with its keyring; keys are on its hash.",
    Deviation.TIMESTAMPTZ: "the document says TIMESTAMP; the moment is kept with its zone.",
    Deviation.UNIQUE_PER_USER: "unique within a person, so that the schema can be spread over machines.",
    Deviation.VIEW: "a view over other tables.",
    Deviation.VIEW_INDEX_ON_BASE: "the index is on a table below the view.",
}
