"""The use cases of identity, one file a subject; each is one transaction, and password work is done outside of it."""
