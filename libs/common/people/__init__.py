"""The people of a slice, and who may reach their data."""

from libs.common.people.access import Access
from libs.common.people.store import Person, ensure_user

__all__ = ["Access", "Person", "ensure_user"]
