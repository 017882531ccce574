"""How many items a page of identity's listings holds."""

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
