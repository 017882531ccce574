"""Small sessions that a reviewer can read and check: what devices sent, and what fusion has to make of it."""
