"""Ids of derived rows. Ids that carry their time are made by quietus_edge.ids."""

from hashlib import sha1
from uuid import UUID

_NAMESPACE = UUID("6f3f2f0c-4f0e-5c52-9a0b-51d5a5f9c0de")


def derived_id(*parts: str | UUID | int) -> UUID:
    """UUIDv5 of a natural key: the same parts give the same id on every replay.

    Parts are prefixed by their length, so that ("ab", "c") and ("a", "bc") differ.
    """
    name = "".join([f"{len(text)}:{text}" for text in map(str, parts)])
    digest = sha1(_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)
